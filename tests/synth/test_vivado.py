# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""What yosys makes of a project for Vivado."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.build.vivado import write_project
from pysnn_hw.errors import PlanError
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.plan import load_board
from pysnn_hw.plan.schedule import simple_schedule
from tests.networks import random_network

pytestmark = pytest.mark.synth


def accelerator():
    rng = np.random.default_rng(7)
    net = random_network(rng, timesteps=1, spike_max=3, depth=1, max_side=5, max_channels=3)
    return Accelerator(net, replace(simple_schedule(net), family="xilinx7"))


def test_core_of_the_pynq_is_estimated_once(tmp_path):
    board, told = load_board("pynq-z2"), []
    made = write_project(accelerator(), board, tmp_path, progress=told.append)
    found = made.estimate
    for name in ("lut", "ff"):
        usage = getattr(found, name)
        assert 100 < usage.used < 0.2 * usage.available
    assert 1 <= found.bram.used < 20
    document = json.loads(made.report.read_text())
    assert document["lut"] == {"used": found.lut.used, "available": 53200}
    assert "nothing was placed or routed" in document["what"]
    assert {p.name for p in (tmp_path / "ip").iterdir()} == {"component.xml", "pysnn_accelerator.v"}
    assert told

    told.clear()
    assert write_project(accelerator(), board, tmp_path, progress=told.append) == made
    assert told == []

    tiny = board.model_copy(update={"budget": board.budget.model_copy(update={"luts": 100})})
    with pytest.raises(PlanError, match=r"yosys needs \d+ LUT of 100 for the design"):
        write_project(accelerator(), tiny, tmp_path)
