# SPDX-License-Identifier: BSD-2-Clause
import json
import random
import struct

import pytest
from amaranth.back import verilog
from cobs import cobs

from pysnn_hw.hdl.link.parameters import LinkParameters
from pysnn_hw.hdl.link.protocol import NO_SEQUENCE, RESULT_TAIL, ErrorCode
from pysnn_hw.hdl.link.uart_top import UartTop
from pysnn_hw.host.framing import Frame, encode
from pysnn_hw.verify.cosim import build_cosim, run_cosim
from pysnn_hw.verify.verilator import find_verilator
from tests.link_bench import SumAccelerator, sums, winner

TOP = "uart_top"
DELAY = 50
PARAMETERS = LinkParameters(
    40, 0, 255, 10, divisor=8, fingerprint=0x600DF00D, clock_mhz=48, timeout_bytes=16
)


class Scenario:
    """Steps for ``sim/tb_link.py``, with a sequence number of its own for every frame."""

    def __init__(self, rng):
        self.rng, self.steps, self.sequence = rng, [], 0

    def number(self):
        self.sequence = (self.sequence + 1) % NO_SEQUENCE
        return self.sequence

    def step(self, send, *replies):
        wire = [encode(reply)[1:].hex() for reply in replies]
        send = [item if isinstance(item, int) else item.hex() for item in send]
        self.steps.append({"send": send, "replies": wire})

    def image(self):
        """A request and its reply."""
        n = self.number()
        image = bytes(self.rng.choice([0, 0, 255, self.rng.randrange(256)]) for _ in range(40))
        scores = sums(image, 10)
        tail = RESULT_TAIL.pack(winner(scores), 0, 40 + 1 + DELAY + 10 - 1)
        return encode(Frame(2, n, image)), Frame(0x82, n, struct.pack("<10i", *scores) + tail)

    def info(self):
        n = self.number()
        return encode(Frame(1, n)), Frame(0x81, n, PARAMETERS.info.pack())

    def good(self):
        request, reply = self.image() if self.rng.random() < 0.6 else self.info()
        self.step([request], reply)

    def pair(self):
        (first, reply_1), (second, reply_2) = self.image(), self.image()
        self.step([first + second], reply_1, reply_2)

    def corrupted(self):
        request, _ = self.image()
        content = bytearray(cobs.decode(request[1:-1]))
        content[self.rng.randrange(len(content))] ^= 1 << self.rng.randrange(8)
        wire = b"\x00" + cobs.encode(bytes(content)) + b"\x00"
        self.step([wire], error(ErrorCode.BAD_CRC))

    def truncated(self):
        request, _ = self.image()
        cut = request[: self.rng.randrange(2, len(request) - 2)]
        try:
            cobs.decode(cut[1:])
            code = ErrorCode.BAD_CRC  # cut between two blocks
        except cobs.DecodeError:
            code = ErrorCode.MALFORMED
        self.step([cut + b"\x00"], error(code))

    def delayed(self):
        request, _ = self.image()
        cut = self.rng.randrange(2, len(request) - 1)
        self.step([request[:cut], 20, request[cut:]], error(ErrorCode.TIMEOUT))

    def endless(self):
        self.step([b"\x55" * 90 + b"\x00"], error(ErrorCode.TOO_LONG))

    def wrong_length(self):
        n = self.number()
        self.step([encode(Frame(2, n, bytes(39)))], error(ErrorCode.BAD_LENGTH, n))

    def unknown(self):
        n = self.number()
        self.step([encode(Frame(0x44, n, b"what"))], error(ErrorCode.UNKNOWN_TYPE, n))

    def nothing(self):
        self.step([b"\x00\x00\x00"])


def error(code, sequence=NO_SEQUENCE):
    return Frame(0xFF, sequence, bytes([code, 1]))


@pytest.fixture(scope="module")
def executable(tmp_path_factory):
    folder = tmp_path_factory.mktemp("link")
    source = folder / "top.v"
    dut = UartTop(SumAccelerator(PARAMETERS, DELAY), PARAMETERS)
    source.write_text(verilog.convert(dut, name=TOP))
    return build_cosim(find_verilator(), source, folder / "build", top=TOP)


@pytest.mark.cosim
@pytest.mark.parametrize("seed", [1, 2])
def test_uart_models_get_every_answer(seed, executable, tmp_path):
    rng = random.Random(seed)
    scenario = Scenario(rng)
    bad = [
        *("corrupted", "truncated", "delayed", "endless"),
        *("wrong_length", "unknown", "nothing"),
    ]
    kinds = bad + ["pair"] * 3 + rng.choices(["good", *bad], k=25)
    rng.shuffle(kinds)
    for kind in kinds:
        getattr(scenario, kind)()
        scenario.good()
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps({"divisor": PARAMETERS.divisor, "steps": scenario.steps}))
    outcomes = run_cosim(executable, "sim.tb_link", {"PYSNN_VECTORS": str(path)}, top=TOP)
    assert [(o.name, o.complaint) for o in outcomes] == [("steps", "")]
