# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Packets of images through a make-believe accelerator, at any pace."""

import random
from dataclasses import dataclass

import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.axi_packets import AxiPackets
from pysnn_hw.hdl.events import EventKind

CLASSES, LENGTH = 3, 4
PACES = [(1.0, 1.0), (0.4, 1.0), (1.0, 0.3), (0.5, 0.5)]


@dataclass(frozen=True)
class Word:
    data: int
    last: bool = False
    user: int = 0


def drive(dut, prefix, words, rng, pace):
    """Offers words; further ones may be appended while it runs."""

    async def bench(ctx):
        while True:
            if not words or rng.random() >= pace:
                await ctx.tick()
                continue
            word = words.pop(0)
            ctx.set(getattr(dut, f"{prefix}_tdata"), word.data)
            ctx.set(getattr(dut, f"{prefix}_tlast"), word.last)
            if prefix == "score":
                ctx.set(dut.score_tuser, word.user)
            ctx.set(getattr(dut, f"{prefix}_tvalid"), 1)
            ready = 0
            while not ready:
                _, _, ready = await ctx.tick().sample(getattr(dut, f"{prefix}_tready"))
            ctx.set(getattr(dut, f"{prefix}_tvalid"), 0)

    return bench


def collect(dut, prefix, rng, pace, taken):
    async def bench(ctx):
        data, last, valid, ready = (
            getattr(dut, f"{prefix}_{name}") for name in ("tdata", "tlast", "tvalid", "tready")
        )
        pending = None
        while True:
            take = rng.random() < pace
            ctx.set(ready, take)
            _, _, offered, *word = await ctx.tick().sample(valid, data, last)
            assert pending is None or (offered and word == pending), f"{prefix}: offer changed"
            pending = word if offered and not take else None
            if offered and take:
                taken(Word(word[0], bool(word[1])))

    return bench


def exchange(packets, results, pace, *, length=LENGTH, ends=lambda word: word.last):
    """Sends packets, answers each image with its scores; what came out, and who was inside."""
    dut = AxiPackets(length, data_bits=8, user_bits=3)
    rng, (offer, take) = random.Random(f"{pace}"), pace
    sent = [
        Word(value, k == len(packet) - 1) for packet in packets for k, value in enumerate(packet)
    ]
    images, part, scores, out, inside = [], [], [], [], []

    def image_word(word):
        part.append(word)
        if ends(word):
            images.append([w.data for w in part])
            part.clear()
            scores.extend(results[len(images) - 1])

    async def watch(ctx):
        await ctx.tick().repeat(5)
        while len(out) < sum(len(r) + 1 for r in results):
            inside.append(ctx.get(dut.inside))
            await ctx.tick()
        await ctx.tick().repeat(30)
        assert not ctx.get(dut.inside)

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    for bench in (
        drive(dut, "s_axis", sent, rng, offer),
        drive(dut, "score", scores, rng, 0.7),
        collect(dut, "image", rng, 0.6, image_word),
        collect(dut, "m_axis", rng, take, out.append),
    ):
        sim.add_testbench(bench, background=True)
    sim.add_testbench(watch)
    sim.run()
    return images, out, inside


def answer(k, error=0):
    """Scores of image ``k`` and its last word."""
    user = (k % 3) << 1 | error
    scores = [Word(100 * k + c, c == CLASSES - 1, user) for c in range(CLASSES)]
    return scores, [w.data for w in scores] + [user]


@pytest.mark.parametrize("pace", PACES)
def test_a_packet_of_images_is_answered_by_a_packet_of_results(pace):
    sizes = [1, 3, 2, 20]  # more images than the component remembers
    count = sum(sizes)
    values = [[(7 * k + j) % 256 for j in range(LENGTH)] for k in range(count)]
    packets, ends, k = [], [], 0
    for size in sizes:
        packets.append([v for image in values[k : k + size] for v in image])
        k += size
        ends.append(k - 1)
    results, expected = zip(*(answer(k) for k in range(count)), strict=True)
    images, out, inside = exchange(packets, results, pace)
    assert images == values
    assert [w.data for w in out] == [value for words in expected for value in words]
    lasts = [k for k, word in enumerate(out) if word.last]
    assert lasts == [(CLASSES + 1) * (k + 1) - 1 for k in ends]
    assert any(inside)


@pytest.mark.parametrize("pace", PACES)
def test_a_packet_that_ends_early_spoils_one_image_only(pace):
    packets = [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10], [11], [12, 13, 14, 15]]
    results, expected = zip(*(answer(k, k in (1, 3)) for k in range(5)), strict=True)
    images, out, _ = exchange(packets, results, pace)
    assert images == [[1, 2, 3, 4], [5, 6], [7, 8, 9, 10], [11], [12, 13, 14, 15]]
    assert [w.data for w in out] == [value for words in expected for value in words]
    assert [k // (CLASSES + 1) for k, word in enumerate(out) if word.last] == [1, 2, 3, 4]


def test_events_end_an_image_with_their_marker():
    spike, end = EventKind.SPIKE.value, EventKind.INFERENCE.value
    packets = [[spike | 4, end, spike | 8, spike | 12, end], [end]]
    results, expected = zip(*(answer(k) for k in range(3)), strict=True)
    images, out, _ = exchange(
        packets, results, (0.7, 0.7), length=None, ends=lambda w: w.data & 3 == end
    )
    assert images == [[spike | 4, end], [spike | 8, spike | 12, end], [end]]
    assert [w.data for w in out] == [value for words in expected for value in words]
    assert [k // (CLASSES + 1) for k, word in enumerate(out) if word.last] == [1, 2]


def test_ports_are_as_wide_as_those_of_a_dma_engine():
    widths = {3: 8, 8: 8, 9: 16, 17: 32, 24: 32, 40: 64}
    for data_bits, port_bits in widths.items():
        dut = AxiPackets(4, data_bits=data_bits, user_bits=1)
        assert len(dut.s_axis_tdata) == port_bits


@pytest.mark.parametrize(
    ("length", "user_bits", "message"),
    [(0, 3, "length must be at least 1, not 0"), (4, 33, r"user_bits must be in 1..32, not 33")],
)
def test_parameters_are_checked(length, user_bits, message):
    with pytest.raises(ValueError, match=message):
        AxiPackets(length, data_bits=8, user_bits=user_bits)
