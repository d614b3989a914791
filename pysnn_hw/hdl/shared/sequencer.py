# SPDX-License-Identifier: BSD-2-Clause
"""Runs the program of a shared core: layer by layer, step by step, pass by pass."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from pysnn_hw.hdl.block_memory import BlockMemory
from pysnn_hw.hdl.events import coordinate_shape
from pysnn_hw.hdl.shared.layouts import layer_layout, layer_words, pass_layout, pass_words
from pysnn_hw.plan.layers import LayerProgram

__all__ = ["LayerSequencer"]


class LayerSequencer(wiring.Component):
    """Loads descriptors, works out addresses, and tells the datapath when to begin.

    After reset it clears all membranes. Then, for every image: for each layer and timestep, its
    passes one after the other (``read`` begins one, ``accumulated`` ends it), then its scan
    (``fire`` begins it, ``fired`` ends it). A pass takes five cycles besides its own, a layer three
    more.

    Parameters
    ----------
    program
        The core's layers.

    Members
    -------
    available : In(1)
        All that comes from outside is there, of an image at least.
    release : Out(1)
        For a cycle: the image has been read for the last time.
    clearing : Out(1), clear_address : Out(unsigned)
        A word of each bank is to be zeroed.
    scanning : Out(1)
        The membranes belong to the scan.
    current : Out(pass_layout), source : Out(unsigned), read : Out(1), accumulated : In(1)
    layer : Out(layer_layout), fire : Out(1), fired : In(1)
    number : Out(unsigned)
        Which layer.
    residual, target : Out(unsigned)
        Addresses of this timestep.
    first, final : Out(1)
        It is an image's first timestep, its last.
    """

    def __init__(self, program: LayerProgram):
        self.program = program
        passes, layers = pass_layout(program), layer_layout(program)
        spikes = passes["source"].shape
        super().__init__(
            {
                "available": In(1),
                "release": Out(1),
                "clearing": Out(1),
                "clear_address": Out(coordinate_shape(program.bank_words)),
                "scanning": Out(1),
                "current": Out(passes),
                "source": Out(spikes),
                "read": Out(1),
                "accumulated": In(1),
                "layer": Out(layers),
                "number": Out(coordinate_shape(len(program.layers))),
                "fire": Out(1),
                "fired": In(1),
                "residual": Out(spikes),
                "target": Out(spikes),
                "first": Out(1),
                "final": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        program, timesteps = self.program, self.program.net.timesteps
        step, odd = Signal(coordinate_shape(timesteps)), Signal()
        index = Signal(coordinate_shape(len(program.passes)))
        pass_data = self._memory(m, "pass", self.current.shape(), pass_words(program), index)
        layer_data = self._memory(m, "layer", self.layer.shape(), layer_words(program), self.number)
        m.d.comb += [self.first.eq(step == 0), self.final.eq(step == timesteps - 1)]

        def place(outside, words):
            """Where the step lies behind the first one, of this image or the one before."""
            if timesteps == 1:
                return Mux(outside & odd, words, 0)
            number = Signal.like(step + timesteps, name="number")
            m.d.comb += number.eq(Mux(outside & odd, timesteps, 0) + step)
            # Adders, as a hardware multiplier would be far away.
            return sum(Mux(bit, words << k, 0) for k, bit in enumerate(number))

        source_place, residual_place, target_place = (
            Signal.like(self.source, name=f"{name}_place")
            for name in ("source", "residual", "target")
        )
        with m.FSM():
            with m.State("clear"):
                m.d.comb += [self.clearing.eq(1), self.scanning.eq(1)]
                m.d.sync += self.clear_address.eq(self.clear_address + 1)
                with m.If(self.clear_address == program.bank_words - 1):
                    m.d.sync += self.clear_address.eq(0)
                    m.next = "find layer"
            with m.State("find layer"):
                m.next = "load layer"
            with m.State("load layer"):
                m.d.sync += Value.cast(self.layer).eq(layer_data)
                m.next = "wait"
            with m.State("wait"):
                m.d.sync += [
                    index.eq(self.layer.first),
                    residual_place.eq(place(self.layer.outside, self.layer.residual_words)),
                    target_place.eq(place(0, self.layer.words)),
                ]
                with m.If(self.available):
                    m.next = "place layer"
            with m.State("place layer"):
                m.d.sync += [
                    self.residual.eq(self.layer.residual + residual_place),
                    self.target.eq(self.layer.target + target_place),
                ]
                with m.If(self.layer.accumulates):
                    m.next = "load pass"
                with m.Else():
                    m.next = "begin fire"
            with m.State("load pass"):
                m.d.sync += Value.cast(self.current).eq(pass_data)
                m.next = "place pass"
            with m.State("place pass"):
                m.d.sync += source_place.eq(place(self.current.outside, self.current.words))
                m.next = "add pass"
            with m.State("add pass"):
                m.d.sync += [
                    self.source.eq(self.current.source + source_place),
                    index.eq(index + 1),
                ]
                m.next = "begin pass"
            with m.State("begin pass"):
                m.d.comb += self.read.eq(1)
                m.next = "accumulate"
            with m.State("accumulate"):
                with m.If(self.accumulated & self.current.last):
                    m.next = "begin fire"
                with m.Elif(self.accumulated):
                    m.next = "load pass"
            with m.State("begin fire"):
                m.d.comb += [self.fire.eq(1), self.scanning.eq(1)]
                m.next = "fire"
            with m.State("fire"):
                m.d.comb += self.scanning.eq(1)
                with m.If(self.fired & ~self.final):
                    m.d.sync += step.eq(step + 1)
                    m.next = "wait"
                with m.Elif(self.fired):
                    m.d.sync += step.eq(0)
                    m.next = "find layer"
                    with m.If(self.layer.last):
                        m.d.comb += self.release.eq(1)
                        m.d.sync += [self.number.eq(0), odd.eq(~odd)]
                    with m.Else():
                        m.d.sync += self.number.eq(self.number + 1)
        return m

    def _memory(self, m, name, layout, words, address):
        """A descriptor memory in logic, read one cycle after its address."""
        m.submodules[f"{name}_memory"] = memory = BlockMemory(
            len(words),
            layout.size,
            family="ecp5",  # of no consequence: it takes no blocks
            init=[layout.const(word).as_bits() for word in words],
            style="logic",
        )
        m.d.comb += [memory.read_address.eq(address), memory.read_enable.eq(1)]
        return memory.read_data
