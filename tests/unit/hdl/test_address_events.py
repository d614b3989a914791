# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import random

import pytest
from amaranth.lib import data

from pysnn_hw.hdl.address_events import AddressEvents
from pysnn_hw.hdl.events import EventKind, event_layout
from pysnn_hw.ir.snn import Input
from tests.hdl_bench import PACES, plain, run


def source_of(shape, low, high):
    return Input(shape, (0,) * shape[0], low, high, encoding="events")


CASES = [
    (source_of((3, 5, 6), -2, 5), 4),
    (source_of((2, 4, 4), 0, 1), 3),
    (source_of((1, 1, 1), 0, 6), 2),
    (source_of((5, 3, 1), -128, 127), 1),
    (source_of((2, 7, 3), -1, 0), 5),
]
FAULTS = ("none", "none", "early", "late", "y", "x", "c", "value", "kind", "lone", "none")


def bits_of(source, kind, y=0, x=0, c=0, value=0):
    """An event as a word of bits: fields may say what no event can."""
    layout = event_layout(source.shape, source.range)
    word = 0
    for (name, field), number in zip(layout, (kind, y, x, c, value), strict=True):
        word |= (number & (1 << field.width) - 1) << layout[name].offset
    return word


def words_of(source, timesteps, fault, rng):
    """Words of one image; what ``fault`` asks for is put in somewhere."""
    layout = event_layout(source.shape, source.range)
    steps = timesteps
    if fault == "early":
        steps = rng.randrange(timesteps)
    elif fault == "late":
        steps = timesteps + rng.randint(1, 3)
    channels, height, width = source.shape
    places = [(y, x, c) for y in range(height) for x in range(width) for c in range(channels)]
    words = []
    for step in range(steps + (fault == "early")):
        for y, x, c in rng.sample(places, min(len(places), rng.randint(0, 6))):
            value = rng.randint(source.minimum, source.maximum)  # zeros too
            words.append(bits_of(source, 0, y, x, c, value))
        if step < steps - (fault != "late"):
            words.append(bits_of(source, 1, *(rng.randrange(8) for _ in range(4))))
    words.append(bits_of(source, 2, *(rng.randrange(8) for _ in range(4))))
    at = rng.randrange(len(words))
    if fault == "kind":
        words.insert(at, bits_of(source, 3))
    if fault in ("y", "x", "c"):
        size, most = {"y": height, "x": width, "c": channels}[fault], 1 << layout[fault].width
        if size < most:
            words.insert(at, bits_of(source, 0, value=1, **{fault: rng.randrange(size, most)}))
    if fault == "value":
        span = range(-(1 << layout["value"].width - 1), 1 << layout["value"].width)
        bad = [v for v in span if not source.minimum <= plain_value(layout, v) <= source.maximum]
        if bad:
            words.insert(at, bits_of(source, 0, value=rng.choice(bad)))
    if fault == "lone":
        words = words[-1:]
    return words


def plain_value(layout, value):
    """What the value field makes of an integer."""
    width = layout["value"].width
    value &= (1 << width) - 1
    negative = layout["value"].shape.signed and value >> (width - 1)
    return value - (1 << width) if negative else value


def model(source, timesteps, words):
    """Events passed on and statuses, by the rules of the component's docstring."""
    channels, height, width = source.shape
    layout = event_layout(source.shape, source.range)
    events, statuses = [], []

    def mark(kind):
        events.append({"kind": kind, "y": 0, "x": 0, "c": 0, "value": 0})

    step, fault, dropping = 0, 0, False
    for word in words:
        raw = {name: word >> f.offset & (1 << f.width) - 1 for name, f in layout}
        if dropping:
            dropping = raw["kind"] != 2
            continue
        if raw["kind"] == 0:
            value = plain_value(layout, raw["value"])
            inside = raw["y"] < height and raw["x"] < width and raw["c"] < channels
            if not (inside and source.minimum <= value <= source.maximum):
                fault = 1
            elif value:
                events.append({**raw, "kind": EventKind.SPIKE, "value": value})
        elif raw["kind"] == 3:
            fault = 1
        else:
            ends = raw["kind"] == 2
            fault |= ends != (step == timesteps - 1)
            for _ in range(timesteps - 1 - step if ends else int(step < timesteps - 1)):
                mark(EventKind.STEP)
                step += 1
                if not ends:
                    break
            else:
                mark(EventKind.INFERENCE)
                statuses.append(int(fault))
                step, fault, dropping = 0, 0, not ends
    return events, statuses


def stimulus(source, timesteps, seed, images=45):
    rng = random.Random(seed)
    faults = [FAULTS[k % len(FAULTS)] for k in range(images)]
    return [word for fault in faults for word in words_of(source, timesteps, fault, rng)]


def constants(source, words):
    layout = event_layout(source.shape, source.range)
    return [data.Const(layout, word) for word in words]


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0].shape}x{c[1]}")
def test_good_and_malformed_images(case, pace):
    source, timesteps = case
    words = stimulus(source, timesteps, 3)
    events, statuses = model(source, timesteps, words)
    kinds = {e["kind"] for e in events}
    assert kinds >= {EventKind.SPIKE, EventKind.INFERENCE}
    assert {0, 1} == set(statuses)
    dut = AddressEvents(source, timesteps)
    seen = run(
        dut,
        {"i": constants(source, words)},
        {"o": len(events), "status": len(statuses)},
        pace=pace,
    )
    assert seen.payloads["o"] == events
    assert seen.payloads["status"] == statuses


def test_the_stimulus_has_everything_malformed():
    source, timesteps = CASES[0]
    layout = event_layout(source.shape, source.range)
    words = stimulus(source, timesteps, 3)
    raws = [{name: w >> f.offset & (1 << f.width) - 1 for name, f in layout} for w in words]
    spikes = [r for r in raws if r["kind"] == 0]
    assert any(r["y"] >= 5 for r in spikes)
    assert any(r["x"] >= 6 for r in spikes)
    assert any(r["c"] >= 3 for r in spikes)
    assert any(plain_value(layout, r["value"]) not in range(-2, 6) for r in spikes)
    assert any(r["value"] == 0 for r in spikes)
    assert any(r["kind"] == 3 for r in raws)


def test_one_event_per_cycle_and_latency():
    source, timesteps = source_of((4, 4, 4), 0, 3), 2
    spikes = [bits_of(source, 0, y, x, 1, 2) for y in range(4) for x in range(4)]
    words = [*spikes, bits_of(source, 1), *spikes, bits_of(source, 2)] * 2
    dut = AddressEvents(source, timesteps)
    seen = run(dut, {"i": constants(source, words)}, {"o": len(words), "status": 2})
    taken, sent = seen.cycles["i"], seen.cycles["o"]
    assert taken == list(range(taken[0], taken[0] + len(words)))
    assert sent == [cycle + dut.latency for cycle in taken]
    got = [plain(data.Const(dut.i_layout, word)) for word in words]
    assert seen.payloads["o"] == got


def test_status_waits_without_loss():
    source, timesteps = CASES[1]
    words = stimulus(source, timesteps, 5, images=14)
    events, statuses = model(source, timesteps, words)
    dut = AddressEvents(source, timesteps, status_depth=2)
    outputs = {"o": len(events), "status": len(statuses)}
    seen = run(dut, {"i": constants(source, words)}, outputs, takes={"status": 0.05})
    assert seen.payloads["status"] == statuses
    assert seen.payloads["o"] == events


@pytest.mark.parametrize(
    ("timesteps", "depth", "message"),
    [
        (0, 1, "timesteps must be at least 1, not 0"),
        (1, 0, "status_depth must be at least 1, not 0"),
    ],
)
def test_refusals(timesteps, depth, message):
    with pytest.raises(ValueError, match=message):
        AddressEvents(source_of((1, 1, 1), 0, 1), timesteps, status_depth=depth)
