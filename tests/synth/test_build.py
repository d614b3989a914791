# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Bitstreams of small accelerators, with the real tools."""

import hashlib
import json

import numpy as np
import pytest

from pysnn_hw.build import build_accelerator
from pysnn_hw.build.families import retune_words
from pysnn_hw.build.flow import clock_limit_hz
from pysnn_hw.build.roundtrip import check_bitstream, memory_words, netlist_words, sections
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


def weight_blocks(netlist, kind):
    """Blocks of RAM with contents."""
    cells = json.loads(netlist.read_text())["modules"]["top"]["cells"].values()
    return sum(
        any("1" in str(value) for name, value in cell["parameters"].items() if "INIT" in name)
        for cell in cells
        if cell["type"] == kind
    )


def check_figures(result, board):
    assert result.clock_mhz <= result.fmax_mhz
    # The next faster setting would not close, or is more than the board may have.
    limit_hz = min(result.fmax_mhz * 1e6, clock_limit_hz(board, None))
    best = best_pll(board.clock.pll, board.clock.hz, limit_hz)
    assert best.output_mhz == result.clock_mhz
    assert 100 < result.lut.used < result.lut.available == board.budget.luts
    assert 100 < result.ff.used < result.ff.available == board.budget.ffs
    assert 0 < result.bram.used < result.bram.available == board.budget.bram.count
    assert result.dsp.available == board.budget.dsps


def test_icebreaker_is_reproducible_resumable_and_retuned_without_placing_again(tmp_path):
    board, design = load_board("icebreaker"), accelerator("spram")
    first = build_accelerator(design, board, tmp_path / "first")
    check_figures(first, board)
    assert check_bitstream(tmp_path / "first", board.device).tiles > 500
    assert first.spram.used == len(design.load_decoder.regions)
    flash, bitstream = first.flash_image.read_bytes(), first.bitstream.read_bytes()
    assert flash[: len(bitstream)] == bitstream
    assert flash[board.flash.boot_offset :] == boot_image(design.boot_contents())

    told: list[str] = []
    second = tmp_path / "second"
    again = build_accelerator(accelerator("spram"), board, second, progress=told.append)
    assert sha(again.bitstream) == sha(first.bitstream)
    assert any("Routing" in line for line in told)

    told.clear()
    assert build_accelerator(accelerator("spram"), board, second, progress=told.append) == again
    assert told == []

    limit_hz = 0.6e6 * first.clock_mhz
    slower = build_accelerator(
        accelerator("spram"), board, second, clock_hz=limit_hz, progress=told.append
    )
    assert slower.clock_mhz <= limit_hz / 1e6
    assert sha(slower.bitstream) != sha(first.bitstream)
    assert [line.split()[0] for line in told] == ["nextpnr-ice40", "icepack"]


def test_ulx3s(tmp_path):
    board = load_board("ulx3s-12f")
    result = build_accelerator(accelerator("block"), board, tmp_path)
    check_figures(result, board)
    # Every weight is where the netlist has it, and no bit got lost on the way.
    trip = check_bitstream(tmp_path, board.device)
    assert trip.memories == weight_blocks(tmp_path / "accelerator.json", "DP16KD") > 0
    assert trip.size == result.bitstream.stat().st_size
    assert result.flash_image is None
    text = (tmp_path / "accelerator.config").read_text()
    pll = best_pll(board.clock.pll, board.clock.hz, result.fmax_mhz * 1e6)
    assert f"word: CLKOS_DIV {pll.parameters['CLKOS_DIV'] - 1:07b}\n" in text
    assert f"word: CLKFB_DIV {pll.parameters['CLKFB_DIV'] - 1:07b}\n" in text


@pytest.mark.timeout(1800)
def test_tang_nano_9k_is_retuned_without_placing_again(tmp_path):
    board = load_board("tang-nano-9k")
    result = build_accelerator(accelerator("block"), board, tmp_path)
    check_figures(result, board)
    assert result.flash_image is None
    first = sha(result.bitstream)

    told: list[str] = []
    slower = build_accelerator(
        accelerator("block"),
        board,
        tmp_path,
        clock_hz=0.6e6 * result.clock_mhz,
        progress=told.append,
    )
    assert slower.clock_mhz <= 0.6 * result.clock_mhz
    assert slower.lut == result.lut
    assert sha(slower.bitstream) != first
    assert [line.split()[0] for line in told] == ["gowin_pack"]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["tang-nano-20k", "tang-primer-20k"])
def test_tang_20k_is_not_clocked_as_fast_as_nextpnr_says(tmp_path, name):
    board = load_board(name)
    result = build_accelerator(accelerator("block"), board, tmp_path)
    check_figures(result, board)
    assert result.clock_mhz == board.clock.most_hz / 1e6 < result.fmax_mhz
    assert result.bitstream.stat().st_size > 1_000_000  # a bit is a character


@pytest.mark.timeout(1800)
def test_gatemate_is_retuned_without_placing_again(tmp_path):
    board = load_board("gatemate-evb")
    result = build_accelerator(accelerator("block"), board, tmp_path)
    check_figures(result, board)
    # Not `check_bitstream`: on this bitstream gmunpack 0.11.1 reads beyond its memory.
    first = (tmp_path / "accelerator.txt").read_text()
    netlist = json.loads((tmp_path / "accelerator.json").read_text())
    words = memory_words(sections(first), "gatemate")
    assert words == netlist_words(netlist, "gatemate")
    assert words.total() == weight_blocks(tmp_path / "accelerator.json", "CC_BRAM_20K") > 0
    # Set to what it was placed for, the PLL has the dividers that nextpnr found.
    routed = (tmp_path / "accelerator.seed1.routed.txt").read_text()
    goal = best_pll(board.clock.pll, board.clock.hz, board.clock.target_hz)
    assert retune_words(routed, goal) == routed != first

    told: list[str] = []
    limit_hz = 0.6e6 * result.clock_mhz
    slower = build_accelerator(
        accelerator("block"), board, tmp_path, clock_hz=limit_hz, progress=told.append
    )
    assert slower.clock_mhz <= limit_hz / 1e6
    changed = set((tmp_path / "accelerator.txt").read_text().splitlines()) - set(first.splitlines())
    assert {line.split()[0][:11] for line in changed} <= {"PLL0.CFG_A_"}
    assert changed
    assert [line.split()[0] for line in told] == ["gmpack"]


@pytest.mark.timeout(1800)
def test_crosslink_nx_keeps_its_clock_even_if_the_oscillator_is_fast(tmp_path):
    board = load_board("crosslink-nx-evn")
    result = build_accelerator(accelerator("block"), board, tmp_path)
    check_figures(result, board)
    assert result.clock_mhz * 1.15 <= min(result.fmax_mhz, board.clock.most_hz / 1e6)
    text = (tmp_path / "accelerator.fasm").read_text()
    assert f"HF_CLK_DIV[7:0] = 8'b{round(450 / result.clock_mhz) - 1:08b}\n" in text
    assert result.bitstream.stat().st_size > 100_000
