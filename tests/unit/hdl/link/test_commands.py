# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: BSD-2-Clause
import random
import struct
from dataclasses import replace

import pytest
from amaranth.sim import Simulator

from pysnn_hw.hdl.link.command_handler import CommandHandler
from pysnn_hw.hdl.link.cycle_counter import CycleCounter
from pysnn_hw.hdl.link.outcome import OutcomeKind
from pysnn_hw.hdl.link.parameters import LinkParameters
from pysnn_hw.hdl.link.protocol import NO_SEQUENCE, ErrorCode, Info
from pysnn_hw.hdl.link.reply_writer import ReplyWriter
from pysnn_hw.hdl.link.result_buffer import ResultBuffer
from tests.hdl_bench import PACES, run

SMALL = LinkParameters(5, 0, 255, 3, divisor=4, fingerprint=0xDEADBEEF, clock_mhz=25)
NARROW = LinkParameters(4, 0, 15, 2, divisor=4)
WIDE = LinkParameters(3, -300, 1000, 2, divisor=4)
SIGNED = LinkParameters(3, -128, 127, 2, divisor=4)
BOOTED = LinkParameters(4, 0, 255, 2, divisor=4, address_width=18)
MANY = LinkParameters(1, 0, 1, 300, divisor=4)


def requests(frames):
    return [
        {"data": byte, "left": len(frame) - 1 - k}
        for frame in frames
        for k, byte in enumerate(frame)
    ]


def done(kind, sequence):
    return {"kind": kind, "sequence": sequence}


def refused(code, sequence, count=1):
    kind = OutcomeKind.ERROR
    return {"kind": kind, "sequence": sequence, "code": int(code), "count": count}


def same(outcomes, want):
    """Whether outcomes agree in every field that ``want`` names."""
    return len(outcomes) == len(want) and all(
        {k: have[k] for k in wanted} == wanted for have, wanted in zip(outcomes, want, strict=True)
    )


def image_of(values):
    return [{"value": v, "last": int(k == len(values) - 1)} for k, v in enumerate(values)]


@pytest.mark.parametrize("pace", PACES)
def test_requests_in_a_row(pace):
    images = [[0, 255, 1, 128, 7], [9, 8, 7, 6, 5]]
    frames = [
        b"\x02\x05" + bytes(images[0]),
        b"\x01\x06",
        b"\x02\x07" + bytes(images[1]),
        b"\x02\x08" + bytes(4),  # one integer short
        b"\x02\x09" + bytes(6),
        b"\x02\x0a",
        b"\x01\x0b\x00",
        b"\x03\x0c" + bytes(5),  # WRITE is unknown without memories
        b"\x77\x0d",
        b"\x77\x0e" + bytes(8),
        b"\x00\x0f",
        b"\x82\x10" + bytes(5),
        b"\x01\xfe",
    ]
    want = [
        done(OutcomeKind.INFER, 5),
        done(OutcomeKind.INFO, 6),
        done(OutcomeKind.INFER, 7),
        *(refused(ErrorCode.BAD_LENGTH, k) for k in (8, 9, 10, 11)),
        *(refused(ErrorCode.UNKNOWN_TYPE, k) for k in (12, 13, 14, 15, 16)),
        done(OutcomeKind.INFO, 254),
    ]
    sent = image_of(images[0]) + image_of(images[1])
    seen = run(
        CommandHandler(SMALL),
        {"request": requests(frames), "errors": []},
        {"image": len(sent), "outcome": len(want)},
        pace=pace,
    )
    assert seen.payloads["image"] == sent
    assert same(seen.payloads["outcome"], want)


@pytest.mark.parametrize(
    ("parameters", "values", "wire"),
    [
        (NARROW, [0, 15, 7, 1], bytes([0, 15, 7, 1])),
        (SIGNED, [-128, 127, -1], b"\x80\x7f\xff"),
        (WIDE, [-300, 1000, -1], struct.pack("<3h", -300, 1000, -1)),
    ],
)
@pytest.mark.parametrize("pace", PACES)
def test_widths_and_signs_of_integers(parameters, values, wire, pace):
    frames = [b"\x02\x01" + wire, b"\x02\x02" + wire]
    seen = run(
        CommandHandler(parameters),
        {"request": requests(frames)},
        {"image": 2 * len(values), "outcome": 2},
        pace=pace,
    )
    assert seen.payloads["image"] == image_of(values) * 2


def test_one_integer_per_cycle():
    dut = CommandHandler(SMALL)
    frames = [b"\x02\x05" + bytes(5)]
    seen = run(dut, {"request": requests(frames)}, {"image": 5, "outcome": 1})
    first, *_, last = seen.cycles["image"]
    assert last - first == 4


@pytest.mark.parametrize("pace", PACES)
def test_errors_are_passed_on(pace):
    errors = [
        {"code": 1, "sequence": NO_SEQUENCE, "count": 1},
        {"code": 9, "sequence": NO_SEQUENCE, "count": 200},
        {"code": 5, "sequence": 17, "count": 1},
    ]
    seen = run(
        CommandHandler(SMALL),
        {"errors": errors, "request": requests([b"\x01\x06"] * 5)},
        {"outcome": 8},
        pace=pace,
    )
    got = seen.payloads["outcome"]
    assert [o for o in got if o["kind"] == OutcomeKind.ERROR] == [
        {"kind": OutcomeKind.ERROR, **e} for e in errors
    ]
    assert [o["sequence"] for o in got if o["kind"] == OutcomeKind.INFO] == [6] * 5


@pytest.mark.parametrize("pace", PACES)
def test_write(pace):
    frames = [
        b"\x03\x01" + struct.pack("<I", 0x2FFFE) + b"\x11\x22\x33",
        b"\x03\x02" + struct.pack("<I", 5),  # no data
        b"\x03\x03",
        b"\x03\x04" + struct.pack("<I", 0xFF000007) + b"\x44",
        b"\x02\x05" + bytes(4),
    ]
    dut = CommandHandler(BOOTED)
    seen = run(dut, {"request": requests(frames)}, {"outcome": 5, "boot": 4}, pace=pace)
    assert seen.payloads["boot"] == [
        {"address": 0x2FFFE, "data": 0x11},
        {"address": 0x2FFFF, "data": 0x22},
        {"address": 0x30000, "data": 0x33},
        {"address": 7, "data": 0x44},
    ]
    want = [
        done(OutcomeKind.WRITE, 1),
        refused(ErrorCode.BAD_LENGTH, 2),
        refused(ErrorCode.BAD_LENGTH, 3),
        done(OutcomeKind.WRITE, 4),
        refused(ErrorCode.NOT_READY, 5),
    ]
    assert same(seen.payloads["outcome"], want)


def outcome(kind, sequence, code=0, count=0):
    return {"kind": kind, "sequence": sequence, "code": code, "count": count}


def results(scores, winner, error):
    last = len(scores) - 1
    return [
        {"score": s, "winner": winner if k == last else 0, "error": error, "last": int(k == last)}
        for k, s in enumerate(scores)
    ]


def result_bytes(scores, winner, error, cycles=0):
    return struct.pack(f"<{len(scores)}iHBI", *scores, winner, error, cycles)


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("parameters", [SMALL, MANY])
def test_replies(parameters, pace):
    rng = random.Random(5)
    classes = parameters.classes
    if classes > 100 and pace != PACES[0]:
        classes = 3  # the length of a result is what its last transfer says
    scores = [rng.choice([-1, 0, 2**31 - 1, -(2**31), 0x01020304]) for _ in range(classes)]
    winner = parameters.classes - 1
    outcomes = [
        outcome(OutcomeKind.INFO, 0),
        outcome(OutcomeKind.INFER, 1),
        outcome(OutcomeKind.ERROR, 255, 9, 77),
        outcome(OutcomeKind.WRITE, 254),
        outcome(OutcomeKind.INFER, 3),
        outcome(OutcomeKind.ERROR, 4, 8, 1),
    ]
    want = [
        b"\x81\x00" + parameters.info.pack(),
        b"\x82\x01" + result_bytes(scores, winner, 1),
        b"\xff\xff\x09\x4d",
        b"\x83\xfe",
        b"\x82\x03" + result_bytes(scores[::-1], 0, 0),
        b"\xff\x04\x08\x01",
    ]
    seen = run(
        ReplyWriter(parameters),
        {"i": outcomes, "result": results(scores, winner, 1) + results(scores[::-1], 0, 0)},
        {"o": sum(map(len, want))},
        pace=pace,
    )
    frames, frame = [], b""
    for transfer in seen.payloads["o"]:
        frame += bytes([transfer["data"]])
        if transfer["last"]:
            frames.append(frame)
            frame = b""
    want[0] = want[0][:-1] + b"\x00"  # `loaded` has no driver here
    assert frames == want
    assert Info.unpack(frames[0][2:]) == replace(parameters.info, loaded=False)


def test_cycles_are_written_low_byte_first():
    dut, got = ReplyWriter(NARROW), []

    async def bench(ctx):
        ctx.set(dut.cycles, 0x11223344)
        ctx.set(dut.i.payload, outcome(OutcomeKind.INFER, 1))
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.result.payload, results([0], 0, 0)[0])
        ctx.set(dut.result.valid, 1)
        ctx.set(dut.o.ready, 1)
        for _ in range(2 + 4 + 7):
            got.append((await ctx.tick().sample(dut.o.p.data))[2])

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert bytes(got[-4:]) == b"\x44\x33\x22\x11"


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("parameters", [SMALL, LinkParameters(1, 0, 1, 1, divisor=4)])
def test_result_buffer_changes_nothing_but_the_time(parameters, pace):
    rng = random.Random(6)
    sent = []
    for k in range(4):
        scores = [rng.randrange(-(2**31), 2**31) for _ in range(parameters.classes)]
        sent += results(scores, k % parameters.classes, k % 2)
    seen = run(ResultBuffer(parameters), {"i": sent}, {"o": len(sent)}, pace=pace)
    assert [r["score"] for r in seen.payloads["o"]] == [r["score"] for r in sent]
    assert [r["last"] for r in seen.payloads["o"]] == [r["last"] for r in sent]
    assert [r for r in seen.payloads["o"] if r["last"]] == [r for r in sent if r["last"]]


def test_result_buffer_never_holds_up_an_image():
    dut = ResultBuffer(SMALL)
    seen = run(dut, {"i": results([1, 2, 3], 2, 0)}, {"o": 3}, pace=(1.0, 0.3))
    taken = seen.cycles["i"]
    assert taken[-1] - taken[0] == 2
    prompt = run(ResultBuffer(SMALL), {"i": results([1, 2, 3], 2, 0)}, {"o": 3})
    assert prompt.cycles["o"][0] - prompt.cycles["i"][-1] == dut.latency
    assert prompt.cycles["o"][-1] - prompt.cycles["o"][0] == 2


def test_cycle_counter_leaves_out_what_the_link_holds_back():
    # per cycle: image_moves, result_waits, result_ends, cycles expected
    script = [
        (0, 0, 0, 0),
        (1, 0, 0, 0),  # first integer
        (0, 0, 0, 1),
        (1, 0, 0, 2),
        (0, 0, 0, 3),
        (0, 1, 0, 4),  # first score waits
        (0, 1, 0, 4),
        (0, 0, 0, 4),  # and is taken
        (0, 1, 0, 5),  # last score
        (0, 1, 0, 5),
        (0, 0, 1, 5),
        (0, 0, 0, 5),
        (0, 0, 0, 5),
        (1, 0, 0, 5),  # next image
        (0, 0, 0, 1),
        (0, 0, 1, 2),
        (0, 0, 0, 2),
    ]
    dut, got = CycleCounter(), []

    async def bench(ctx):
        for moves, waits, ends, _ in script:
            ctx.set(dut.image_moves, moves)
            ctx.set(dut.result_waits, waits)
            ctx.set(dut.result_ends, ends)
            got.append((await ctx.tick().sample(dut.cycles))[2])

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert got == [cycles for *_, cycles in script]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_length": 0}, "image_length must be in 1.."),
        ({"minimum": -(1 << 15) - 1}, "minimum must be in"),
        ({"minimum": 3, "maximum": 2}, "maximum must be in 3.."),
        ({"classes": 0}, "classes must be in 1..4096, not 0"),
        ({"divisor": 3}, "divisor must be in 4..65535, not 3"),
        ({"fingerprint": 1 << 32}, "fingerprint must be in"),
        ({"address_width": 33}, "address_width must be in 0..32, not 33"),
        ({"timeout_bytes": 0}, "timeout_bytes must be in"),
    ],
)
def test_parameters_refused(change, message):
    good = {"image_length": 4, "minimum": 0, "maximum": 9, "classes": 2, "divisor": 8}
    with pytest.raises(ValueError, match=message):
        LinkParameters(**{**good, **change})


def test_sizes():
    assert (SMALL.value_bytes, SIGNED.value_bytes, WIDE.value_bytes) == (1, 1, 2)
    assert SMALL.max_request == 2 + 5 + 2
    assert BOOTED.max_request == 2 + 4 + 64 + 2
    assert BOOTED.write_bytes == 64
    assert SMALL.write_bytes == 0
    assert SMALL.max_reply == 2 + Info.layout.size + 2
    assert MANY.max_reply == 2 + 1200 + 7 + 2
    assert SMALL.timeout_cycles == 2048 * 10 * 4
