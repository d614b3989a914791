# SPDX-License-Identifier: BSD-2-Clause
"""Random networks, schedules, queues and back-pressure: hardware equals golden on every word."""

import pytest

from pysnn_hw.verify import run_dataset
from pysnn_hw.verify.harness import BUILD_FAST
from tests.random_cases import random_case

pytestmark = pytest.mark.cosim


@pytest.mark.parametrize("seed", range(1000, 1030))
def test_hardware_equals_golden(seed):
    case = random_case(seed)
    result = run_dataset(
        case.net, case.schedule, case.images, pressure=case.pressure, profile=BUILD_FAST,
        jobs=1, patience=200_000,
    )  # fmt: skip
    assert result.mismatches == 0, f"{case.describe()}: {result.first}"
    assert (len(result.classes), result.stalled) == (len(case.images), False)
