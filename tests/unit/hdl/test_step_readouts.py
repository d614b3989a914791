# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""The readouts that look at the scores of every timestep: early exit, sampled votes."""

import random

import pytest

from pysnn_hw.hdl.early_exit import EarlyExit
from pysnn_hw.hdl.sampler import Sampler
from pysnn_hw.hdl.score_shifter import ScoreShifter
from tests.hdl_bench import PACES, run

# classes, lanes, score_bits, timesteps
CASES = [(10, 5, 12, 4), (4, 1, 6, 7), (2, 2, 20, 3), (6, 3, 4, 1), (3, 1, 32, 2)]
IMAGES = 24


def images_of(case, rng, count=IMAGES):
    """Scores of all steps, growing apart at different speed, with ties and rails."""
    classes, _, bits, timesteps = case
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    images = []
    for _ in range(count):
        pull = rng.choice([0, 1, 2, 4, (high + 1) // (2 * timesteps) + 1])
        scores, steps = [rng.choice([-1, 0, 1]) for _ in range(classes)], []
        favourites = [rng.randrange(classes) for _ in range(rng.choice([1, 2]))]
        for _ in range(timesteps):
            scores = [s + rng.choice([-1, 0, 1]) for s in scores]
            for k in favourites:
                scores[k] += pull
            if rng.random() < 0.1:
                scores = [rng.choice([low, high]) for _ in scores]
            scores = [min(max(s, low), high) for s in scores]
            steps.append(scores)
        images.append(steps)
    return images


def words_of(images, lanes):
    return [
        {
            "values": scores[at : at + lanes],
            "group": at // lanes,
            "last": int(at + lanes == len(scores)),
            "final": int(step == len(steps) - 1),
        }
        for steps in images
        for step, scores in enumerate(steps)
        for at in range(0, len(scores), lanes)
    ]


def sent(scores):
    """What leaves for the scores of one image, one class at a time."""
    return [
        {"values": [score], "group": k, "last": int(k == len(scores) - 1)}
        for k, score in enumerate(scores)
    ]


def exit_step(steps, margin):
    for number, scores in enumerate(steps, 1):
        best, second = sorted(scores, reverse=True)[:2]
        if best - second >= margin:
            return number
    return len(steps)


def exits(images, margin):
    return [exit_step(steps, margin) for steps in images]


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_early_exit(case, pace):
    classes, lanes, bits, timesteps = case
    margin = 2 if bits < 8 else 5
    images = images_of(case, random.Random(4))
    steps = exits(images, margin)
    assert {1, timesteps} <= set(steps)
    assert len(set(steps)) > timesteps // 2
    expected = [word for s, n in zip(images, steps, strict=True) for word in sent(s[n - 1])]
    dut = EarlyExit(classes, lanes=lanes, score_bits=bits, margin=margin, timesteps=timesteps)
    got = run(dut, {"i": words_of(images, lanes)}, {"o": len(expected)}, pace=pace)
    assert got.payloads["o"] == expected


def test_lead_of_a_margin_is_enough_and_one_less_is_not():
    images = [[[0, 7, 3], [0, 7, 2]], [[9, 0, 4], [1, 2, 3]], [[5, 5, 0], [0, 0, 0]]]
    assert exits(images, 5) == [2, 1, 2]
    dut = EarlyExit(3, lanes=1, score_bits=5, margin=5, timesteps=2)
    got = run(dut, {"i": words_of(images, 1)}, {"o": 9})
    assert [p["values"][0] for p in got.payloads["o"]] == [0, 7, 2, 9, 0, 4, 0, 0, 0]


def test_early_exit_latency_and_pace():
    """The result leaves at once; a step that decides nothing costs two cycles."""
    case = (4, 2, 8, 3)
    images = [[[0, 0, 0, 1], [0, 0, 0, 90], [1, 2, 3, 4]], [[0, 9, 0, 0]] * 3]
    dut = EarlyExit(4, lanes=2, score_bits=8, margin=9, timesteps=3)
    got = run(dut, {"i": words_of(images, case[1])}, {"o": 8})
    taken, left = got.cycles["i"], got.cycles["o"]
    assert left[0] - taken[3] == dut.latency
    assert left[:4] == list(range(left[0], left[0] + 4))
    assert [p["values"][0] for p in got.payloads["o"]] == [0, 0, 0, 90, 0, 9, 0, 0]
    # Step 1 (words 0, 1) is judged while its successor waits in the shifter.
    assert taken[3] - taken[2] == 2 + 2
    # Step 2 is judged, four scores leave, the stage goes back; then step 3 is ignored in passing.
    assert taken[6] - taken[4] == 2 + 4 + 1 + 4


def numbers(seed):
    x = seed
    while True:
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        yield x


def votes_of(steps, noise, seed):
    draw, votes = numbers(seed), [0] * len(steps[0])
    for scores in steps:
        noisy = [score + noise[next(draw) >> 24] for score in scores]
        votes[noisy.index(max(noisy))] += 1
    return votes


def tables(bits, rng):
    """Noise that matters beside scores of so many bits, in order and with both signs."""
    reach = min(1 << bits - 1, 6)
    return sorted(rng.randint(-reach, reach) for _ in range(256))


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("case", [*CASES, (1, 1, 5, 3)], ids=str)
def test_sampler(case, pace):
    classes, lanes, bits, timesteps = case
    rng = random.Random(8)
    images, seed = images_of(case, rng), rng.randrange(1, 1 << 32)
    noise = tables(bits, rng)
    votes = [votes_of(steps, noise, seed) for steps in images]
    if classes > 1:
        plain = [votes_of(steps, [0] * 256, seed) for steps in images]
        assert votes != plain
        assert len({v.index(max(v)) for v in votes}) > 1
    expected = [word for v in votes for word in sent(v)]
    dut = Sampler(
        classes, lanes=lanes, score_bits=bits, noise=noise, seed=seed, timesteps=timesteps
    )
    got = run(dut, {"i": words_of(images, lanes)}, {"o": len(expected)}, pace=pace)
    assert got.payloads["o"] == expected


def test_sampler_latency():
    images = [[[0, 3, 1, 2]] * 2] * 2
    dut = Sampler(4, lanes=2, score_bits=8, noise=[0] * 256, seed=1, timesteps=2)
    got = run(dut, {"i": words_of(images, 2)}, {"o": 8})
    taken, left = got.cycles["i"], got.cycles["o"]
    assert left[0] - taken[3] == dut.latency
    assert taken[3] - taken[2] == 2 + dut.settling
    assert [p["values"][0] for p in got.payloads["o"]] == [0, 2, 0, 0] * 2


def test_sampler_forgets_votes_of_before_a_reset():
    """Votes live in a memory, which no reset clears: it must be cleared before the first image."""
    images = [[[0, 3, 1, 2]] * 3]
    dut = Sampler(4, lanes=2, score_bits=8, noise=[0] * 256, seed=1, timesteps=3)
    dut.store.memory.init = ()
    got = run(dut, {"i": words_of(images, 2)}, {"o": 4})
    assert got.cycles["i"][2] >= 4  # one word waits in the shifter meanwhile


def test_shifter_flags_come_with_every_score():
    words = [
        {"values": [1, 2], "group": 0, "last": 0, "final": 1},
        {"values": [3, 4], "group": 1, "last": 1, "final": 0},
    ]
    dut = ScoreShifter(4, lanes=2, score_bits=4, flags=("final",))
    got = run(dut, {"i": words}, {"o": 4}, pace=(1.0, 0.3))
    assert got.payloads["o"] == [
        {"score": 1, "last": 0, "final": 1},
        {"score": 2, "last": 0, "final": 1},
        {"score": 3, "last": 0, "final": 0},
        {"score": 4, "last": 1, "final": 0},
    ]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: EarlyExit(1, lanes=1, score_bits=4, margin=1, timesteps=1), "at least 2 classes"),
        (lambda: EarlyExit(2, lanes=1, score_bits=4, margin=0, timesteps=1), "must be positive"),
        (
            lambda: Sampler(2, lanes=1, score_bits=4, noise=[0], seed=1, timesteps=1),
            "noise must have 256 values, not 1",
        ),
        (
            lambda: Sampler(2, lanes=1, score_bits=4, noise=[0] * 256, seed=0, timesteps=1),
            "seed must be in 1",
        ),
        (
            lambda: Sampler(2, lanes=1, score_bits=4, noise=[0] * 256, seed=1, timesteps=0),
            "timesteps must be at least 1",
        ),
    ],
)
def test_refusals(build, message):
    with pytest.raises(ValueError, match=message):
        build()
