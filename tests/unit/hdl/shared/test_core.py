# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""A shared core against golden: every event that leaves, every word that fires."""

import numpy as np
import pytest

from pysnn_hw.golden import simulate
from pysnn_hw.hdl.events import EventKind
from pysnn_hw.hdl.shared.core import SharedCore
from pysnn_hw.ir.snn import PLAIN, Neuron
from tests.hdl_bench import run
from tests.networks import random_images
from tests.poisoned import PoisonedMemory
from tests.unit.hdl.shared.programs import network, program

IMAGES = 3


@pytest.fixture(autouse=True)
def _poisoned(monkeypatch):
    """What is read as it is written is wrong."""
    monkeypatch.setattr("pysnn_hw.hdl.membrane.BlockMemory", PoisonedMemory)
    monkeypatch.setattr("pysnn_hw.hdl.shared.core.BlockMemory", PoisonedMemory)


def events(spikes, timesteps):
    """Events of spikes (N, T, C, H, W), as cores send them."""
    found = []
    none = {"y": 0, "x": 0, "c": 0, "value": 0}
    for image in spikes:
        for step, values in enumerate(image):
            for y, x, c in np.argwhere(values.transpose(1, 2, 0)):
                value = int(values[c, y, x])
                found.append({"kind": EventKind.SPIKE, "y": y, "x": x, "c": c, "value": value})
            last = step == timesteps - 1
            found.append({**none, "kind": EventKind.INFERENCE if last else EventKind.STEP})
    return [{k: (v if k == "kind" else int(v)) for k, v in e.items()} for e in found]


CASES = {
    "residual": ("residual", 1, 15, PLAIN, (1, 3), "lut"),
    "multipliers": ("residual", 1, 15, PLAIN, (1, 3), "dsp"),
    "chain of binary spikes": ("chain", 3, 1, PLAIN, (1, 1), "lut"),
    "many steps": ("residual", 3, 3, PLAIN, (3, 3), "lut"),
    "odd banks": ("residual", 1, 3, PLAIN, (2, 2), "lut"),
    "ways in": ("wide", 2, 3, PLAIN, (1, 3), "lut"),
    "signed": ("residual", 2, 3, Neuron("signed"), (1, 3), "lut"),
    "hard reset": ("residual", 2, 2, Neuron(reset="hard"), (1, 3), "lut"),
    "strict": ("chain", 2, 1, Neuron(strict=True), (1, 3), "lut"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("pace", [(1.0, 1.0), (0.6, 0.3)])
def test_every_event_is_goldens(name, pace):
    shape, timesteps, spike_max, neuron, banks, lane_kind = CASES[name]
    net = network(shape, timesteps, spike_max, neuron)
    compiled = program(net, banks=banks)
    rng = np.random.default_rng(1)
    images = random_images(rng, net, IMAGES)
    golden = simulate(net, images, trace=True)
    spikes = golden.trace.spikes
    dut = SharedCore(compiled, lane_kind=lane_kind, family="ecp5")
    inputs = {
        f"i_{k}": events(spikes[region.population], timesteps)
        for k, region in enumerate(compiled.outside)
    }
    senders = [layer.population.name for layer in compiled.layers if layer.sends]
    want = {f"o_{k}": events(spikes[n], timesteps) for k, n in enumerate(senders)}
    assert sum(len(w) for w in want.values()) > 20
    traffic = run(dut, inputs, {k: len(w) for k, w in want.items()}, pace=pace, max_cycles=200_000)
    for k, expected in want.items():
        assert traffic.payloads[k] == expected, k
