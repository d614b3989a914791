# SPDX-License-Identifier: BSD-2-Clause
"""Address-events from outside: the whole verification, and what becomes of malformed images."""

import numpy as np
import pytest

from pysnn_hw.golden import simulate
from pysnn_hw.hdl.events import event_layout
from pysnn_hw.verify import Pressure, verify
from pysnn_hw.verify.design import Design
from pysnn_hw.verify.harness import BUILD_FAST, build_harness, run_harness, write_vectors
from pysnn_hw.verify.verilator import find_verilator
from tests.configurations import configuration

pytestmark = pytest.mark.cosim

STEP, INFERENCE = 1, 2


def test_verify_with_early_exit(tmp_path):
    """cocotb and harness drive events and see how many timesteps count."""
    found = configuration("early_exit_events")
    golden = simulate(found.net, found.images)
    assert len(set(golden.steps.tolist())) > 1
    report = verify(found.net, found.schedule, found.images, tmp_path)
    assert [check.complaint for check in report.checks] == [""] * report.tests
    assert (report.failures, report.mismatches, report.images) == (0, 0, 2 * len(found.images))


def test_malformed_images_are_reported_and_the_next_one_is_clean(tmp_path):
    found = configuration("events")
    net, images = found.net, np.repeat(found.images, 2, axis=0)
    design = Design(net, found.schedule)
    layout = event_layout(net.input.shape, net.input.range)
    executable = build_harness(find_verilator(), design, tmp_path, profile=BUILD_FAST)
    sent, errors = [w.copy() for w in design.input_words(images)], np.zeros(len(images), int)

    def kinds(words):
        return words[:, 0] >> layout["kind"].offset & 3

    outside = np.array([[7 << layout["y"].offset | 1 << layout["value"].offset]], np.uint32)
    sent[1] = np.concatenate([sent[1][:4], outside, sent[1][4:]])
    # Image 3 ends after its second step, image 5 goes on after its last one.
    second = int(np.flatnonzero(kinds(sent[3]) == STEP)[1])
    images[3, 2:] = 0
    sent[3] = np.concatenate([sent[3][:second], sent[3][-1:]])
    more = sent[5].copy()
    more[-1, 0] = STEP << layout["kind"].offset
    sent[5] = np.concatenate([more, sent[5]])
    errors[[1, 3, 5]] = 1

    golden = simulate(net, images, trace=True)
    vectors = tmp_path / "malformed.bin"
    write_vectors(design, images, golden, vectors, transfers=sent, errors=errors)
    pressure = Pressure(0.7, 0.5, 0.4, seed=3)
    run = run_harness(design, executable, vectors, len(images), pressure=pressure)
    assert (run.mismatches, run.stalled) == (0, False)
