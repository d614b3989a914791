# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import random

import pytest

from pysnn_hw.hdl.events import EventKind
from pysnn_hw.hdl.serializer import Serializer, word_layout
from tests.hdl_bench import PACES, run

CASES = [  # (shape, lanes, value range)
    ((4, 3, 5), 4, (0, 15)),
    ((64, 2, 2), 32, (0, 15)),
    ((16, 1, 3), 16, (-7, 7)),
    ((10, 1, 1), 5, (0, 1)),
    ((40, 2, 1), 20, (0, 60)),
    ((22, 1, 2), 11, (0, 3)),
    ((3, 2, 2), 1, (0, 1)),
]


def marker(lanes, kind):
    return {"kind": kind, "y": 0, "x": 0, "group": 0, "values": [0] * lanes}


def stimulus(shape, lanes, value_range, rng, steps=3):
    """Words of one, some and all lanes, at every position, with markers between."""
    channels, height, width = shape
    lo, hi = value_range
    words = []
    for step in range(steps):
        for y in range(height):
            for x in range(width):
                for group in range(channels // lanes):
                    density = rng.choice([0.0, 0.1, 0.5, 1.0])
                    values = [rng.choice([lo or hi, hi, 1]) for _ in range(lanes)]
                    values = [v if rng.random() < density else 0 for v in values]
                    values[rng.randrange(lanes)] = hi
                    word = {"y": y, "x": x, "group": group, "values": values}
                    words.append({"kind": EventKind.SPIKE, **word})
        kind = EventKind.STEP if step % 2 == 0 else EventKind.INFERENCE
        words.append(marker(lanes, kind))
    return words


def model(words, lanes):
    events = []
    for word in words:
        at = {key: word[key] for key in ("kind", "y", "x")}
        if word["kind"] is not EventKind.SPIKE:
            events.append({**at, "c": 0, "value": 0})
        for lane, value in enumerate(word["values"]):
            if value:
                events.append({**at, "c": word["group"] * lanes + lane, "value": value})
    return events


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_events_in_order(case, pace):
    shape, lanes, _ = case
    words = stimulus(*case, random.Random(3))
    events = model(words, lanes)
    counts = {sum(v != 0 for v in w["values"]) for w in words}
    assert {0, 1, lanes} <= counts
    assert {e["c"] for e in events} == set(range(shape[0]))
    seen = run(Serializer(*case), {"i": words}, {"o": len(events)}, pace=pace)
    assert seen.payloads["o"] == events


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_bubble_between_words(case):
    words = stimulus(*case, random.Random(4))
    dut = Serializer(*case)
    seen = run(dut, {"i": words}, {"o": len(model(words, case[1]))})
    sent = seen.cycles["o"]
    assert sent == list(range(sent[0], sent[0] + len(sent)))
    assert sent[0] - seen.cycles["i"][0] == dut.latency


def test_word_of_zeros_yields_nothing():
    zeros = {"kind": EventKind.SPIKE, "y": 1, "x": 1, "group": 1, "values": [0] * 16}
    words = [zeros, marker(16, EventKind.STEP), zeros, {**zeros, "values": [0] * 15 + [2]}, zeros]
    seen = run(Serializer((32, 2, 2), 16, (0, 3)), {"i": words}, {"o": 2})
    assert seen.payloads["o"] == model(words, 16)


@pytest.mark.parametrize("lanes", [0, 3, 8])
def test_lanes_must_divide_the_channels(lanes):
    with pytest.raises(ValueError, match=f"lanes must divide the 4 channels, not be {lanes}"):
        Serializer((4, 1, 1), lanes, (0, 1))


def test_word_flags():
    layout = word_layout((4, 1, 1), 2, (0, 1), ("first", "keep"))
    assert layout.size == 2 + 1 + 1 + 1 + 2 + 2
