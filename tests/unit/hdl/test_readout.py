# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import random

import pytest

from pysnn_hw.hdl.readout import Readout
from tests.hdl_bench import PACES, run

CASES = [(10, 5, 20), (10, 10, 9), (4, 1, 6), (1, 1, 32), (6, 3, 2)]


def images_of(classes, bits, rng, count=40):
    """Scores with ties, rails and the winner at every place."""
    lo, hi = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    images = []
    for k in range(count):
        pool = rng.choice([[lo, hi], [lo, lo + 1], [hi - 1, hi], [-1, 0], range(lo, hi + 1)])
        scores = [rng.choice(pool) for _ in range(classes)]
        if k < classes:
            scores = [min(s, hi - 1) for s in scores]
            scores[k] = hi
        images.append(scores)
    return images


def words_of(images, lanes):
    return [
        {"values": s[at : at + lanes], "group": at // lanes, "last": at + lanes == len(s)}
        for s in images
        for at in range(0, len(s), lanes)
    ]


def model(images, statuses):
    return [
        {
            "score": score,
            "winner": scores.index(max(scores)) if k == len(scores) - 1 else 0,
            "error": status if k == len(scores) - 1 else 0,
            "last": int(k == len(scores) - 1),
        }
        for scores, status in zip(images, statuses, strict=True)
        for k, score in enumerate(scores)
    ]


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_scores_winner_and_status(case, pace):
    classes, lanes, bits = case
    rng = random.Random(9)
    images = images_of(classes, bits, rng)
    statuses = [rng.randrange(2) for _ in images]
    expected = model(images, statuses)
    assert {e["winner"] for e in expected if e["last"]} == set(range(classes))
    if classes > 1:
        assert any(s.count(max(s)) > 1 for s in images)
    dut = Readout(classes, lanes=lanes, score_bits=bits)
    inputs = {"i": words_of(images, lanes), "status": statuses}
    assert run(dut, inputs, {"o": len(expected)}, pace=pace).payloads["o"] == expected


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_bubbles(case):
    classes, lanes, bits = case
    images = images_of(classes, bits, random.Random(1))
    dut = Readout(classes, lanes=lanes, score_bits=bits)
    inputs = {"i": words_of(images, lanes), "status": [0] * len(images)}
    seen = run(dut, inputs, {"o": len(images) * classes})
    sent = seen.cycles["o"]
    assert sent == list(range(sent[0], sent[0] + len(sent)))
    assert sent[0] - seen.cycles["i"][0] == dut.latency


def test_last_score_waits_for_the_status():
    """Everything but the last score leaves at once; nothing after it overtakes."""
    images = [[3, 1], [0, 5]]
    dut = Readout(2, lanes=1, score_bits=4)
    words = words_of(images, 1)
    assert len(run(dut, {"i": words[:2]}, {"o": 1}).payloads["o"]) == 1
    dut = Readout(2, lanes=1, score_bits=4)
    seen = run(dut, {"i": words[:3], "status": [1]}, {"o": 3})
    assert [p["error"] for p in seen.payloads["o"]] == [0, 1, 0]


@pytest.mark.parametrize(
    ("classes", "lanes", "bits", "message"),
    [
        (10, 4, 8, "lanes must divide the 10 classes, not be 4"),
        (10, 0, 8, "lanes must divide the 10 classes, not be 0"),
        (10, 5, 33, "score_bits must be in 1..32, not 33"),
    ],
)
def test_refusals(classes, lanes, bits, message):
    with pytest.raises(ValueError, match=message):
        Readout(classes, lanes=lanes, score_bits=bits)
