# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import random

import pytest

from pysnn_hw.hdl.events import EventKind
from pysnn_hw.hdl.window_reader import WindowReader
from pysnn_hw.ir.snn import Pool
from tests.hdl_bench import PACES, run

# windows, (channels, height, width) of the map, lanes, range of spikes
CASES = [
    (Pool("max", (3, 3), (2, 2)), (4, 5, 7), 2, (0, 3)),
    (Pool("sum", (2, 2), (1, 1)), (3, 3, 4), 3, (-1, 1)),
    (Pool("gate", (1, 2), (3, 3)), (2, 7, 5), 1, (0, 1)),
    (Pool("max", (3, 2), (1, 3)), (1, 3, 5), 1, (0, 7)),
    (Pool("max", (2, 2), (2, 2)), (2, 1 + 1, 2), 2, (0, 1)),
]
FLAGS = ("first", "last", "keep", "fresh")


def marker(lanes, kind):
    zeros = {"y": 0, "x": 0, "group": 0, "values": [0] * lanes}
    return {"kind": kind, **zeros, **dict.fromkeys(FLAGS, 0)}


def timesteps_of(case, rng, count=4):
    """Values (y, x, group) -> word of each timestep."""
    _, (channels, height, width), lanes, (low, high) = case
    spots = [
        (y, x, g) for y in range(height) for x in range(width) for g in range(channels // lanes)
    ]
    return [
        {spot: [rng.randint(low, high) for _ in range(lanes)] for spot in spots}
        for _ in range(count)
    ]


def words_of(case, steps, kinds):
    _, _, lanes, _ = case
    for number, (values, kind) in enumerate(zip(steps, kinds, strict=True)):
        for (y, x, g), word in values.items():
            flags = {"first": 1, "last": 1, "keep": 1, "fresh": int(number % 2 == 0)}
            yield {"kind": EventKind.SPIKE, "y": y, "x": x, "group": g, "values": word, **flags}
        yield marker(lanes, kind)


def model(case, steps, kinds):
    pool, shape, lanes, _ = case
    (kh, kw), (sy, sx) = pool.kernel, pool.stride
    _, rows, columns = pool.out_shape(shape)
    for number, (values, kind) in enumerate(zip(steps, kinds, strict=True)):
        for y in range(rows):
            for x in range(columns):
                for g in range(shape[0] // lanes):
                    members = [(dy, dx) for dy in range(kh) for dx in range(kw)]
                    for dy, dx in members:
                        yield {
                            "kind": EventKind.SPIKE, "y": y, "x": x, "group": g,
                            "values": values[y * sy + dy, x * sx + dx, g],
                            "first": int((dy, dx) == (0, 0)),
                            "last": int((dy, dx) == (kh - 1, kw - 1)),
                            "keep": 1, "fresh": int(number % 2 == 0),
                        }  # fmt: skip
        yield marker(lanes, kind)


KINDS = (EventKind.STEP, EventKind.PROBE, EventKind.STEP, EventKind.INFERENCE)


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_words_window_by_window(case, pace):
    steps = timesteps_of(case, random.Random(3))
    expected = list(model(case, steps, KINDS))
    dut = WindowReader(*case)
    got = run(dut, {"i": list(words_of(case, steps, KINDS))}, {"o": len(expected)}, pace=pace)
    assert got.payloads["o"] == expected


def test_a_word_per_cycle():
    case = CASES[0]
    steps = timesteps_of(case, random.Random(3), count=2)
    expected = list(model(case, steps, KINDS[:2]))
    dut = WindowReader(*case)
    got = run(dut, {"i": list(words_of(case, steps, KINDS[:2]))}, {"o": len(expected)})
    taken, left = got.cycles["i"], got.cycles["o"]
    words, read = 5 * 7 * 2, 2 * 3 * 2 * 9
    assert taken[words - 1] - taken[0] == words - 1
    # The marker shows, every word is read, the marker is taken.
    assert taken[words] - taken[words - 1] == 1 + read + 1
    assert left[read] - left[0] == read
    assert left[read] - taken[words] == dut.latency
