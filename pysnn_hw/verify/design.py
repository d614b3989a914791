# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""The accelerator under test: its Verilog and what its ports mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from amaranth.back import verilog
from amaranth.hdl import Const
from amaranth.lib.data import StructLayout

from pysnn_hw.golden import Result, Trace
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.hdl.events import EventKind
from pysnn_hw.ir.snn import Array, FixedNetwork
from pysnn_hw.plan.schedule import Schedule
from pysnn_hw.verify.words import Words, in_scan_order, pack, unpack, words_for

TOP = "accelerator"


@dataclass(frozen=True, eq=False)
class Probe:
    """The verification output of one fire population.

    Attributes
    ----------
    population
        Index in ``net.populations``; ``name`` is its name.
    order
        (y, x, group) of each word in firing order, int64 (words, 3).
    lanes, spike_bits, membrane_bits
        Values per word and their widths.
    """

    population: int
    name: str
    order: Array
    lanes: int
    spike_bits: int
    membrane_bits: int

    @property
    def words(self) -> int:
        """Words per timestep."""
        return len(self.order)

    @property
    def port(self) -> str:
        """Prefix of its ports."""
        return f"probe_{self.population}"

    @property
    def spike_words(self) -> int:
        """32-bit words of one word of spikes."""
        return words_for(self.lanes * self.spike_bits)

    @property
    def membrane_words(self) -> int:
        """32-bit words of one word of membranes."""
        return words_for(self.lanes * self.membrane_bits)

    def spikes(self, trace: Trace) -> Words:
        """Expected spike words, (N, T, words, spike_words)."""
        maps = in_scan_order(trace.spikes[self.name], self.order, self.lanes)
        return pack(maps, self.spike_bits)

    def membranes(self, trace: Trace) -> Words:
        """Expected final membrane words, (N, words, membrane_words)."""
        maps = in_scan_order(trace.membranes[self.name], self.order, self.lanes)
        return pack(maps, self.membrane_bits)


@dataclass(frozen=True, eq=False)
class Design:
    """An accelerator with probes, ready to be compiled and compared."""

    net: FixedNetwork
    schedule: Schedule

    @cached_property
    def _accelerator(self) -> Accelerator:
        return Accelerator(self.net, self.schedule, probes=True)

    @cached_property
    def probes(self) -> tuple[Probe, ...]:
        """One per fire population, in topological order."""
        return tuple(
            Probe(
                k,
                spec.population.name,
                spec.scan.order(),
                spec.plan.lanes,
                spec.spike_shape.width,
                spec.bits,
            )
            for k, spec in enumerate(self._accelerator.specs[:-1])
        )

    @property
    def classes(self) -> int:
        """Scores per image."""
        return self.net.populations[-1].channels

    @property
    def inner_streams(self) -> int:
        """Streams between encoder, cores and readout that ``pause`` can hold up."""
        return len(self.schedule.streams(self.net)) + 1

    @property
    def exits(self) -> bool:
        """Whether it tells how many timesteps counted, by ``readout_exit``."""
        return self.net.readout.margin > 0

    @property
    def output_words(self) -> int:
        """32-bit words of one transfer on ``o``."""
        return words_for(int(self._accelerator.readout.o_layout.size))

    @cached_property
    def verilog(self) -> str:
        """Verilog of the top module `TOP`."""
        return str(verilog.convert(self._accelerator, name=TOP, emit_src=False))

    def write_verilog(self, path: Path) -> None:
        """Write the Verilog to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.verilog)

    @property
    def last_bit(self) -> int:
        """The bit of an input word that says "last of its image"."""
        return 1 << int(self._accelerator.encoder.i_layout["last"].offset)

    @property
    def input_width(self) -> int:
        """32-bit words of one transfer on ``i``."""
        return words_for(int(self._accelerator.encoder.i_layout.size))

    def input_words(self, images: Array) -> list[Words]:
        """Transfers on ``i`` of each image: (transfers, `input_width`) words in H, W, C order."""
        if self.net.input.encoding == "events":
            return [self._event_words(image) for image in images]
        values = np.moveaxis(images, 1, -1).reshape(len(images), -1, 1).astype(np.int64)
        words = values & (self.last_bit - 1)
        words[:, -1] |= self.last_bit
        return list(words.astype(np.uint32))

    def _event_words(self, image: Array) -> Words:
        """Events of one image (T, C, H, W), and a marker after each step."""
        layout = self._accelerator.encoder.i_layout
        parts = []
        for step, values in enumerate(np.moveaxis(image, 1, -1).astype(np.int64)):
            y, x, c = np.nonzero(values)
            ends = EventKind.INFERENCE if step == len(image) - 1 else EventKind.STEP
            rows = {"y": y, "x": x, "c": c, "value": values[y, x, c]}
            fields = {name: np.append(row, 0) for name, row in rows.items()}
            fields["kind"] = np.append(np.zeros_like(y), Const.cast(ends).value)
            parts.append(_packed(layout, fields, self.input_width))
        return np.concatenate(parts)

    @cached_property
    def boot_words(self) -> Words:
        """Transfers on ``boot`` that fill the memories that start empty, (M,); M = 0 without."""
        accelerator = self._accelerator
        contents = np.frombuffer(accelerator.boot_contents(), np.uint8).astype(np.uint32)
        if not len(contents):
            return contents
        layout = accelerator.boot.p.shape()
        address = np.arange(len(contents), dtype=np.uint32)
        packed: Words = address << layout["address"].offset | contents << layout["data"].offset
        return packed

    def expected_output(self, result: Result, errors: Sequence[int] | None = None) -> Words:
        """Transfers on ``o``, (N, classes, output_words)."""
        layout = self._accelerator.readout.o_layout
        images, classes = result.scores.shape
        fields = {
            "score": result.scores,
            "winner": np.zeros((images, classes), np.int64),
            "error": np.zeros((images, classes), np.int64),
            "last": np.zeros((images, classes), np.int64),
        }
        fields["winner"][:, -1] = winners(result)
        fields["error"][:, -1] = 0 if errors is None else errors
        fields["last"][:, -1] = 1
        return _packed(layout, fields, self.output_words)

    def scores(self, output: Words) -> tuple[Array, Array]:
        """Scores (N, classes) and winners (N,) of transfers on ``o``, (N, classes, words)."""
        layout = self._accelerator.readout.o_layout
        score = unpack(output, 1, layout["score"].width, signed=True)[..., 0]
        whole = unpack(output, 1, int(layout.size), signed=False)[..., 0]
        winner = whole >> layout["winner"].offset & ((1 << layout["winner"].width) - 1)
        return score, winner[:, -1]


def winners(result: Result) -> Array:
    """What the hardware calls the winner of each image, int64 (N,).

    It knows no class -1, by which golden says that nothing was counted: ties go to the lowest
    index, then as ever.
    """
    return np.where(result.classes < 0, result.scores.argmax(axis=1), result.classes)


def classes_of(net: FixedNetwork, scores: Array, winner: Array) -> Array:
    """Inverse of `winners`: the class of each image, -1 where spikes are counted and none came."""
    if net.readout.mode != "count":
        return winner
    return np.where(scores.max(axis=1) > 0, winner, -1)


def _packed(layout: StructLayout, fields: Mapping[str, Array], width: int) -> Words:
    """Arrays of one shape as words: (*shape, width)."""
    packed = np.zeros(next(iter(fields.values())).shape, np.uint64)
    for name, values in fields.items():
        field = layout[name]
        mask = np.uint64((1 << field.width) - 1)
        packed |= (values.astype(np.int64).astype(np.uint64) & mask) << np.uint64(field.offset)
    words: Words = packed[..., None].view("<u4")[..., :width]
    return words
