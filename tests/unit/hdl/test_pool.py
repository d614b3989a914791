# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import random

import pytest

from pysnn_hw.hdl.events import EventKind
from pysnn_hw.hdl.pool import GatePool, RunningMaxPool, WindowPool, make_pool
from pysnn_hw.ir.snn import Pool
from tests.hdl_bench import PACES, run

# (channels, height, width) of the pooled map, lanes, range of spikes, words per window
CASES = [
    ((4, 2, 3), 4, (0, 15), 4),
    ((6, 1, 2), 2, (0, 1), 9),
    ((2, 2, 1), 1, (0, 5), 1),
    ((3, 1, 1), 3, (0, 3), 6),
    ((4, 2, 2), 2, (-3, 3), 4),
    ((2, 1, 3), 2, (-1, 1), 2),
]
GATES = [CASES[0], CASES[2], ((6, 4, 3), 2, (0, 1), 4), ((6, 2, 4), 3, (0, 3), 6)]
IMAGES = 4


def marker(lanes, kind, flags=0):
    zeros = {"y": 0, "x": 0, "group": 0, "values": [0] * lanes}
    return {"kind": kind, **zeros, **dict.fromkeys(("first", "last", "keep", "fresh"), flags)}


def stimulus(case, timesteps, rng):
    """Words of whole images: quiet, single-valued and busy windows, some of them incomplete."""
    (channels, height, width), lanes, (low, high), window = case
    spots = [
        (y, x, g) for y in range(height) for x in range(width) for g in range(channels // lanes)
    ]
    words = []
    for image in range(IMAGES):
        for step in range(timesteps):
            for y, x, g in spots:
                density = rng.choice([0.0, 0.2, 1.0])
                values_of = rng.choice([(1, high), (high,), (low, high), (low or 1,)])
                keep = rng.random() < 0.8
                for k in range(window):
                    values = [
                        rng.choice(values_of) if rng.random() < density else 0 for _ in range(lanes)
                    ]
                    words.append(
                        {
                            "kind": EventKind.SPIKE, "y": y, "x": x, "group": g, "values": values,
                            "first": k == 0, "last": k == window - 1, "keep": keep,
                            "fresh": step == 0,
                        }
                    )  # fmt: skip
            final = step == timesteps - 1
            kind = EventKind.INFERENCE if final else EventKind.STEP
            words.append(marker(lanes, kind, flags=image % 2))
    return words


def model(words, reduce):
    """Pooled words; ``reduce(index of the word, values of one lane over the window, fresh)``."""
    pooled, window, index = [], [], 0
    for word in words:
        at = {name: word[name] for name in ("kind", "y", "x", "group")}
        if word["kind"] is not EventKind.SPIKE:
            pooled.append({**at, "values": word["values"]})
            index = 0
            continue
        window = [word["values"]] if word["first"] else [*window, word["values"]]
        if word["last"]:
            lanes = zip(*window, strict=True)
            values = [reduce((index, p), v, word["fresh"]) for p, v in enumerate(lanes)]
            if word["keep"] and any(values):
                pooled.append({**at, "values": values})
        index += 1
    return pooled


class RunningMax:
    """``max_i C_i(t) - max_i C_i(t - 1)`` by remembering all totals."""

    def __init__(self):
        self.totals = {}

    def __call__(self, where, values, fresh):
        before = [0] * len(values) if fresh else self.totals[where]
        self.totals[where] = [c + v for c, v in zip(before, values, strict=True)]
        return max(self.totals[where]) - max(before)


class Gate:
    """The spike of the first neuron whose total, this step's included, is the largest."""

    def __init__(self):
        self.totals = {}
        self.chosen = set()

    def __call__(self, where, values, fresh):
        before = [0] * len(values) if fresh else self.totals[where]
        self.totals[where] = [c + v for c, v in zip(before, values, strict=True)]
        most = self.totals[where].index(max(self.totals[where]))
        self.chosen.add((most, self.totals[where].count(max(self.totals[where])) > 1))
        return values[most]


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("mode", ["sum", "max"])
def test_window_pool(mode, case, pace):
    shape, lanes, spikes, window = case
    words = stimulus(case, 2, random.Random(5))
    reduce = {"sum": sum, "max": max}[mode]
    expected = model(words, lambda _where, values, _fresh: reduce(values))
    dut = WindowPool(mode, shape, lanes, spikes, window=window)
    seen_values = {v for w in expected for v in w["values"]}
    assert set(dut.value_range) <= seen_values
    sent = [w for w in expected if w["kind"] is EventKind.SPIKE]
    windows = IMAGES * 2 * shape[0] // lanes * shape[1] * shape[2]
    assert 0 < len(sent) < windows  # some were dropped
    seen = run(dut, {"i": words}, {"o": len(expected)}, pace=pace)
    assert seen.payloads["o"] == expected


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_running_max_pool(case, pace):
    shape, lanes, spikes, window = case
    timesteps = 5
    words = stimulus(case, timesteps, random.Random(6))
    plain_max = model(words, lambda _where, values, _fresh: max(values))
    expected = model(words, RunningMax())
    if window > 1:
        assert expected != plain_max
    per_step = shape[0] // lanes * shape[1] * shape[2] * window
    dut = RunningMaxPool(shape, lanes, spikes, timesteps=timesteps, words=per_step)
    seen = run(dut, {"i": words}, {"o": len(expected)}, pace=pace)
    assert seen.payloads["o"] == expected


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("case", GATES, ids=str)
def test_gate_pool(case, pace):
    shape, lanes, spikes, window = case
    timesteps = 5
    words = stimulus(case, timesteps, random.Random(6))
    gate = Gate()
    expected = model(words, gate)
    if window > 1:
        assert expected != model(words, RunningMax())
        assert expected != model(words, lambda _where, values, _fresh: max(values))
        assert {most for most, _ in gate.chosen} == set(range(window))
        assert len([most for most, tied in gate.chosen if tied]) > 1
    per_step = shape[0] // lanes * shape[1] * shape[2] * window
    dut = GatePool(shape, lanes, spikes, timesteps=timesteps, words=per_step)
    seen = run(dut, {"i": words}, {"o": len(expected)}, pace=pace)
    assert seen.payloads["o"] == expected


def test_running_max_pool_reaches_the_largest_total():
    """Full spikes at every step: totals grow to the end of their range without wrapping."""
    case, timesteps = ((1, 1, 1), 1, (0, 3), 1), 9
    words = stimulus(case, timesteps, random.Random(0))
    for word in words:
        if word["kind"] is EventKind.SPIKE:
            word.update(values=[3], keep=1)
    dut = RunningMaxPool(*case[:3], timesteps=timesteps, words=1)
    seen = run(dut, {"i": words}, {"o": len(words)})
    assert [w["values"] for w in seen.payloads["o"]] == [w["values"] for w in words]


@pytest.mark.parametrize("timesteps", [1, 3])
@pytest.mark.parametrize("mode", ["sum", "max", "gate"])
def test_full_throughput_and_latency(mode, timesteps):
    case = ((4, 2, 3), 4, (0, 15), 4)
    words = stimulus(case, timesteps, random.Random(7))
    pool = Pool(mode, (2, 2), (2, 2))
    dut = make_pool(pool, *case[:3], timesteps=timesteps, words=24)
    over_time = {"sum": WindowPool, "max": RunningMaxPool, "gate": GatePool}[mode]
    assert isinstance(dut, over_time if timesteps > 1 else WindowPool)
    reduce = {"sum": lambda _w, v, _f: sum(v), "max": RunningMax(), "gate": Gate()}[mode]
    expected = model(words, reduce)
    seen = run(dut, {"i": words}, {"o": len(expected)})
    assert seen.payloads["o"] == expected
    taken, sent = seen.cycles["i"], seen.cycles["o"]
    assert taken == list(range(taken[0], taken[0] + len(words)))
    assert sent[-1] - taken[-1] == dut.latency


def test_without_pooling_only_words_of_zeros_are_dropped():
    case = ((6, 2, 2), 2, (0, 7), 1)
    words = stimulus(case, 2, random.Random(8))
    for word in words:
        word["keep"] = 1
    expected = model(words, lambda _where, values, _fresh: values[0])
    dut = make_pool(None, *case[:3], timesteps=2, words=12)
    seen = run(dut, {"i": words}, {"o": len(expected)})
    assert seen.payloads["o"] == expected


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: WindowPool("mean", (2, 1, 1), 1, (0, 1), window=4), "'sum' or 'max', not 'mean'"),
        (lambda: WindowPool("sum", (2, 1, 1), 1, (0, 0), window=4), "spikes must reach"),
        (lambda: WindowPool("sum", (2, 1, 1), 1, (0, 1), window=0), "window must be at least 1"),
        (lambda: WindowPool("sum", (3, 1, 1), 2, (0, 1), window=1), "lanes must divide the 3"),
        (lambda: RunningMaxPool((2, 1, 1), 1, (0, 1), timesteps=0, words=2), "timesteps must be"),
        (lambda: RunningMaxPool((2, 1, 1), 1, (0, 1), timesteps=2, words=0), "words must be"),
        (lambda: GatePool((2, 1, 1), 1, (-1, 1), timesteps=2, words=2), "not negative"),
    ],
)
def test_refusals(build, message):
    with pytest.raises(ValueError, match=message):
        build()
