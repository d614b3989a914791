# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import random

import pytest

from pysnn_hw.hdl.encode import PixelEncoder
from pysnn_hw.hdl.events import EventKind
from pysnn_hw.ir.snn import Input
from tests.hdl_bench import PACES, run

MARKER = {"kind": EventKind.INFERENCE, "y": 0, "x": 0, "c": 0, "value": 0}
SOURCES = [
    Input((1, 4, 3), (0,)),
    Input((3, 2, 3), (120, 7, 255)),
    Input((2, 1, 1), (-3, 5), minimum=-8, maximum=7),
    Input((1, 1, 1), (9,), maximum=9),
    Input((5, 1, 2), (1, 0, 1, 0, 3), maximum=3),
    Input((1, 2, 3), (0,), threshold=1),
    Input((2, 2, 2), (0, 0), minimum=-8, maximum=7, threshold=-2),
]


def model(source, frames):
    """Events and statuses of ``frames``: lists of raw integers, ``last`` on each final one."""
    channels, height, width = source.shape
    size = channels * height * width
    events, statuses = [], []
    for frame in frames:
        for k, raw in enumerate(frame[:size]):
            pixel, c = divmod(k, channels)
            y, x = divmod(pixel, width)
            value = raw - source.zero_point[c]
            if source.threshold is not None:
                value = int(raw >= source.threshold)
            if value:
                events.append({"kind": EventKind.SPIKE, "y": y, "x": x, "c": c, "value": value})
        events.append(MARKER)
        statuses.append(int(len(frame) != size))
    return events, statuses


def stimulus(source, rng, lengths):
    """Frames with many values at, next to and far from the zero points, or the threshold."""
    frames = []
    for length in lengths:
        frame = []
        for k in range(length):
            zero = source.zero_point[k % source.shape[0]]
            zero = zero if source.threshold is None else source.threshold
            near = rng.choice([zero, zero, zero - 1, zero + 1, source.minimum, source.maximum])
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
@pytest.mark.parametrize("source", SOURCES, ids=lambda s: str(s.shape))
def test_events_of_good_and_bad_frames(source, pace):
    rng = random.Random(1)
    size = source.shape[0] * source.shape[1] * source.shape[2]
    lengths = [size, size, size + 1, size, max(1, size - 1), size + 7, 1, size, size]
    frames = stimulus(source, rng, lengths + [size] * (40 // size))
    events, statuses = model(source, frames)
    lo, hi = source.range
    assert {lo, hi, 1, -1} & set(range(lo, hi + 1)) <= {e["value"] for e in events}
    assert any(statuses)
    seen = run(
        PixelEncoder(source),
        {"i": transfers(frames)},
        {"o": len(events), "status": len(statuses)},
        pace=pace,
    )
    assert seen.payloads["o"] == events
    assert seen.payloads["status"] == statuses


def test_one_input_per_cycle_and_latency():
    source = Input((2, 3, 3), (1, 0))
    frames = [[0] * 18, [0, 1] * 9, [1, 0] * 9]
    dut = PixelEncoder(source)
    events, _ = model(source, frames)
    seen = run(dut, {"i": transfers(frames)}, {"o": len(events), "status": 3})
    taken, sent = seen.cycles["i"], seen.cycles["o"]
    assert taken[-1] - taken[0] == 3 * 18 - 1 + 2  # two markers between three images
    first = next(k for k, t in enumerate(transfers(frames)) if t["value"] == 0 and k % 2 == 0)
    assert sent[0] - taken[first] == dut.latency
    markers = [c for c, e in zip(sent, seen.payloads["o"], strict=True) if e == MARKER]
    assert markers == [taken[18 * k + 17] + 1 + dut.latency for k in range(3)]


def test_status_waits_without_loss():
    source = Input((1, 1, 1), (0,))
    frames = [[1], [1, 1], [0], [2, 2, 2]] * 5
    events, statuses = model(source, frames)
    dut = PixelEncoder(source, status_depth=2)
    seen = run(dut, {"i": transfers(frames)}, {"o": len(events), "status": 20}, pace=(1.0, 0.2))
    assert seen.payloads["status"] == statuses
    assert seen.payloads["o"] == events


@pytest.mark.parametrize(
    ("source", "depth", "message"),
    [
        (Input((2, 1, 1), (0,)), 1, "zero_point must have one value for each of the 2"),
        (Input((1, 0, 1), (0,)), 1, "must not be empty"),
        (Input((1, 1, 1), (0,), threshold=0), 1, "threshold must be above minimum"),
        (Input((1, 1, 1), (0,), threshold=256), 1, "at most maximum, not 256"),
        (Input((1, 1, 1), (0,)), 0, "status_depth must be at least 1, not 0"),
    ],
)
def test_refusals(source, depth, message):
    with pytest.raises(ValueError, match=message):
        PixelEncoder(source, status_depth=depth)
