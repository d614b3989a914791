# SPDX-License-Identifier: BSD-2-Clause
"""cocotb on Verilator: the only user of cocotb_tools."""

from __future__ import annotations

import contextlib
import json
import os
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pysnn_hw.errors import ToolError
from pysnn_hw.golden import Result
from pysnn_hw.ir.snn import Array
from pysnn_hw.resources import resource_dir
from pysnn_hw.verify.design import TOP, Design
from pysnn_hw.verify.verilator import Profile, Verilator, build_executable
from pysnn_hw.verify.words import Words

COSIM = Profile("-O0", vpi=True)


@dataclass(frozen=True)
class TestOutcome:
    """One cocotb test: its name, and what it complained about (empty if it passed)."""

    __test__ = False  # not for pytest to collect

    name: str
    complaint: str

    @property
    def passed(self) -> bool:
        """Whether it had nothing to complain about."""
        return not self.complaint


def build_cosim(tool: Verilator, verilog: Path, folder: Path, *, top: str) -> Path:
    """Compile ``verilog`` with cocotb's main program into ``folder``; return the executable.

    Only the ports (and other names) of the top module are visible to a testbench.

    Raises
    ------
    ToolError
        If cocotb is missing, or Verilator or the compiler refuses.
    """
    try:
        import cocotb_tools.config
    except ImportError as error:
        raise ToolError("cocotb", "is not installed", "pip install 'pysnn-hw[sim]'") from error
    folder.mkdir(parents=True, exist_ok=True)
    visible = folder / "visible.vlt"
    visible.write_text(f'`verilator_config\npublic_flat_rw -module "{top}" -var "*"\n')
    libs = str(cocotb_tools.config.libs_dir)
    return build_executable(
        tool,
        verilog,
        Path(cocotb_tools.config.share_dir) / "lib" / "verilator" / "verilator.cpp",
        folder,
        top=top,
        profile=COSIM,
        verilate=[str(visible)],
        link=[f"-Wl,-rpath,{libs}", f"-L{libs}", "-lcocotbvpi_verilator"],
    )


def run_cosim(
    executable: Path, module: str, environment: dict[str, str], *, top: str, seed: int = 1
) -> tuple[TestOutcome, ...]:
    """Run the cocotb tests of ``module`` on an executable made by `build_cosim`.

    Raises
    ------
    ToolError
        If the simulator ends without a result.
    """
    from cocotb_tools.runner import get_runner

    folder = executable.parent
    results = folder / "results.xml"
    results.unlink(missing_ok=True)
    log = folder / "cosim.log"
    search = os.pathsep.join([str(resource_dir("sim").parent), os.environ.get("PYTHONPATH", "")])
    # The runner leaves by SystemExit when a test fails; the results tell which.
    with contextlib.suppress(SystemExit):
        get_runner("verilator").test(
            test_module=module,
            hdl_toplevel=top,
            hdl_toplevel_lang="verilog",
            build_dir=folder,
            test_dir=folder,
            results_xml=str(results.resolve()),
            log_file=log,
            seed=seed,
            extra_env={**environment, "PYTHONPATH": search},
        )
    if not results.exists():
        raise ToolError("cocotb", "the simulator ended without a result", f"see {log}")
    return tuple(
        TestOutcome(case.get("name", "?"), _complaint(case))
        for case in ET.parse(results).iter("testcase")
    )


def cosim(
    tool: Verilator,
    design: Design,
    images: Array,
    golden: Result,
    folder: Path,
    *,
    seed: int = 1,
) -> tuple[TestOutcome, ...]:
    """Run ``sim/tb_accelerator.py`` on ``design`` with the given images and golden result.

    Every spike of every population, every final membrane and every score are compared, at full
    speed and under random gaps and back-pressure. ``golden`` needs its trace.
    """
    folder = folder.resolve()
    verilog = folder / f"{TOP}.v"
    design.write_verilog(verilog)
    executable = build_cosim(tool, verilog, folder / "cosim", top=TOP)
    vectors = folder / "vectors.json"
    vectors.write_text(json.dumps(cosim_vectors(design, images, golden)))
    environment = {"PYSNN_VECTORS": str(vectors)}
    return run_cosim(executable, "sim.tb_accelerator", environment, top=TOP, seed=seed)


def cosim_vectors(design: Design, images: Array, golden: Result) -> dict[str, object]:
    """The document that ``sim/tb_accelerator.py`` reads."""
    trace = golden.trace
    if trace is None:
        raise ValueError("golden has no trace")
    return {
        "inputs": [_integers(words) for words in design.input_words(images)],
        "boot": design.boot_words.tolist(),
        "outputs": _integers(design.expected_output(golden)),
        "steps": golden.steps.tolist() if design.exits else [],
        "probes": [
            {
                "port": probe.port,
                "words": probe.words,
                "spikes": _integers(probe.spikes(trace)),
                "membranes": _integers(probe.membranes(trace)),
            }
            for probe in design.probes
        ],
    }


def _integers(words: Words) -> Sequence[int]:
    """Words along the last axis as one integer each, flattened."""
    rows = np.ascontiguousarray(words.reshape(-1, words.shape[-1]), "<u4")
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def _complaint(case: ET.Element) -> str:
    for kind in ("failure", "error"):
        element = case.find(kind)
        if element is not None:
            text = element.get("error_msg") or element.get("message") or element.text or kind
            return text.strip().splitlines()[0]
    return ""
