# SPDX-License-Identifier: BSD-2-Clause
"""Memories that start empty are filled before the first image, in cocotb and in the harness."""

from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.plan import Schedule, simple_schedule
from pysnn_hw.verify import verify
from tests.networks import random_images, random_network

pytestmark = pytest.mark.cosim


def in_spram(schedule: Schedule) -> Schedule:
    """The same with every weight in single-port RAM."""
    return Schedule(
        tuple(
            replace(
                core, inputs=tuple(replace(port, weight_memory="spram") for port in core.inputs)
            )
            for core in schedule.cores
        )
    )


@pytest.mark.parametrize("lanes", [1, 4])
def test_booted_accelerator_equals_golden(tmp_path, lanes):
    rng = np.random.default_rng(11)
    net = random_network(rng, timesteps=2, depth=2)
    schedule = in_spram(simple_schedule(net, lanes=lanes))
    report = verify(net, schedule, random_images(rng, net, 8), tmp_path)
    assert [check.complaint for check in report.checks if check.complaint] == []
    assert report.mismatches == 0
    assert report.spikes_compared > 0
    assert "boot__payload" in (tmp_path / "accelerator.v").read_text()
