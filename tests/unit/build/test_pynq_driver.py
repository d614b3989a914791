# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""The generated driver on the hardware that it is generated for, in simulation."""

import numpy as np
import pytest

from pysnn_hw.golden import simulate
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.hdl.axi_core import AxiCore
from pysnn_hw.plan.schedule import simple_schedule
from pysnn_hw.verify.design import Design
from tests.configurations import configuration
from tests.networks import random_images, random_network
from tests.pynq_bench import SimulatedBoard, load_driver, pynq_on

PATIENCE_S = 300
"""A busy machine simulates some cycles a second only."""


@pytest.fixture(scope="module")
def net():
    rng = np.random.default_rng(7)
    return random_network(rng, timesteps=1, spike_max=3, depth=1, max_side=5, max_channels=3)


def core_of(net):
    return AxiCore(Accelerator(net, simple_schedule(net)))


@pytest.fixture(scope="module")
def board(net):
    return SimulatedBoard(core_of(net))


@pytest.fixture(scope="module")
def overlay(net, board):
    with pytest.MonkeyPatch.context() as patch:
        return load_driver(core_of(net), pynq_on(board), patch).AcceleratorOverlay("a.bit")


def images_of(net, count, seed=3):
    return random_images(np.random.default_rng(seed), net, count)


def check(results, golden):
    np.testing.assert_array_equal(results.scores, golden.scores)
    np.testing.assert_array_equal(results.classes, golden.classes)
    assert not results.errors.any()


def test_batches_of_images_get_golden_scores(net, overlay):
    core, images = overlay.accelerator, images_of(net, 3)
    core.reset()
    check(overlay.classify(images, batch=2, timeout_s=PATIENCE_S), simulate(net, images))
    counters = core.counters
    assert (counters["IMAGES"], counters["ERRORS"]) == (3, 0)
    assert counters["BUSY"] > counters["CYCLES"] > images[0].size
    assert core.register("STATUS") == 0


def test_a_short_image_is_marked_and_spoils_no_other(net, overlay):
    images = images_of(net, 2)
    wire = np.moveaxis(images, 1, -1).reshape(2, -1)
    found = overlay.send(np.concatenate([wire[0], wire[1][:-2]]), 2, timeout_s=PATIENCE_S)
    assert found.errors.tolist() == [False, True]
    assert overlay.accelerator.counters["ERRORS"] == 1
    assert overlay.accelerator.register("STATUS") == 0b10
    # In the order of the wire, too.
    check(overlay.classify(wire[:1], timeout_s=PATIENCE_S), simulate(net, images[:1]))
    assert overlay.classify(wire[:0]).scores.shape == (0, net.populations[-1].size)


def test_reset_forgets_a_half_sent_image(net, overlay, board):
    core, images = overlay.accelerator, images_of(net, 1)
    board.outgoing.extend((int(v), False) for v in images[0].ravel()[:-1] & 0xFF)
    while board.outgoing:
        board.pass_time()
    assert core.register("STATUS") & 1
    core.reset()
    assert core.register("STATUS") == 0
    check(overlay.classify(images, timeout_s=PATIENCE_S), simulate(net, images))
    assert core.counters["IMAGES"] == 1
    core.reset()
    assert set(core.counters.values()) == {0}


def test_events(monkeypatch):
    found = configuration("events")
    images = found.images[:1]  # of thousands of cycles each; Verilator runs the others
    core = AxiCore(Accelerator(found.net, found.schedule))
    words = Design(found.net, found.schedule).input_words(images)
    driver = load_driver(core, pynq_on(SimulatedBoard(core)), monkeypatch)
    overlay = driver.AcceleratorOverlay("a.bit")
    sent = np.concatenate([w.reshape(-1) for w in words])
    check(overlay.send(sent, len(words), timeout_s=PATIENCE_S), simulate(found.net, images))
    with pytest.raises(ValueError, match="takes events: use send"):
        overlay.classify(images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.astype(float), "images must be integers, not float64"),
        (lambda x: x.reshape(len(x), -1)[:, 1:], r"an image has \d+ integers, not \d+"),
        (lambda x: x + 10_000, r"pixels must be in -?\d+..\d+, not \d+..\d+"),
    ],
)
def test_wrong_images_are_refused(net, overlay, change, message):
    with pytest.raises(ValueError, match=message):
        overlay.classify(change(images_of(net, 2)))


def test_no_answer_ends_with_what_the_counters_say(net, overlay):
    with pytest.raises(TimeoutError, match=r"no answer within 0 s, counters .*'IMAGES'"):
        overlay.send(np.zeros(1, int), 5, timeout_s=0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("IDENTIFICATION", 1, "there is no accelerator at the address"),
        ("VERSION", 9, "has version 1 of its registers, this driver is for 9"),
        ("FINGERPRINT", 0xABC, "this driver of 00000abc: take both from one build"),
    ],
)
def test_a_driver_of_another_build_says_so(net, board, monkeypatch, name, value, message):
    driver = load_driver(core_of(net), pynq_on(board), monkeypatch)
    monkeypatch.setitem(driver.__dict__, name, value)
    with pytest.raises(RuntimeError, match=message):
        driver.AcceleratorOverlay("a.bit")


def test_without_pynq_the_import_says_where_it_belongs(net, monkeypatch):
    with pytest.raises(ImportError, match="runs on a board with PYNQ, and this Python has no"):
        load_driver(core_of(net), None, monkeypatch)
