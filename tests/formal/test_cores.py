# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""Cores keep what `MembraneBank` is promised, and so no update of a membrane is lost in them.

`test_membrane` proves of a bank: if steps onto one address keep ``min_distance``, and if no step
is in flight while it is scanned, then each word is the sum of what was stepped onto it. Here both
are proven of the cores that hold the banks; nothing is assumed but the rule of streams at their
inputs, and the fire pipeline may end a scan in any cycle (it is cut off).
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.asserts import AnyConst
from amaranth.hdl import Cat, Signal, Value

from pysnn_hw.hdl.accumulate import Accumulate
from pysnn_hw.hdl.core import FireCore
from pysnn_hw.hdl.readout_core import ReadoutCore
from pysnn_hw.hdl.shared.core import SharedCore
from pysnn_hw.hdl.shared.turn import WeightTurner
from pysnn_hw.hdl.shared.weights import DeepWeightMemory
from pysnn_hw.hdl.walker import TapWalker
from pysnn_hw.hdl.weights import WeightMemory
from pysnn_hw.ir.snn import FixedNetwork, Input, Pool, Population, Projection, Shape
from pysnn_hw.plan.geometry import (
    Axis,
    ProjectionGeometry,
    ScanGeometry,
    projection_geometry,
)
from pysnn_hw.plan.latency import fire_latency, lane_latency, membrane_hazard, membrane_lead
from tests.formal.harness import Harness, stands, transfer
from tests.formal.prove import mutant, run
from tests.formal.small import layers, spec

pytestmark = pytest.mark.formal


def _delays(h: Harness, signal: Any, count: int, name: str) -> list[Signal]:
    """The signal now, and of each of so many cycles before."""
    found = [Signal(name=f"{name}_{k}") for k in range(count + 1)]
    h.module.d.comb += found[0].eq(signal)
    h.module.d.sync += [later.eq(earlier) for earlier, later in pairwise(found)]
    return found


def _banks_at_rest(
    h: Harness, prefix: str, banks: int, chain: list[Signal], lead: int, hazard: int
) -> None:
    """While a bank is scanned, no step is in it; it steps for nothing but what was issued."""
    for b in range(banks):
        at = f"{prefix}.bank_{b}"
        steps = _delays(h, h.view(f"{at}.step"), hazard - 1, f"step_{b}")
        h.claim(~(h.view(f"{at}.scanning") & Cat(*steps).any()))
        for step, issued in zip(steps, chain[lead:], strict=True):
            h.claim(~step | issued)


def _core(name: str, *, readout: bool = False, **options: Any) -> Harness:
    found = spec(name, readout=readout)
    h = Harness((ReadoutCore if readout else FireCore)(found), **options)
    acc: Accumulate = h.dut.accumulate
    h.cut("dut.finished" if readout else "dut.phases.finished")
    for k in range(len(acc.synapses)):
        h.assume(stands(h, getattr(h.dut, f"i_{k}")))
    product = lane_latency(acc.plan.lane_kind, acc.value_shape.width)
    lead = WeightMemory.latency + (len(acc.synapses) > 1) + product - membrane_lead()
    chain = _delays(h, h.view("dut.accumulate.issue"), lead + membrane_hazard() - 1, "issue")
    banks = acc.scan_geometry.banks
    _banks_at_rest(h, "dut.accumulate", banks[0] * banks[1], chain, lead, membrane_hazard())

    # A core leaves its accumulate phase when the last step has left the pipeline.
    depth = lead + membrane_lead() + membrane_hazard()
    enable, left = (
        h.view("dut.accumulate.enable"),
        h.view("dut.accumulate.left", depth.bit_length()),
    )
    h.lemma(~(h.view("dut.accumulate.scanning") & enable))
    for cycles, issued in enumerate(chain):
        h.lemma(~issued | (left >= depth - max(cycles - 1, 0)))
        h.lemma(~issued | enable)
    for synapses in acc.synapses:
        at = f"dut.accumulate.walker_{synapses.name}"
        h.lemma(~(h.view(f"{at}.mark") & h.view(f"{at}.o__valid")))
    return h


def _scan(component: Any = FireCore, *, name: str, stalls: bool, **options: Any) -> Harness:
    """Fired words go back to where they came from, and none is read as another is written there.

    Consumers may stall the scan in any cycle, if ``stalls``, and events may end in any (both are
    cut off).
    """
    found = spec(name)
    h = Harness(component(found), **options)
    h.cut("dut.advance")
    h.cut("dut.accumulate.settled")
    layout = h.dut.accumulate.signature.members["scan"].shape

    def place(of: str) -> Value:
        return Cat(h.view(f"dut.{of}.{f}", layout[f].shape.width) for f in ("bank", "address"))

    advance = h.view("dut.advance")
    if not stalls:
        h.assume(advance)
    restore, scanning = (h.view(f"dut.accumulate.{name}") for name in ("restore", "scanning"))
    entry = h.view("dut.passing", 2 + layout["group"].shape.width)  # valid, end, group
    reading = entry[0] & ~entry[1] & advance
    source, target = place("scan"), place("retire.entry")
    h.claim(~restore | scanning)
    h.claim(~(reading & restore & (source == target)))

    clamped = found.clamp is not None
    stages = Accumulate.scan_latency + fire_latency(found.population, clamp=clamped) + 1
    passing = Cat(source, reading)
    for number in range(stages):
        later = Signal(len(passing), name=f"passing_{number}")
        with h.module.If(advance):
            h.module.d.sync += later.eq(passing)
        passing = later
    h.claim(~restore | (passing == Cat(target, 1)))
    h.cover(restore & ~h.view("dut.initial"))
    return h


def _shared(**options: Any) -> Harness:
    """A core of several populations; what its spikes are does not matter."""
    program = layers()
    h = Harness(SharedCore(program, lane_kind="lut", family="ecp5"), **options)
    for wire in ("sequencer.fired", "sequencer.available", "fetched_2"):
        h.cut(f"dut.{wire}")
    lanes = h.dut.lanes.latency
    lead = 1 + DeepWeightMemory.latency + WeightTurner.latency + lanes - membrane_lead(far=True)
    hazard = membrane_hazard(far=True)
    chain = _delays(h, h.view("dut.walker.valid"), lead + hazard - 1, "step")
    _banks_at_rest(h, "dut", program.banks, chain, lead, hazard)

    # From the reader to the walker nothing follows the end of a pass.
    def at(wire: str) -> Signal:
        return h.view(f"dut.{wire}")

    stages = [
        (at("reader.running"), 0),
        (at("reader.ending"), 1),
        (at("reader.read.valid"), at("reader.read.end")),
        (at("reader.fetch.valid"), at("reader.fetch.end")),
        (at("reader.bring.valid"), at("reader.bring.end")),
        (at("reader.o__valid"), at("reader.o__payload.end")),
        (at("walker.words.waiting"), at("walker.words.spare.end")),
        (at("walker.words.o__valid"), at("walker.words.o__payload.end")),
        (at("walker.splitter.items.o__valid"), at("walker.splitter.items.word.carried.marker")),
        (at("walker.spikes.waiting"), at("walker.spikes.spare.marker")),
        (at("walker.spikes.o__valid"), at("walker.spikes.o__payload.marker")),
        (at("walker.event_valid"), at("walker.event_end")),
    ]
    behind: Any = 0
    for valid, end in stages:
        h.lemma(~(valid & end & behind))
        behind = behind | valid
    items = "walker.splitter.items"
    marker = at(f"{items}.o__valid") & at(f"{items}.word.carried.marker")
    h.lemma(~marker | ((h.view(f"dut.{items}.left", 2) == 1) & ~at(f"{items}.more")))
    for skid in ("words", "spikes"):
        h.lemma(at(f"walker.{skid}.o__valid") | ~at(f"walker.{skid}.waiting"))

    # A core leaves a pass when the last step has left the pipeline.
    accumulate, states = 10, 4
    accumulating = h.view("dut.sequencer.fsm_state", states) == accumulate
    draining, depth = at("draining"), lead + membrane_lead(far=True) + hazard
    left = h.view("dut.left", depth.bit_length())
    h.lemma(~(behind | chain[0]) | (accumulating & ~draining))
    h.lemma(~draining | (accumulating & (left != 0)))
    for cycles, stepped in enumerate(chain[1:], 1):
        h.lemma(~stepped | accumulating)
        h.lemma(~(stepped & draining) | (left >= depth + 1 - cycles))
    return h


def geometry(
    shape: Shape,
    weight: tuple[int, int, int, int],
    lanes: int,
    banks: tuple[int, int] = (1, 1),
    stride: int = 1,
    groups: int = 1,
    pool: Pool | None = None,
) -> tuple[ProjectionGeometry, ScanGeometry]:
    """Tables of a convolution of so many output channels, inputs per group, rows and columns."""
    pad = (weight[2] // 2,) * 4 if weight[2] < shape[1] else (0,) * 4
    kernel = np.ones(weight, np.int64)
    projection = Projection("p", "n", "m", "conv2d", kernel, (stride,) * 2, pad, groups, pool)
    ones = np.ones(1, np.int64)
    out = projection.as_conv(shape).out_shape
    source, target = (
        Population(n, "fire", s, ones, ones, ones, 1) for n, s in (("n", shape), ("m", out))
    )
    net = FixedNetwork(1, Input((1, 1, 1), (0,)), (source, target), (projection,))
    found = projection_geometry(net, projection, lanes=lanes, banks=banks, pool_at_sender=False)
    return found, ScanGeometry(out, lanes, banks, (1, 1))


def _walk(component: Any = TapWalker, *, setting: str, **options: Any) -> Harness:
    """Steps onto one address are as many transfers apart as an event has channel groups."""
    tables, scan = SETTINGS[setting]()
    h = Harness(component(tables, scan, value_range=(0, 1)), **options)
    m, o, groups = h.module, h.dut.o, tables.groups_per_event
    h.assume(stands(h, h.dut.i))
    bits, banks = len(o.p.address[0]), len(o.p.address)
    address = Signal(bits)
    m.d.comb += address.eq(AnyConst(bits))
    promised = min(groups, membrane_hazard())
    for b in range(banks):
        hit = transfer(o) & o.p.mask[b] & (o.p.address[b] == address)
        hits = _delays(h, hit, promised - 1, f"hit_{b}")
        for before in hits[1:]:
            h.claim(~(hits[0] & before))

    # Addresses count as the steps do, modulo the groups: all bases are multiples of them.
    low = (groups - 1).bit_length()
    phase = Signal(low)
    m.d.sync += phase.eq(phase + transfer(o))
    left = h.view("dut.group_left", low)
    h.lemma(~o.valid | (phase + left == groups - 1))
    h.lemma(o.valid | (phase == 0))
    h.lemma(~o.valid | (h.view("dut.last_group") == (left == 0)))
    h.lemma(~(o.valid & h.view("dut.mark")))

    def bases(wire: str, count: int, width: int) -> list[Any]:
        packed = h.view(f"dut.{wire}", width)
        return [packed[k * bits : k * bits + low] for k in range(count)]

    for b in range(banks):
        h.lemma(~o.valid | (o.p.address[b][:low] == phase))
    by, bx = scan.banks
    widths = {"y1": by, "x1": bx, "row_address": banks, "address2": banks}
    for wire, count in widths.items():
        for base in bases(wire, count, count * bits):
            h.lemma(base == 0)
    h.lemma(h.view("dut.group1", bits)[:low] == 0)
    h.cover(hits[0] & (o.p.address[0] == address))
    return h


CORES: dict[str, tuple[str, bool]] = {
    "taps in turn": ("T1_n1", False),
    "taps at once, two projections": ("banks", False),
    "shift and add": ("lanes_shift", False),
    "multipliers": ("lanes_dsp", False),
    "adders, all neurons at once": ("lanes_add", False),
    "readout": ("T1_n1", True),
}
"""Configurations that between them have all kinds of lanes and taps; see `tests.configurations`."""

SETTINGS: dict[str, Callable[[], tuple[ProjectionGeometry, ScanGeometry]]] = {
    "taps in turn": partial(geometry, (16, 14, 14), (32, 16, 3, 3), 8),
    "nine taps at once": partial(geometry, (16, 14, 14), (32, 16, 3, 3), 16, (3, 3)),
    "a column of taps at once": partial(geometry, (16, 14, 14), (32, 16, 3, 3), 16, (1, 3)),
    "all neurons at once": partial(geometry, (1, 28, 28), (128, 1, 28, 28), 16),
    "halved map": partial(geometry, (16, 32, 32), (32, 16, 3, 3), 8, (2, 2), 2),
    "shortcut": partial(geometry, (16, 32, 32), (32, 16, 1, 1), 16, (1, 1), 2),
    "grouped": partial(geometry, (8, 6, 6), (16, 4, 3, 3), 4, groups=2),
    "pooled events": partial(
        geometry, (8, 12, 12), (16, 8, 3, 3), 4, pool=Pool("sum", (2, 2), (2, 2))
    ),
}
"""How projections of the bundled networks and of ResNet20 are folded."""

# Shape of the source; weights; stride; groups: of the bundled networks, ResNet8 and ResNet20.
PROJECTIONS: list[tuple[Shape, tuple[int, int, int, int], int, int]] = [
    ((1, 28, 28), (16, 1, 3, 3), 1, 1),
    ((16, 14, 14), (32, 16, 3, 3), 1, 1),
    ((32, 7, 7), (10, 32, 7, 7), 1, 1),
    ((1, 28, 28), (128, 1, 28, 28), 1, 1),
    ((128, 1, 1), (10, 128, 1, 1), 1, 1),
    ((3, 32, 32), (16, 3, 3, 3), 1, 1),
    ((16, 32, 32), (16, 16, 3, 3), 1, 1),
    ((16, 32, 32), (32, 16, 3, 3), 2, 1),
    ((16, 32, 32), (32, 16, 1, 1), 2, 1),
    ((32, 16, 16), (32, 32, 3, 3), 1, 1),
    ((32, 16, 16), (64, 32, 3, 3), 2, 1),
    ((32, 16, 16), (64, 32, 1, 1), 2, 1),
    ((64, 8, 8), (64, 64, 3, 3), 1, 1),
    ((64, 8, 8), (64, 1, 3, 3), 1, 64),
    ((64, 1, 1), (10, 64, 1, 1), 1, 1),
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_steps_onto_one_address_keep_their_distance(setting: str, tmp_path: Path) -> None:
    verdict = run(_walk(setting=setting), tmp_path, mode="prove", depth=3)
    assert verdict.status == "PASS", verdict.log


def test_a_walker_that_steps_back_too_far_is_refuted(tmp_path: Path) -> None:
    broken = mutant(TapWalker, "jump = x_jump - (groups - 1)", "jump = x_jump - groups")
    harness = _walk(broken, setting="taps in turn", lemmas=False)
    verdict = run(harness, tmp_path, mode="bmc", depth=14)
    assert verdict.status == "FAIL", verdict.log


def _foldings() -> Iterator[tuple[ProjectionGeometry, ScanGeometry]]:
    for shape, weight, stride, groups in PROJECTIONS:
        for lanes in (n for n in range(1, weight[0] + 1) if weight[0] % n == 0):
            y, x = (a.reach for a in _axes(geometry(shape, weight, 1, (1, 1), stride, groups)))
            for banks in {(1, 1), (1, x), (y, 1), (y, x)}:
                yield geometry(shape, weight, lanes, banks, stride, groups)


def _axes(found: tuple[ProjectionGeometry, ScanGeometry]) -> tuple[Axis, Axis]:
    return found[0].y, found[0].x


def test_all_foldings_have_what_the_proof_rests_on() -> None:
    """Every base address is a multiple of the steps per word of an event, whatever the folding.

    So an address is a multiple of them plus the number of its step, and twice the same address is
    so many steps apart, or a multiple: all that the lemmas of `_walk` say, for all sizes.
    """
    count = 0
    for tables, scan in _foldings():
        steps = tables.groups_per_event
        assert scan.groups % steps == 0
        starts = {tables.first_group(c) for c in range(tables.conv.in_shape[0])}
        assert all(start % steps == 0 and start + steps <= scan.groups for start in starts)
        tiles = [max(row.tiles) for axis in (tables.y, tables.x) for row in axis.rows]
        assert max(tiles) < max(tables.y.tiles, tables.x.tiles)
        count += 1
    assert count > 200


@pytest.mark.parametrize("name", CORES)
def test_no_step_is_in_flight_while_a_core_fires(name: str, tmp_path: Path) -> None:
    configuration, readout = CORES[name]
    verdict = run(_core(configuration, readout=readout), tmp_path, mode="prove", depth=4)
    assert verdict.status == "PASS", verdict.log


def test_a_core_that_does_not_wait_for_its_last_step_is_refuted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = mutant(
        Accumulate, "self.settled.eq(arrived & (left == 0))", "self.settled.eq(arrived)"
    )
    monkeypatch.setattr("pysnn_hw.hdl.core.Accumulate", broken)
    verdict = run(_core("lanes_add", lemmas=True), tmp_path, mode="bmc", depth=24)
    assert verdict.status == "FAIL", verdict.log


def test_no_step_is_in_flight_while_a_shared_core_fires(tmp_path: Path) -> None:
    verdict = run(_shared(), tmp_path, mode="prove", depth=3)
    assert verdict.status == "PASS", verdict.log


def test_a_shared_core_that_does_not_wait_is_not_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = mutant(SharedCore, "draining & (left == 1)", "draining & (left == depth)")
    monkeypatch.setattr("tests.formal.test_cores.SharedCore", broken)
    verdict = run(_shared(), tmp_path, mode="prove", depth=3)
    assert verdict.status in ("UNKNOWN", "FAIL"), verdict.log


SCANNED, STALLED = 45, 14
"""Cycles: the scan after reset and one that fires; the former, with stalls."""


@pytest.mark.parametrize(
    ("mode", "stalls", "depth"),
    [("bmc", False, SCANNED), ("bmc", True, STALLED), ("cover", False, SCANNED)],
)
def test_fired_words_go_back_where_they_came_from(
    mode: str, stalls: bool, depth: int, tmp_path: Path
) -> None:
    harness = _scan(name="lanes_add", stalls=stalls)
    verdict = run(harness, tmp_path, mode=mode, depth=depth)
    assert verdict.status == "PASS", verdict.log


def test_a_core_that_writes_too_early_is_refuted(tmp_path: Path) -> None:
    broken = mutant(
        FireCore,
        "retire.advance.eq(~retire.valid | (emit_valid & advance))",
        "retire.advance.eq(~retire.valid | advance)",
    )
    harness = _scan(broken, name="lanes_add", stalls=False)
    verdict = run(harness, tmp_path, mode="bmc", depth=SCANNED)
    assert verdict.status == "FAIL", verdict.log
