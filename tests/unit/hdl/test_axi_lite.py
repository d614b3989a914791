# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""AXI4-Lite against a list of words, with channels that come in any order and at any pace."""

import random

import pytest
from amaranth.hdl import Array, Module, Signal
from amaranth.lib import wiring
from amaranth.sim import Simulator

from pysnn_hw.hdl.axi_lite import AxiLite

WORDS = 8
PACES = [(1.0, 1.0), (0.3, 1.0), (1.0, 0.3), (0.5, 0.5)]


class Words(wiring.Component):
    """A row of words behind the port; bytes are written as the strobes say."""

    def __init__(self):
        self.port = AxiLite(5)
        members = self.port.signature.members
        super().__init__({k: members[k] for k in members if k.startswith("s_axi_")})

    def elaborate(self, platform):
        m = Module()
        m.submodules.port = port = self.port
        for name, member in self.signature.members.items():
            inner, outer = getattr(port, name), getattr(self, name)
            m.d.comb += inner.eq(outer) if member.flow is wiring.In else outer.eq(inner)
        words = Array(Signal(32, name=f"word_{k}") for k in range(WORDS))
        m.d.comb += port.read_data.eq(words[port.read_address])
        for byte in range(4):
            with m.If(port.write & port.write_strobe[byte]):
                part = port.write_data.word_select(byte, 8)
                m.d.sync += words[port.write_address].word_select(byte, 8).eq(part)
        return m


def strobed(old, new, strobe):
    keep = sum(0xFF << 8 * k for k in range(4) if not strobe >> k & 1)
    return old & keep | new & ~keep & 0xFFFFFFFF


@pytest.mark.parametrize("pace", PACES)
def test_reads_and_writes_follow_a_list_of_words(pace):
    offer, take = pace
    rng, dut, model = random.Random(f"{pace}"), Words(), [0] * WORDS
    counts = dict.fromkeys(("aw", "w", "b", "ar", "r"), 0)

    def port(name):
        return getattr(dut, f"s_axi_{name}")

    async def bench(ctx):
        offered, reads, unanswered, standing = set(), [], 0, {}
        for _ in range(700):
            for channel in ("aw", "w", "ar"):
                if channel not in offered and rng.random() < offer:
                    offered.add(channel)
                    if channel == "w":
                        ctx.set(port("wdata"), rng.getrandbits(32))
                        ctx.set(port("wstrb"), rng.randrange(16))
                    else:  # the lowest two bits do not matter
                        ctx.set(port(f"{channel}addr"), rng.randrange(4 * WORDS))
                ctx.set(port(f"{channel}valid"), channel in offered)
            for channel in ("b", "r"):
                ctx.set(port(f"{channel}ready"), rng.random() < take)
            moved = {c for c in counts if ctx.get(port(f"{c}valid")) & ctx.get(port(f"{c}ready"))}
            for channel in moved:
                counts[channel] += 1
            offers = {"b": ctx.get(port("bvalid")), "r": ctx.get(port("rvalid"))}
            # An answer that was not taken stands, and none comes without a question.
            assert all(offers[c] for c in standing)
            assert not offers["r"] or reads
            assert not offers["b"] or unanswered
            if offers["r"]:
                assert (ctx.get(port("rdata")), ctx.get(port("rresp"))) == (reads[0], 0)
            assert ctx.get(port("bresp")) == 0
            standing = {c for c in offers if offers[c] and c not in moved}
            if "r" in moved:
                reads.pop(0)
            unanswered -= "b" in moved
            if "ar" in moved:
                reads.append(model[ctx.get(port("araddr")) // 4])
            assert ("aw" in moved) == ("w" in moved)
            if "aw" in moved:
                unanswered += 1
                word = ctx.get(port("awaddr")) // 4
                strobe = ctx.get(port("wstrb"))
                model[word] = strobed(model[word], ctx.get(port("wdata")), strobe)
            offered -= moved
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert min(counts.values()) > 80
    if pace == (1.0, 1.0):  # a read and a write in every cycle
        assert min(counts.values()) >= 698


def test_an_address_has_a_word_to_name():
    with pytest.raises(ValueError, match="address_bits must be at least 3, not 2"):
        AxiLite(2)
