# SPDX-License-Identifier: BSD-2-Clause
"""Order of the tests: what takes seconds comes first, so that a plain mistake shows at once."""

import pytest

COSTS = ("formal", "cosim", "synth", "slow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def cost(item: pytest.Item) -> int:
        marks = (k for k, name in enumerate(COSTS, 1) if item.get_closest_marker(name))
        return max(marks, default=0)

    items.sort(key=cost)
