# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Bitstreams of small accelerators, with the real tools."""

import hashlib

import numpy as np
import pytest

from pysnn_hw.build import build_accelerator
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.hdl.boot import boot_image
from pysnn_hw.hdl.clock import best_pll
from pysnn_hw.plan.board import load_board
from pysnn_hw.plan.schedule import CorePlan, InputPort, Schedule
from tests.networks import random_network

pytestmark = pytest.mark.synth


def accelerator(weight_memory):
    net = random_network(
        np.random.default_rng(7), timesteps=1, spike_max=3, depth=1, max_side=5, max_channels=3
    )
    cores = (
        CorePlan(
            (population.name,),
            tuple(
                InputPort(projection.name, queue_depth=8, weight_memory=weight_memory)
                for projection in net.into(population.name)
            ),
            lanes=1,
        )
        for population in net.populations
    )
    return Accelerator(net, Schedule(tuple(cores)))


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "weight_memory"), [("icebreaker", "spram"), ("ulx3s-12f", "block")]
)
def test_bitstream_is_reproducible_and_resumable_and_its_clock_closes(
    tmp_path, name, weight_memory
):
    board = load_board(name)
    design = accelerator(weight_memory)
    first = build_accelerator(design, board, tmp_path / "first")
    assert first.clock_mhz <= first.fmax_mhz
    # The next faster setting would not close.
    assert best_pll(board.clock.pll, board.clock.hz, first.fmax_mhz * 1e6).output_mhz == (
        first.clock_mhz
    )
    assert 100 < first.lut.used < first.lut.available == board.budget.luts
    assert 100 < first.ff.used < first.ff.available == board.budget.ffs
    assert 0 < first.bram.used < first.bram.available == board.budget.bram.count
    assert first.dsp.available == board.budget.dsps

    told: list[str] = []
    again = build_accelerator(
        accelerator(weight_memory), board, tmp_path / "second", progress=told.append
    )
    assert again.bitstream != first.bitstream
    assert sha(again.bitstream) == sha(first.bitstream)
    assert any("Routing" in line for line in told)

    told.clear()
    resumed = build_accelerator(
        accelerator(weight_memory), board, tmp_path / "second", progress=told.append
    )
    assert resumed == again
    assert told == []

    if weight_memory == "spram":
        assert first.spram.used == len(design.load_decoder.regions)
        flash = first.flash_image.read_bytes()
        offset = board.flash.boot_offset
        bitstream = first.bitstream.read_bytes()
        assert flash[: len(bitstream)] == bitstream
        assert flash[offset:] == boot_image(design.boot_contents())
    else:
        assert first.flash_image is None

    limit_hz = 0.6e6 * first.clock_mhz
    slower = build_accelerator(
        accelerator(weight_memory), board, tmp_path / "second", clock_hz=limit_hz
    )
    assert slower.clock_mhz <= limit_hz / 1e6
    assert sha(slower.bitstream) != sha(first.bitstream)
