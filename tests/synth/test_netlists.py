# SPDX-License-Identifier: BSD-2-Clause
"""What synthesis makes of an accelerator computes what golden computes."""

from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.errors import ToolError
from pysnn_hw.ir.snn import INPUT
from pysnn_hw.plan import load_board
from pysnn_hw.plan.schedule import CorePlan, simple_schedule
from pysnn_hw.verify.dataset import run_dataset
from pysnn_hw.verify.harness import BUILD_FAST
from tests.networks import random_images
from tests.unit.hdl.shared.programs import network

pytestmark = [pytest.mark.synth, pytest.mark.cosim]

IMAGES = 4


def schedule(net, family, shared):
    base = simple_schedule(net)
    memory = "lut" if family == "ecp5" else "block"
    cores = tuple(replace(core, membrane_memory=memory) for core in base.cores)
    if shared:
        alone = {p.target for p in net.projections if p.source == INPUT} | {"readout"}
        names = [p.name for p in net.populations]
        inside = tuple(n for n in names[:-1] if n not in alone)
        first = names.index(inside[0])
        cores = (*cores[:first], CorePlan(inside, (), 2, (1, 3)), cores[-1])
    return replace(base, family=family, cores=cores)


@pytest.mark.parametrize("board", ["ulx3s-85f", "icebreaker", "gatemate-evb"])
@pytest.mark.parametrize("shared", [False, True])
def test_netlists_compute_what_golden_does(board, shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    device = load_board(board).device
    net = network("residual", 2, 3)
    images = random_images(np.random.default_rng(3), net, IMAGES)
    result = run_dataset(
        net,
        schedule(net, device.family, shared),
        images,
        device=device,
        folder=tmp_path,
        profile=BUILD_FAST,
    )
    assert not result.stalled
    assert result.mismatches == 0, result.first
    assert result.spikes_compared > 100


def test_a_family_without_models_is_refused(tmp_path):
    device = load_board("hx8k").device.model_copy(update={"family": "gowin"})
    net = network("residual", 1, 3)
    images = random_images(np.random.default_rng(3), net, 1)
    with pytest.raises(ToolError, match="netlists of ecp5, gatemate and ice40, not of gowin"):
        run_dataset(net, schedule(net, "ecp5", False), images, device=device, folder=tmp_path)
