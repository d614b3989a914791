# SPDX-License-Identifier: BSD-2-Clause
"""A trial of the link: many frames, some of them spoiled, and an account of every one."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pysnn_hw.errors import LinkError
from pysnn_hw.hdl.link.protocol import ERROR_REPLY, NO_SEQUENCE, REPLY, ErrorCode, Info, Request
from pysnn_hw.host.driver import SerialPort
from pysnn_hw.host.framing import DELIMITER, BadFrame, Deframer, Frame, decode, encode

_SPOIL = ("corrupted", "truncated", "delayed")


@dataclass(frozen=True)
class Sample:
    """An image as the payload of INFER, and the payload that must come back up to the cycles."""

    request: bytes
    reply: bytes


@dataclass(frozen=True)
class StressReport:
    """What became of all frames.

    Attributes
    ----------
    frames, images
        Frames sent, spoiled ones included; whole images among the good ones.
    spoiled
        Frames sent corrupted, truncated or delayed, by kind.
    answered
        Good frames with exactly one correct reply.
    wrong, missing, repeated
        Good frames with a wrong reply, without reply, replies beyond the first.
    reports_expected, reports
        Bad frames that the device should have reported, and those that it did, by code.
    damaged_replies
        Replies that were no frames.
    seconds
        Duration.
    """

    frames: int
    images: int
    spoiled: dict[str, int]
    answered: int
    wrong: int
    missing: int
    repeated: int
    reports_expected: int
    reports: dict[str, int]
    damaged_replies: int
    seconds: float

    @property
    def passed(self) -> bool:
        """Every good frame was answered once and correctly, every bad one reported."""
        faults = self.wrong + self.missing + self.repeated + self.damaged_replies
        good = self.frames - sum(self.spoiled.values())
        reported = sum(self.reports.values())
        return not faults and self.answered == good and reported == self.reports_expected


def stress(
    port: SerialPort,
    info: Info,
    samples: Sequence[Sample],
    *,
    frames: int,
    images: int,
    spoiled: float = 0.01,
    window: int = 2,
    seed: int = 1,
    timeout_s: float = 60.0,
) -> StressReport:
    """Send ``frames`` frames and account for every reply.

    Parameters
    ----------
    port
        An open port with a read time-out, to a device that is idle.
    info, samples
        What the device answers to INFO, and to images.
    frames, images
        How many frames; how many of them are images, in random places.
    spoiled
        Share of frames that are corrupted, truncated or delayed.
    window
        Replies that may be due at any time.
    seed
        Of all that is random.
    timeout_s
        Silence after which what is due counts as missing.

    Raises
    ------
    LinkError
        If the device stops answering.
    """
    trial = _Trial(port, info, samples, window, timeout_s, random.Random(seed))
    kinds = [Request.INFER] * images + [Request.INFO] * (frames - images)
    trial.rng.shuffle(kinds)
    begin = time.monotonic()
    for kind in kinds:
        fate = trial.rng.choice(_SPOIL) if trial.rng.random() < spoiled else "good"
        trial.send(kind, fate)
    trial.finish()
    count = trial.count
    return StressReport(
        frames=len(kinds),
        images=count["images"],
        spoiled={kind: count[kind] for kind in _SPOIL},
        answered=count["answered"],
        wrong=count["wrong"],
        missing=len(trial.due),
        repeated=count["repeated"],
        reports_expected=trial.reports_expected,
        reports=dict(trial.reports),
        damaged_replies=count["damaged"],
        seconds=round(time.monotonic() - begin, 3),
    )


@dataclass
class _Trial:
    port: SerialPort
    info: Info
    samples: Sequence[Sample]
    window: int
    timeout_s: float
    rng: random.Random
    count: Counter[str] = field(default_factory=Counter)
    due: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    """Type and payload (its beginning) of the replies to come, by sequence number."""
    reports_expected: int = 0
    reports: Counter[str] = field(default_factory=Counter)
    _sequence: int = 0
    _deframer: Deframer = field(default_factory=Deframer)

    def send(self, kind: Request, fate: str) -> None:
        """Send one frame, spoiled or not, once no more replies are due than allowed."""
        self._sequence = (self._sequence + 1) % NO_SEQUENCE
        payload, reply = b"", self.info.pack()
        if kind is Request.INFER:
            sample = self.rng.choice(self.samples)
            payload, reply = sample.request, sample.reply
        wire = encode(Frame(kind, self._sequence, payload))
        self._await(self.window - 1)
        if fate == "good":
            self.count["images"] += kind is Request.INFER
            self.due[self._sequence] = (REPLY | kind, reply)
            self.port.write(wire)
            return
        self.count[fate] += 1
        if fate == "delayed":
            self._send_delayed(wire)
        elif fate == "truncated":
            self._send_bad(wire[: self.rng.randrange(2, len(wire) - 1)])
        else:
            self._send_bad(self._flip(wire))

    def finish(self) -> None:
        """Wait for all replies, and for what should not come."""
        self.port.write(DELIMITER)
        self._await(0)
        quiet = time.monotonic() + 0.5
        while time.monotonic() < quiet:
            self._read()

    def _send_bad(self, wire: bytes) -> None:
        pieces = [decode(piece) for piece in wire.split(DELIMITER) if piece]
        self.reports_expected += sum(isinstance(piece, BadFrame) for piece in pieces)
        self.port.write(wire)

    def _send_delayed(self, wire: bytes) -> None:
        # Alone, so that the next report is the one for this silence.
        self.port.write(DELIMITER)
        self._await(0)
        cut = self.rng.randrange(2, len(wire) - 1)
        self.reports_expected += 1
        self.port.write(wire[:cut])
        self._await(0)
        self.port.write(wire[cut:])

    def _flip(self, wire: bytes) -> bytes:
        """One to three bits of the frame proper turned over."""
        flipped = bytearray(wire)
        while flipped == wire or not any(flipped):
            for _ in range(self.rng.randint(1, 3)):
                bit = self.rng.randrange(8, 8 * (len(wire) - 1))
                flipped[bit // 8] ^= 1 << bit % 8
        return bytes(flipped)

    def _outstanding(self) -> int:
        return len(self.due) + max(0, self.reports_expected - sum(self.reports.values()))

    def _await(self, allowed: int) -> None:
        """Read until at most ``allowed`` replies are due."""
        deadline = time.monotonic() + self.timeout_s
        while self._outstanding() > allowed:
            if self._read():
                deadline = time.monotonic() + self.timeout_s
            elif time.monotonic() > deadline:
                raise LinkError(
                    "device",
                    f"silent for {self.timeout_s:g} s with {self._outstanding()} replies due",
                )

    def _read(self) -> bool:
        data = self.port.read(max(1, self.port.in_waiting))
        for frame in self._deframer.feed(data):
            self._judge(frame)
        return bool(data)

    def _judge(self, frame: Frame | BadFrame) -> None:
        if isinstance(frame, BadFrame):
            self.count["damaged"] += 1
        elif frame.type == ERROR_REPLY and frame.sequence == NO_SEQUENCE:
            code, number = frame.payload
            self.reports[ErrorCode(code).name] += number
        else:
            expected = self.due.pop(frame.sequence, None)
            if expected is None:
                self.count["repeated"] += 1
                return
            kind, payload = expected
            right = frame.type == kind and frame.payload[: len(payload)] == payload
            self.count["answered" if right else "wrong"] += 1
