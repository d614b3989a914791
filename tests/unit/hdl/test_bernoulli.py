# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import random

import pytest

from pysnn_hw.hdl.bernoulli import BernoulliEncoder
from pysnn_hw.hdl.events import EventKind
from pysnn_hw.ir.snn import Input
from tests.hdl_bench import PACES, run

STEP, INFERENCE = (
    {"kind": kind, "y": 0, "x": 0, "c": 0, "value": 0}
    for kind in (EventKind.STEP, EventKind.INFERENCE)
)


def bernoulli(shape, zero_point, seed, **limits):
    return Input(shape, zero_point, encoding="bernoulli", seed=seed, **limits)


CASES = [
    (bernoulli((1, 4, 3), (0,), 1), 3),
    (bernoulli((3, 2, 3), (120, 7, 255), 0x9E3779B9), 4),
    (bernoulli((2, 1, 1), (-3, 5), 2**32 - 1, minimum=-8, maximum=7), 9),
    (bernoulli((1, 1, 1), (9,), 77, maximum=9), 6),
    (bernoulli((5, 1, 2), (1, 0, 1, 0, 3), 3, maximum=3), 2),
    (bernoulli((2, 2, 2), (0, 1), 123456789, maximum=1), 5),
    (bernoulli((1, 3, 2), (10,), 5), 1),
]


def numbers(seed):
    x = seed
    while True:
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        yield x


def model(source, timesteps, frames):
    """Events and statuses of ``frames``: lists of raw integers, ``last`` on each final one."""
    channels, height, width = source.shape
    size = channels * height * width
    bits = source.peak.bit_length()
    events, statuses = [], []
    for frame in frames:
        draw = numbers(source.seed)
        for step in range(timesteps):
            for k in range(size):
                pixel, c = divmod(k, channels)
                y, x = divmod(pixel, width)
                value = frame[k] - source.zero_point[c] if k < len(frame) else 0
                a = abs(value)
                if next(draw) >> (32 - bits) < a + (a >> (bits - 1)):
                    unit = 1 if value > 0 else -1
                    events.append({"kind": EventKind.SPIKE, "y": y, "x": x, "c": c, "value": unit})
            events.append(INFERENCE if step == timesteps - 1 else STEP)
        statuses.append(int(len(frame) != size))
    return events, statuses


def stimulus(source, rng, lengths):
    """Frames with many values at, near and far from the zero points."""
    frames = []
    for length in lengths:
        frame = []
        for k in range(length):
            zero = source.zero_point[k % source.shape[0]]
            some = rng.randint(source.minimum, source.maximum)
            near = rng.choice([zero, zero + 1, source.minimum, source.maximum, some, some])
            frame.append(min(max(near, source.minimum), source.maximum))
        frames.append(frame)
    return frames


def transfers(frames):
    return [
        {"value": raw, "last": k == len(frame) - 1}
        for frame in frames
        for k, raw in enumerate(frame)
    ]


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0].shape}x{c[1]}")
def test_events_of_good_and_bad_frames(case, pace):
    source, timesteps = case
    rng = random.Random(1)
    size = source.shape[0] * source.shape[1] * source.shape[2]
    lengths = [size, size, size + 1, size, max(1, size - 1), size + 7, 1, size, size]
    frames = stimulus(source, rng, lengths + [size] * (30 // size))
    events, statuses = model(source, timesteps, frames)
    units = [e["value"] for e in events if e["kind"] is EventKind.SPIKE]
    assert set(units) == {v for v in source.event_range if v}
    assert 0.2 < len(units) / (len(frames) * timesteps * size) < 0.8
    assert any(statuses)
    seen = run(
        BernoulliEncoder(source, timesteps),
        {"i": transfers(frames)},
        {"o": len(events), "status": len(statuses)},
        pace=pace,
    )
    assert seen.payloads["o"] == events
    assert seen.payloads["status"] == statuses


def test_extremes_are_certain_and_the_middle_is_fair():
    """0 never sends, the peak always does, and 128 of 255 every other time."""
    source, timesteps = bernoulli((1, 1, 3), (0,), 99), 600
    expected, _ = model(source, timesteps, [[0, 255, 128]])
    seen = run(
        BernoulliEncoder(source, timesteps), {"i": transfers([[0, 255, 128]])}, {"o": len(expected)}
    )
    assert seen.payloads["o"] == expected
    columns = [e["x"] for e in seen.payloads["o"] if e["kind"] is EventKind.SPIKE]
    assert (columns.count(0), columns.count(1)) == (0, timesteps)
    assert abs(columns.count(2) - timesteps / 2) < 4 * (timesteps / 4) ** 0.5


def test_one_input_per_cycle_and_latency():
    source, timesteps = bernoulli((2, 3, 3), (0, 0), 4), 3
    frames = [[255] * 18, [0, 255] * 9]
    dut = BernoulliEncoder(source, timesteps)
    events, _ = model(source, timesteps, frames)
    seen = run(dut, {"i": transfers(frames)}, {"o": len(events), "status": 2})
    taken, sent = seen.cycles["i"], seen.cycles["o"]
    assert taken[17] - taken[0] == 17
    assert taken[18] - taken[0] == timesteps * (18 + 1)
    assert sent[0] - taken[0] == dut.latency
    markers = [
        c for c, e in zip(sent, seen.payloads["o"], strict=True) if e["kind"] is not EventKind.SPIKE
    ]
    assert markers == [taken[0] + dut.latency + 18 + 19 * k for k in range(2 * timesteps)]


def test_status_waits_without_loss():
    source = bernoulli((1, 1, 2), (0,), 8)
    frames = [[1, 2], [200, 1, 7], [0, 9], [2, 2, 2, 2]] * 3
    events, statuses = model(source, 2, frames)
    dut = BernoulliEncoder(source, 2, status_depth=2)
    outputs = {"o": len(events), "status": 12}
    seen = run(dut, {"i": transfers(frames)}, outputs, takes={"status": 0.05})
    assert seen.payloads["status"] == statuses
    assert seen.payloads["o"] == events


@pytest.mark.parametrize(
    ("source", "timesteps", "depth", "message"),
    [
        (bernoulli((2, 1, 1), (0,), 1), 1, 1, "zero_point must have one value for each of the 2"),
        (bernoulli((1, 1, 1), (0,), 1), 0, 1, "timesteps must be at least 1, not 0"),
        (bernoulli((1, 1, 1), (0,), 0), 1, 1, "seed must be in 1..2\\*\\*32 - 1, not 0"),
        (bernoulli((1, 1, 1), (0,), 1), 1, 0, "status_depth must be at least 1, not 0"),
    ],
)
def test_refusals(source, timesteps, depth, message):
    with pytest.raises(ValueError, match=message):
        BernoulliEncoder(source, timesteps, status_depth=depth)
