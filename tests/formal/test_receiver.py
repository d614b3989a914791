# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
"""What comes over the wire never wedges the receiver, and nothing but good frames gets through.

Four links of one chain, each proven of the component alone: a line at rest brings the UART to
rest from any state at all; a delimiter brings the decoder in step with the definition of COBS from
any state at all; no byte leaves the decoder between frames; and the frame receiver, which always
takes, passes on exactly the frames whose checksum is right and that find room.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from amaranth.asserts import AnySeq
from amaranth.hdl import Array, Cat, Const, Mux, Signal, Value

from pysnn_hw.hdl.link.cobs_decoder import CobsDecoder, FrameStatus
from pysnn_hw.hdl.link.frame_receiver import FrameReceiver
from pysnn_hw.hdl.link.link_top import LinkTop
from pysnn_hw.hdl.link.parameters import LinkParameters
from pysnn_hw.hdl.link.protocol import CRC_BYTES, HEADER_BYTES
from pysnn_hw.hdl.link.uart_receiver import UartReceiver
from tests.formal.harness import Harness, stands, transfer
from tests.formal.prove import mutant, run

pytestmark = pytest.mark.formal

MAX_FRAME, DEPTH = 5, 8  # one byte of payload; a frame waits while another arrives
DIVISOR = 4
REST = 11 * DIVISOR + 4  # cycles: a byte with its start and stop bit, one bit more, synchroniser


def _uart(component: Any = UartReceiver, **options: Any) -> Harness:
    """From any of its states: after `REST` cycles of a line at rest it waits for a start bit."""
    h = Harness(component(DIVISOR), **options)
    rested, state = Signal(range(REST + 1)), h.view("dut.fsm_state", 3)
    h.module.d.sync += rested.eq(rested + (rested != REST))
    h.assume(h.dut.rx)
    idle, states = 0, 5
    h.assume((rested != 0) | (state < states))
    h.claim((rested == 0) | (state < states))
    h.claim((rested != REST) | (state == idle))
    return h


def _decoder(component: Any = CobsDecoder, **options: Any) -> Harness:
    """From any state: after a delimiter, what the definition of COBS says; no input waits long.

    Silence for too long ends a frame; from there it takes another delimiter.
    """
    h = Harness(component(3), **options)
    m, i, o = h.module, h.dut.i, h.dut.o
    delimiter = transfer(i) & (i.p.data == 0) & ~i.p.error
    timed_out = h.view("dut.timed_out")
    in_step, inside, bad, zero_follows = (
        Signal(name=n) for n in ("in_step", "inside", "bad", "zero_follows")
    )
    left = Signal(8)  # data bytes of the block
    is_zero = (i.p.data == 0) & ~i.p.error
    with m.If(delimiter):
        m.d.sync += [in_step.eq(1), inside.eq(0), bad.eq(0), left.eq(0)]
    with m.Elif(transfer(i)):
        m.d.sync += [inside.eq(1), bad.eq(bad | i.p.error), left.eq(left - 1)]
        with m.If(left == 0):
            m.d.sync += [left.eq((i.p.data - 1)[:8]), zero_follows.eq(i.p.data != 0xFF)]
    with m.If(timed_out):
        m.d.sync += in_step.eq(0)

    known = in_step & ~timed_out
    starts_block = left == 0
    says_zero = starts_block & zero_follows & inside
    says_byte = ~starts_block
    h.assume(stands(h, i))
    h.claim(~(known & i.valid) | (o.valid == Mux(is_zero, inside, says_zero | says_byte)))
    ends = known & i.valid & is_zero
    status = Mux(bad | (left != 0), FrameStatus.MALFORMED, FrameStatus.WELL_FORMED)
    h.claim(~(known & o.valid) | (i.valid & (o.p.end == is_zero)))
    h.claim(~(ends & o.valid) | (Value.cast(o.p.status) == status))
    h.claim(~(known & o.valid & ~is_zero) | (o.p.data == Mux(starts_block, 0, i.p.data)))

    h.claim(~o.valid | (Value.cast(o.p.status) < len(FrameStatus)))

    # A byte waits for a cycle at most if the output is taken.
    waits = Signal()
    m.d.sync += waits.eq(i.valid & ~i.ready & o.ready)
    h.claim(~(waits & i.valid & o.ready) | i.ready)

    h.lemma(~known | inside | (left == 0))
    h.lemma(~known | (h.view("dut.in_frame") == inside))
    h.lemma(~known | ~h.view("dut.skipping"))
    h.lemma(~known | (h.view("dut.left", 8) == left))
    h.lemma(~known | ~inside | (h.view("dut.zero_follows") == zero_follows))
    h.lemma(~known | (h.view("dut.bad") == bad))
    h.cover(ends & o.valid & ~bad & (status == 0))
    return h


def _frames_only(component: Any = CobsDecoder, **options: Any) -> Harness:
    """No byte leaves between the end of a frame and the next delimiter."""
    h = Harness(component(3), **options)
    m, i, o = h.module, h.dut.i, h.dut.o
    begun = Signal()  # a byte has left since the last end
    between = Signal(init=1)  # a delimiter or the end of a frame was the last that happened
    with m.If(transfer(o)):
        m.d.sync += begun.eq(~o.p.end)
    with m.If(transfer(o) & o.p.end | transfer(i) & (i.p.data == 0) & ~i.p.error):
        m.d.sync += between.eq(1)
    with m.Elif(transfer(i)):
        m.d.sync += between.eq(0)
    h.assume(stands(h, i))
    h.claim(~between | ~begun)
    in_frame, skipping, timed_out = (
        h.view(f"dut.{name}") for name in ("in_frame", "skipping", "timed_out")
    )
    h.lemma(~begun | in_frame)
    h.lemma(~between | ~in_frame)
    h.lemma(in_frame | ((h.view("dut.left", 8) == 0) & ~timed_out))
    h.lemma(~(skipping & in_frame))
    h.cover(begun & o.valid & o.p.end)
    return h


def _crc16(register: Value, byte: Value) -> Value:
    """CRC-16/IBM-3740, bit by bit as it is defined: polynomial 0x1021, high bit first."""
    for k in reversed(range(8)):
        out = register[15] ^ byte[k]
        register = Cat(Const(0, 1), register[:15]) ^ Mux(out, 0x1021, 0)[:16]
    return register


def _kept_bytes(h: Harness, prefix: str, depth: int, committed: Any, bytes_of: Any) -> Signal:
    """Bytes in the buffer that are promised to the output, and lemmas that they stay there.

    ``committed`` in a cycle in which a frame of ``bytes_of`` bytes, checksum included, is kept.
    """
    m = h.module
    bits = (depth - 1).bit_length()

    def at(name: str, width: int = 1) -> Signal:
        return h.view(f"{prefix}.{name}", width)

    head, start, tail = (at(name, bits) for name in ("head", "start", "tail"))
    left = at("left", bits)
    offered, taken = at("o__valid"), at("o__valid") & at("o__ready")
    unread = Signal(bits + 1)
    m.d.sync += unread.eq(unread + Mux(committed, bytes_of - CRC_BYTES, 0) - taken)

    arrived = (head - start)[:bits]
    next_out, last_out = at("lengths.r_rdy"), at("lengths.inner_level")
    next_length, last_length = at("lengths.r_data", bits), at("lengths.storage[0]", bits)
    promised = (
        Mux(offered, left + 1, 0)
        + Mux(next_out, next_length + 1, 0)
        + Mux(last_out, last_length + 1, 0)
    )
    h.lemma((start - tail)[:bits] == unread)
    h.lemma(unread + arrived <= depth - 1)
    h.lemma(promised == unread)
    storage = Array(at(f"buffer[{k}]", 8) for k in range(depth))
    first = Signal(8)
    m.d.comb += first.eq(storage[tail])
    h.lemma(~offered | (at("read__data", 8) == first))
    return unread


def _receiver(component: Any = FrameReceiver, **options: Any) -> Harness:
    """The output repeats the good frames that find room, and nothing else.

    An arbitrary byte is followed from the wire to the output.
    """
    h = Harness(component(MAX_FRAME, depth=DEPTH), **options)
    m, i, o = h.module, h.dut.i, h.dut.o
    h.assume(Value.cast(i.p.status) < len(FrameStatus))
    h.claim(i.ready)
    h.claim(stands(h, o))
    h.claim(stands(h, h.dut.errors))

    # What arrived since the last end, and whether it is a good frame that finds room.
    count = Signal(range(MAX_FRAME + 2))
    crc, full = Signal(16, init=0xFFFF), Signal()
    next_waits, last_waits = Signal(), Signal()  # frames behind the one that is being read
    byte, end = i.valid & ~i.p.end, i.valid & i.p.end
    well_formed = Value.cast(i.p.status) == FrameStatus.WELL_FORMED.value
    long_enough, fits = count >= HEADER_BYTES + CRC_BYTES, count <= MAX_FRAME
    good = end & well_formed & (crc == 0) & long_enough & fits
    committed = Signal()
    m.d.comb += committed.eq(good & ~full & ~last_waits)
    unread = _kept_bytes(h, "dut", DEPTH, committed, count)
    with m.If(byte):
        m.d.sync += [crc.eq(_crc16(crc, i.p.data)), count.eq(count + (count <= MAX_FRAME))]
        with m.If((unread + count == DEPTH - 1) & fits):
            m.d.sync += full.eq(1)
    with m.If(end):
        m.d.sync += [count.eq(0), crc.eq(0xFFFF), full.eq(0)]
    moves_up = last_waits & (~next_waits | ~o.valid)
    m.d.sync += [
        last_waits.eq(committed | (last_waits & ~moves_up)),
        next_waits.eq(moves_up | (next_waits & o.valid)),
    ]
    # A good frame is refused only for want of room: none if all before it have been read.
    alone = Signal(init=1)
    m.d.sync += alone.eq((unread == 0) & (alone | (count == 0)))
    h.claim(~(good & alone & (unread == 0)) | committed)
    h.lemma(~alone | ~full | (unread != 0))
    h.lemma((count != 0) | ~full)

    h.claim(~o.valid | (unread != 0))
    waited = Signal(range(4))
    m.d.sync += waited.eq(Mux((unread != 0) & ~o.valid, waited + (waited != 3), 0))
    h.claim(waited != 3)

    # The byte that is followed: ``place`` in its frame, then ``ahead`` bytes leave before it.
    follows, kept = Signal(), Signal()
    value, place, ahead = Signal(8), Signal(3), Signal(4)
    to_end = Signal(3)  # bytes of its frame behind it
    with m.If(~follows & byte & fits & AnySeq(1)):
        m.d.sync += [follows.eq(1), kept.eq(0), value.eq(i.p.data), place.eq(count)]
    with m.If(follows & ~kept & end):
        with m.If(committed & (place < count - CRC_BYTES)):
            m.d.sync += [
                kept.eq(1),
                ahead.eq(unread - transfer(o) + place),
                to_end.eq(count - CRC_BYTES - 1 - place),
            ]
        with m.Else():
            m.d.sync += follows.eq(0)
    is_next = follows & kept & (ahead == 0)
    with m.If(follows & kept & transfer(o)):
        m.d.sync += [ahead.eq(ahead - 1), follows.eq(~is_next)]
    h.claim(~(is_next & o.valid) | ((o.p.data == value) & (o.p.left == to_end)))

    def at(name: str, width: int = 1) -> Signal:
        return h.view(f"dut.{name}", width)

    storage = Array(at(f"buffer[{k}]", 8) for k in range(DEPTH))
    arriving, waiting = Signal(8), Signal(8)
    m.d.comb += arriving.eq(storage[(at("start", 3) + place)[:3]])
    m.d.comb += waiting.eq(storage[(at("tail", 3) + ahead)[:3]])
    inside = follows & ~kept
    h.lemma(~inside | (place < count))
    h.lemma(~inside | full | ~fits | (arriving == value))
    h.lemma(~(follows & kept) | ((ahead < unread) & (waiting == value)))
    behind = ahead + to_end + 1
    now = Mux(o.valid, at("left", 3) + 1, 0)
    then = now + Mux(next_waits, at("lengths.r_data", 3) + 1, 0)
    last = then + Mux(last_waits, at("lengths.storage[0]", 3) + 1, 0)
    in_now = (behind == now) & o.valid
    in_next = (behind == then) & next_waits & (ahead >= now)
    in_last = (behind == last) & last_waits & (ahead >= then)
    h.lemma(~(follows & kept) | in_now | in_next | in_last)

    h.lemma(at("length", 3) == Mux(fits, count, MAX_FRAME))
    h.lemma(at("given_up") == ~fits)
    h.lemma(~fits | (at("overflow") == full))
    h.lemma(~fits | (at("crc.crc_reg", 16) == crc))
    h.lemma(~fits | full | ((at("head", 3) - at("start", 3))[:3] == count))
    h.lemma((at("head", 3) - at("start", 3))[:3] <= count)
    h.lemma((at("lengths.r_rdy") == next_waits) & (at("lengths.inner_level") == last_waits))
    h.lemma((waited != 1) | next_waits | o.valid)
    h.lemma((waited != 2) | o.valid)
    h.cover(follows & kept & (unread > 1) & ~o.valid)
    return h


def _link(component: Any = LinkTop, **options: Any) -> Harness:
    """The rule of streams behind all of the receiver; without memories to load."""
    parameters = LinkParameters(1, 0, 255, classes=2, divisor=4, score_bits=3, timeout_bytes=1)
    h = Harness(component(parameters), **options)
    h.assume(stands(h, h.dut.result))
    h.claim(stands(h, h.dut.image))
    view = partial(h.view, width=1)
    committed = view("dut.receiver.w_en") & view("dut.receiver.w_rdy")
    count = h.view("dut.receiver.length", 3)
    _kept_bytes(h, "dut.receiver", 8, committed, count)
    arrived = (h.view("dut.receiver.head", 3) - h.view("dut.receiver.start", 3))[:3]
    over = view("dut.receiver.overflow") | view("dut.receiver.given_up")
    h.lemma(over | (arrived == count))
    return h


# (harness, whether its registers start anywhere, cycles of induction, cycles to reach all covers)
PROOFS: dict[str, tuple[Callable[..., Harness], bool, int, int]] = {
    "decoder in step": (_decoder, True, 3, 9),
    "frames only": (_frames_only, False, 2, 9),
    "receiver": (_receiver, False, 2, 14),
    "link": (_link, False, 2, 0),
}

# (proof, component, old, new, cycles in which it is found; 0 where that takes whole frames, and it
# is enough that the proof no longer closes)
MUTANTS = [
    ("decoder in step", CobsDecoder, "skipping.eq(0)", "skipping.eq(skipping)", 9),
    ("decoder in step", CobsDecoder, "left.eq(0), bad.eq(0)", "bad.eq(0)", 9),
    ("decoder in step", CobsDecoder, "m.Elif(bad | ~code)", "m.Elif(bad)", 9),
    ("decoder in step", CobsDecoder, "(self.o.ready | ~produces)", "self.o.ready & 0", 9),
    ("frames only", CobsDecoder, "m.d.sync += [in_frame.eq(1), ", "m.d.sync += [", 9),
    ("receiver", FrameReceiver, "m.Elif(~crc.match_detected)", "m.Elif(0)", 12),
    ("receiver", FrameReceiver, "self.i.valid & self.i.p.end)(crc)", "self.i.valid & 0)(crc)", 0),
    ("receiver", FrameReceiver, "given_up.eq(0), head.eq(start)", "given_up.eq(0)", 0),
    ("receiver", FrameReceiver, "overflow.eq(0), given_up.eq(0)", "overflow.eq(0)", 0),
    ("receiver", FrameReceiver, "m.Elif(overflow | ~lengths.w_rdy)", "m.Elif(overflow)", 0),
    ("receiver", FrameReceiver, "(head + 1)[: len(head)] == tail", "head + 1 == tail", 0),
]


@pytest.mark.parametrize("name", PROOFS)
def test_contract_holds(name: str, tmp_path: Path) -> None:
    build, anywhere, depth, _ = PROOFS[name]
    verdict = run(build(), tmp_path, mode="prove", depth=depth, anywhere=anywhere)
    assert verdict.status == "PASS", verdict.log


def test_a_line_at_rest_brings_the_uart_to_rest(tmp_path: Path) -> None:
    """The claim speaks of so many cycles, so that trying them all is a proof."""
    verdict = run(_uart(), tmp_path, mode="bmc", depth=REST + 1, anywhere=True)
    assert verdict.status == "PASS", verdict.log


def test_a_uart_that_waits_for_its_bits_is_refuted(tmp_path: Path) -> None:
    broken = mutant(UartReceiver, "with m.If(shift[1]):", "with m.If(shift == 0x101):")
    verdict = run(_uart(broken), tmp_path, mode="bmc", depth=REST + 1, anywhere=True)
    assert verdict.status == "FAIL", verdict.log


@pytest.mark.parametrize("name", [name for name in PROOFS if PROOFS[name][3]])
def test_proof_speaks_of_frames(name: str, tmp_path: Path) -> None:
    build, _, _, depth = PROOFS[name]
    verdict = run(build(), tmp_path, mode="cover", depth=depth)
    assert verdict.status == "PASS", verdict.log


@pytest.mark.parametrize(("name", "component", "old", "new", "depth"), MUTANTS)
def test_broken_component_is_refuted(
    name: str, component: type, old: str, new: str, depth: int, tmp_path: Path
) -> None:
    build, anywhere, induction, _ = PROOFS[name]
    harness = build(mutant(component, old, new))
    if depth:
        verdict = run(harness, tmp_path, mode="bmc", depth=depth, anywhere=anywhere)
        assert verdict.status == "FAIL", verdict.log
    else:
        verdict = run(harness, tmp_path, mode="prove", depth=induction)
        assert verdict.status in ("UNKNOWN", "FAIL"), verdict.log


def test_link_with_a_broken_receiver_is_not_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = mutant(FrameReceiver, "+ (self.o.valid & self.o.ready))", "+ self.o.valid)")
    monkeypatch.setattr("pysnn_hw.hdl.link.link_top.FrameReceiver", broken)
    verdict = run(_link(), tmp_path, mode="prove", depth=2)
    assert verdict.status == "UNKNOWN", verdict.log
