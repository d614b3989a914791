# SPDX-License-Identifier: BSD-2-Clause
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import serial

from pysnn_hw.errors import LinkError, ToolError
from pysnn_hw.golden import simulate
from pysnn_hw.hdl.link.parameters import LinkParameters
from pysnn_hw.hdl.link.uart_top import UartTop
from pysnn_hw.host import Link, run_images
from pysnn_hw.host.stress import Sample, stress
from pysnn_hw.host.virtual_board import VirtualBoard, virtual_board
from pysnn_hw.plan.schedule import simple_schedule
from tests.link_bench import SumAccelerator, sums, winner
from tests.networks import random_network

pytestmark = pytest.mark.cosim

PARAMETERS = LinkParameters(
    36, 0, 255, 4, divisor=4, fingerprint=0x1234, clock_mhz=25, address_width=8, timeout_bytes=200
)
EXTRA = [7, 0, 255, 1]


@pytest.fixture(scope="module")
def board():
    design = UartTop(SumAccelerator(PARAMETERS, 20), PARAMETERS)
    with VirtualBoard(design) as running:
        yield running


@pytest.fixture
def link(board):
    """A link to the board with its memories loaded."""
    with Link(board.port, timeout_s=20) as connection:
        connection.upload(0, bytes(EXTRA))
        yield connection


def scores_of(image):
    return [s + e for s, e in zip(sums(image, 4), EXTRA, strict=True)]


def test_driver_on_a_pseudo_terminal(link):
    assert link.info() == PARAMETERS.info
    rng = np.random.default_rng(1)
    for _ in range(20):
        image = rng.integers(0, 256, 36)
        result = link.infer(image)
        assert result.scores.tolist() == scores_of(image.tolist())
        assert result.klass == winner(scores_of(image.tolist()))
        assert result.cycles == 36 + 1 + 20 + 4 - 1
        assert not result.error
    assert link.counts["retry"] == 0


def test_host_that_comes_back(board, link):
    image = np.arange(36)
    first = link.infer(image)
    link.close()
    with Link(board.port, timeout_s=20) as again:
        assert again.infer(image).scores.tolist() == first.scores.tolist()


def test_leftovers_of_another_program_do_no_harm(board, link):
    with serial.Serial(board.port, timeout=0.1) as other:
        other.write(bytes(range(1, 60)))
    assert link.infer(np.arange(36)).klass == winner(scores_of(list(range(36))))


def test_frames_are_all_accounted_for(board, link):
    rng = np.random.default_rng(4)
    samples = []
    for _ in range(8):
        image = rng.integers(0, 256, 36, dtype=np.uint8)
        scores = scores_of(image.tolist())
        samples.append(Sample(image.tobytes(), struct.pack("<4iHB", *scores, winner(scores), 0)))
    info = link.info()
    link.close()
    with serial.Serial(board.port, timeout=0.05) as port:
        report = stress(port, info, samples, frames=500, images=150, spoiled=0.1, seed=3)
    assert report.passed, report
    assert all(report.spoiled.values()), "this seed must spoil frames in every way"
    assert report.images > 100


def test_wrong_answers_would_be_noticed(board, link):
    info = replace(link.info(), fingerprint=0x4321)
    link.close()
    with serial.Serial(board.port, timeout=0.05) as port:
        report = stress(port, info, [], frames=5, images=0, spoiled=0)
    assert (report.wrong, report.answered, report.passed) == (5, 0, False)


def test_network_on_the_virtual_board_equals_golden():
    rng = np.random.default_rng(3)
    net = random_network(rng, overlap=False, max_side=6)
    images = rng.integers(net.input.minimum, net.input.maximum + 1, (6, *net.input.shape))
    schedule = simple_schedule(net, lanes=2)
    results = run_images(net, images, virtual=True, schedule=schedule)
    golden = simulate(net, images)
    assert [r.scores.tolist() for r in results] == golden.scores.tolist()
    assert [r.klass for r in results] == golden.classes.tolist()
    assert not any(r.error for r in results)
    assert all(r.cycles > 0 for r in results)


def test_weights_that_start_empty_are_uploaded():
    rng = np.random.default_rng(7)
    net = random_network(rng, overlap=False, max_side=5, depth=1)
    plain = simple_schedule(net)
    cores = tuple(
        replace(core, inputs=tuple(replace(p, weight_memory="spram") for p in core.inputs))
        for core in plain.cores
    )
    schedule = replace(plain, cores=cores)
    images = rng.integers(net.input.minimum, net.input.maximum + 1, (3, *net.input.shape))
    golden = simulate(net, images).scores.tolist()
    results = run_images(net, images, virtual=True, schedule=schedule)
    assert [r.scores.tolist() for r in results] == golden

    with virtual_board(net, schedule) as board:
        with pytest.raises(LinkError, match="its memories are empty; give the schedule"):
            run_images(net, images, port=board.port)
        results = run_images(net, images, port=board.port, schedule=schedule)
        assert [r.scores.tolist() for r in results] == golden
        results = run_images(net, images, port=board.port)  # now they are loaded
        assert [r.scores.tolist() for r in results] == golden


def test_another_network_is_refused(board, link):
    net = random_network(np.random.default_rng(1))
    with pytest.raises(LinkError, match="the device runs network 00001234, not"):
        run_images(net, np.zeros((1, *net.input.shape), int), port=board.port)


def test_board_that_dies_is_a_clear_error():
    design = UartTop(SumAccelerator(PARAMETERS, 20), PARAMETERS)
    with VirtualBoard(design) as mortal:
        link = Link(mortal.port, timeout_s=20)
        assert link.info() == replace(PARAMETERS.info, loaded=False)
        name = mortal.port
        mortal.close()
        with pytest.raises(LinkError, match=r"the port is gone|no answer"):
            link.upload(0, bytes(4))
        link.close()
        with pytest.raises(ToolError, match="virtual board: is not running"):
            _ = mortal.port
    assert not Path(name).exists()


def test_exactly_one_device():
    net = random_network(np.random.default_rng(1))
    images = np.zeros((1, *net.input.shape), int)
    for choice in ({}, {"port": "x", "virtual": True}):
        with pytest.raises(LinkError, match="give either a port or the virtual board"):
            run_images(net, images, **choice)
