# SPDX-License-Identifier: BSD-2-Clause
"""The timing model says from spike trains alone what the Verilated design takes, to the cycle."""

import pytest

from pysnn_hw.golden import simulate
from pysnn_hw.plan.activity import Activity
from pysnn_hw.plan.cycles import chain_timing
from pysnn_hw.verify import run_dataset
from pysnn_hw.verify.harness import BUILD_FAST
from tests.random_cases import random_case

pytestmark = pytest.mark.cosim


@pytest.mark.parametrize("seed", range(2000, 2008))
def test_predicted_cycles_equal_simulated_cycles(seed: int) -> None:
    case = random_case(seed, images=5)
    golden = simulate(case.net, case.images, trace=True)
    assert golden.trace is not None
    activity = Activity.of(case.net, case.images, golden.trace.spikes, golden.steps)
    predicted = chain_timing(case.net, case.schedule, activity)
    measured = run_dataset(
        case.net, case.schedule, case.images, profile=BUILD_FAST, jobs=1, patience=200_000
    )
    assert measured.mismatches == 0, measured.first
    # Both count from the first cycle after reset.
    assert predicted.accepted.tolist() == measured.started.tolist(), case.describe()
    assert predicted.finished.tolist() == measured.finished.tolist(), case.describe()
