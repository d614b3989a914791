# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from pysnn_hw.hdl.load import LoadArbiter, LoadDecoder, contents, place

MEMORIES = st.lists(st.tuples(st.integers(1, 20), st.integers(1, 5)), min_size=1, max_size=4).map(
    lambda shapes: [(f"m{k}", *shape) for k, shape in enumerate(shapes)]
)


@settings(deadline=None, max_examples=25)
@given(MEMORIES, st.data())
def test_every_part_reaches_its_memory(memories, data):
    regions = place(memories)
    assert {(r.name, r.depth, r.parts) for r in regions} == set(memories)
    words = {
        name: data.draw(st.lists(st.integers(0, 0xFFFF), min_size=n, max_size=n))
        for name, n in ((name, depth * parts) for name, depth, parts in memories)
    }
    image = contents(regions, words)
    dut = LoadDecoder(regions)
    assert len(image) == dut.length
    written = {name: {} for name in words}

    async def bench(ctx):
        ctx.set(dut.i.valid, 1)
        for address, byte in enumerate(image):
            ctx.set(dut.i.payload, {"address": address, "data": byte})
            assert ctx.get(dut.i.ready)
            assert not ctx.get(dut.loaded)
            await ctx.tick()
            for k, region in enumerate(regions):
                write = getattr(dut, f"write_{k}")
                if ctx.get(write.en):
                    index = (ctx.get(write.address), ctx.get(write.part))
                    written[region.name][index] = ctx.get(write.data)
        assert ctx.get(dut.loaded)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    for region in regions:
        for index, value in enumerate(words[region.name]):
            assert written[region.name][divmod(index, region.parts)] == value


def test_regions_do_not_overlap_and_start_at_multiples_of_their_size():
    regions = place([("a", 3, 1), ("b", 100, 3), ("c", 16, 2)])
    assert [(r.name, r.base, r.span) for r in regions] == [
        ("b", 0, 1024),
        ("c", 1024, 64),
        ("a", 1088, 8),
    ]


def test_contents_refuses_the_wrong_number_of_parts():
    with pytest.raises(ValueError, match="a takes 3 parts, not 2"):
        contents(place([("a", 3, 1)]), {"a": [1, 2]})


@pytest.mark.parametrize("written", [2, 3])
def test_arbiter_without_flash_tells_when_the_link_has_written_all(written):
    dut = LoadArbiter(3, flash=False)

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        for address in range(written):
            ctx.set(dut.link.payload, {"address": address, "data": 7 * address})
            ctx.set(dut.link.valid, 1)
            assert not ctx.get(dut.loaded)
            assert ctx.get(dut.o.valid)
            assert ctx.get(dut.o.p.data) == 7 * address
            await ctx.tick()
        ctx.set(dut.link.valid, 0)
        assert ctx.get(dut.loaded) == (written == 3)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_arbiter_holds_the_link_until_the_flash_has_ended():
    dut = LoadArbiter(4)

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.flash.valid, 1)
        ctx.set(dut.flash.payload, {"address": 1, "data": 2})
        ctx.set(dut.link.valid, 1)
        ctx.set(dut.link.payload, {"address": 3, "data": 4})
        await ctx.delay(1e-7)
        assert (ctx.get(dut.flash.ready), ctx.get(dut.link.ready)) == (1, 0)
        assert ctx.get(dut.o.p.data) == 2
        assert not ctx.get(dut.loaded)
        ctx.set(dut.flash_error, 1)
        await ctx.delay(1e-7)
        assert (ctx.get(dut.flash.ready), ctx.get(dut.link.ready)) == (0, 1)
        assert ctx.get(dut.o.p.data) == 4
        assert not ctx.get(dut.loaded)
        ctx.set(dut.flash_error, 0)
        ctx.set(dut.flash_done, 1)
        await ctx.delay(1e-7)
        assert ctx.get(dut.loaded)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
