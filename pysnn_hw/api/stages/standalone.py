# SPDX-License-Identifier: BSD-2-Clause
"""What makes an output folder stand alone: testbenches, vectors, Makefiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pysnn_hw.golden import simulate
from pysnn_hw.ir.snn import Array, FixedNetwork
from pysnn_hw.pipeline.files import write_text, write_whole
from pysnn_hw.plan import Schedule
from pysnn_hw.resources import resource, resource_dir
from pysnn_hw.verify.design import TOP, Design
from pysnn_hw.verify.harness import write_vectors

TESTBENCH = ("__init__.py", "streams.py", "tb_accelerator.py")


def write_verification(
    net: FixedNetwork, schedule: Schedule, images: Array, folder: Path
) -> tuple[Path, ...]:
    """Complete ``folder``, where harness and cocotb vectors are, with what else it takes.

    Returns
    -------
    tuple
        The files written: Verilog, the harness's vectors for ``images`` (N, C, H, W), the cocotb
        testbench and a Makefile.
    """
    design = Design(net, schedule)
    golden = simulate(net, images, trace=True)
    write_whole(folder / f"{TOP}.v", design.write_verilog)
    vectors, makefile = folder / "vectors.bin", folder / "Makefile"
    write_whole(vectors, lambda draft: write_vectors(design, images, golden, draft))
    bench = tuple(folder / "sim" / name for name in TESTBENCH)
    for path in bench:
        write_text(path, resource("sim", path.name).read_text(encoding="utf-8"))
    fire = sum(p.size for p in net.populations if p.kind == "fire")
    spikes = len(images) * net.total_steps * fire
    write_text(makefile, _fill("verify.mk.j2", top=TOP, images=len(images), spikes=spikes))
    return (folder / f"{TOP}.v", vectors, *bench, makefile)


def write_makefile(boards: Sequence[str], path: Path) -> None:
    """The Makefile of the whole output folder."""
    write_text(path, _fill("output.mk.j2", boards=boards))


def _fill(template: str, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(resource_dir("rtl_templates")),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    return environment.get_template(template).render(**values)
