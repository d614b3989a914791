# SPDX-License-Identifier: BSD-2-Clause
import random

import pytest

from pysnn_hw.hdl.splitter import WordSplitter
from tests.hdl_bench import PACES, run


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("size", [1, 4, 8, 12, 13, 16])
@pytest.mark.parametrize("buffered", [False, True])
def test_items_come_one_by_one_with_what_the_word_carries(size, buffered, pace):
    rng = random.Random(size)
    words = []
    for number in range(40):
        density = rng.choice([0, 0.2, 0.6, 1])
        items = [rng.randint(1, 7) if rng.random() < density else 0 for _ in range(size)]
        words.append({"tag": number, "marker": int(rng.random() < 0.2), "items": items})
    want = []
    for word in words:
        shown = {"tag": word["tag"], "marker": word["marker"]}
        if word["marker"]:
            # Which item stands beside a marker is of no consequence to anyone.
            want.append({**shown, "index": 0})
            continue
        want += [{**shown, "index": k, "item": v} for k, v in enumerate(word["items"]) if v]
    dut = WordSplitter(size, 3, 6, buffered=buffered)
    traffic = run(dut, {"i": words}, {"o": len(want)}, pace=pace)
    got = traffic.payloads["o"]
    for g, w in zip(got, want, strict=True):
        assert {k: g[k] for k in w} == w


@pytest.mark.parametrize("buffered", [False, True])
def test_no_bubble_between_words(buffered):
    dut = WordSplitter(16, 3, 6, buffered=buffered)
    words = [{"tag": k, "marker": 0, "items": [1] * 16} for k in range(5)]
    traffic = run(dut, {"i": words}, {"o": 80})
    cycles = traffic.cycles["o"]
    assert cycles[-1] - cycles[0] == 79
    assert cycles[0] - traffic.cycles["i"][0] == dut.latency
