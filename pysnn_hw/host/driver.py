# SPDX-License-Identifier: BSD-2-Clause
"""Talks to an accelerator over a serial port."""

from __future__ import annotations

import contextlib
import secrets
import struct
import termios
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import numpy as np
import serial

from pysnn_hw.errors import DataError, LinkError
from pysnn_hw.hdl.link.protocol import (
    ERROR_REPLY,
    NO_SEQUENCE,
    REPLY,
    RESULT_TAIL,
    SCORE_BYTES,
    VERSION,
    ErrorCode,
    Info,
    Request,
)
from pysnn_hw.host.framing import BadFrame, Deframer, Frame, encode
from pysnn_hw.ir.snn import Array

_POLL_S = 0.05
_BUSY_PAUSE_S = 0.01


class SerialPort(Protocol):
    """What `Link` needs of a port; `serial.Serial` has it. ``read`` must have a time-out."""

    @property
    def in_waiting(self) -> int:
        """Bytes that can be read at once."""

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; fewer or none after the time-out."""

    def write(self, data: bytes) -> int | None:
        """Send all of ``data``."""

    def close(self) -> None:
        """Close the port."""


@dataclass(frozen=True, eq=False)
class Inference:
    """What the accelerator said of one image.

    Attributes
    ----------
    klass
        The winning class.
    scores
        int64 (classes,).
    cycles
        Clock cycles of the accelerator from the first integer to the last score.
    error
        The accelerator saw a malformed image.
    latency_s
        Seconds from request to reply, as the host sees them.
    """

    klass: int
    scores: Array
    cycles: int
    error: bool
    latency_s: float


class Link:
    """A connection to an accelerator; a context manager.

    Requests that are damaged, refused for want of room, or not answered are repeated. Each
    attempt has a sequence number of its own, so a late reply is never taken for another.

    Parameters
    ----------
    port
        Name of a serial port, or an open one (which is closed at the end too).
    baud
        Bits per second.
    timeout_s
        Seconds without any byte after which an answer is no longer expected.
    retries
        Attempts after the first.

    Attributes
    ----------
    counts
        Events so far: ``request``, ``reply``, ``retry``, ``stale``, ``damaged``, ``silence`` and
        the names of `ErrorCode`.

    Raises
    ------
    LinkError
        If the port cannot be opened. Every method raises it if the port is gone, nothing (good)
        comes back, or the device refuses.
    """

    def __init__(
        self,
        port: str | SerialPort,
        baud: int = 1_000_000,
        *,
        timeout_s: float = 2.0,
        retries: int = 4,
    ) -> None:
        self.timeout_s, self.retries = timeout_s, retries
        self.counts: Counter[str] = Counter()
        self._deframer = Deframer()
        self._info: Info | None = None
        self._sequence = secrets.randbelow(NO_SEQUENCE)
        self._name = port if isinstance(port, str) else getattr(port, "name", None) or "port"
        self._port: SerialPort = _open(port, baud) if isinstance(port, str) else port

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the port."""
        with contextlib.suppress(OSError, serial.SerialException):
            self._port.close()

    def info(self) -> Info:
        """What the device tells of itself; asked once, and again after an upload."""
        if self._info is None:
            payload, _ = self._request(Request.INFO, b"", Info.layout.size)
            info = Info.unpack(payload)
            if info.version != VERSION:
                raise LinkError(
                    self._name,
                    f"the device speaks protocol version {info.version}, this driver {VERSION}",
                    "build the bitstream again",
                )
            self._info = info
        return self._info

    def infer(self, image: Array) -> Inference:
        """Classify one image.

        Parameters
        ----------
        image
            Raw integers: (C, H, W), or flat in the order of the wire (row by row, pixel by pixel,
            channels innermost).

        Raises
        ------
        DataError
            If length, type or range are not the network's.
        """
        info = self.info()
        payload = _image_bytes(image, info)
        size = info.classes * SCORE_BYTES + RESULT_TAIL.size
        reply, latency_s = self._request(Request.INFER, payload, size)
        scores = np.frombuffer(reply, "<i4", info.classes).astype(np.int64)
        klass, error, cycles = RESULT_TAIL.unpack(reply[-RESULT_TAIL.size :])
        return Inference(klass, scores, cycles, bool(error), latency_s)

    def upload(self, address: int, data: bytes) -> None:
        """Write ``data`` to the device's memories from byte ``address`` on."""
        chunk = self.info().write_bytes
        if not chunk:
            raise LinkError(self._name, "this device has no memory that could be written")
        for start in range(0, len(data), chunk):
            head = struct.pack("<I", address + start)
            self._request(Request.WRITE, head + data[start : start + chunk], 0)
        self._info = None  # it tells whether the memories are loaded

    def _request(self, kind: Request, payload: bytes, size: int) -> tuple[bytes, float]:
        """Payload of the reply, ``size`` bytes, and the seconds that it took."""
        problem = ""
        for attempt in range(self.retries + 1):
            self.counts["retry" if attempt else "request"] += 1
            self._sequence = (self._sequence + 1) % NO_SEQUENCE
            begin = time.perf_counter()
            with self._port_errors():
                self._port.write(encode(Frame(kind, self._sequence, payload)))
            answer = self._await_reply(kind, self._sequence)
            if isinstance(answer, bytes):
                if len(answer) != size:
                    raise LinkError(
                        self._name,
                        f"the reply to {kind.name} has {len(answer)} bytes, expected {size}",
                        "is this device one of ours?",
                    )
                self.counts["reply"] += 1
                return answer, time.perf_counter() - begin
            problem = answer
        raise LinkError(
            self._name,
            f"no answer to {kind.name} in {self.retries + 1} attempts, the last time: {problem}",
            "check port, baud rate and bitstream",
        )

    def _await_reply(self, kind: Request, sequence: int) -> bytes | str:
        """Payload of the reply, or the reason to try again."""
        deadline = time.monotonic() + self.timeout_s
        while time.monotonic() < deadline:
            with self._port_errors():
                data = self._port.read(max(1, self._port.in_waiting))
            if data:
                deadline = time.monotonic() + self.timeout_s
            for frame in self._deframer.feed(data):
                answer = self._judge(frame, kind, sequence)
                if answer is not None:
                    return answer
        self.counts["silence"] += 1
        return f"nothing for {self.timeout_s:g} s"

    def _judge(self, frame: Frame | BadFrame, kind: Request, sequence: int) -> bytes | str | None:
        """What a frame means for the request in hand: its reply, a reason to repeat, nothing."""
        if isinstance(frame, BadFrame):
            self.counts["damaged"] += 1
            return f"a damaged reply ({frame.problem})"
        if frame.type == REPLY | kind and frame.sequence == sequence:
            return frame.payload
        if frame.type != ERROR_REPLY or frame.sequence not in (sequence, NO_SEQUENCE):
            self.counts["stale"] += 1
            return None
        return self._judge_error(frame, kind)

    def _judge_error(self, frame: Frame, kind: Request) -> str:
        code = frame.payload[0] if frame.payload else 0
        name = ErrorCode(code).name if code in list(ErrorCode) else f"error {code}"
        self.counts[name] += 1
        if frame.sequence != NO_SEQUENCE and code != ErrorCode.BUSY:
            hint = "upload its memories first" if code == ErrorCode.NOT_READY else ""
            raise LinkError(self._name, f"the device refuses {kind.name}: {name}", hint)
        if code == ErrorCode.BUSY:
            time.sleep(_BUSY_PAUSE_S)
        return f"the device reports {name}"

    @contextlib.contextmanager
    def _port_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, serial.SerialException, termios.error) as error:
            raise LinkError(
                self._name, f"the port is gone ({error})", "plug it in again"
            ) from error


def _open(name: str, baud: int) -> SerialPort:
    try:
        port = serial.Serial(name, baud, timeout=_POLL_S, write_timeout=10.0)
        port.reset_input_buffer()
    except (OSError, ValueError, serial.SerialException, termios.error) as error:
        raise LinkError(name, f"cannot be opened ({error})", "is the board plugged in?") from error
    opened: SerialPort = port
    return opened


def _image_bytes(image: Array, info: Info) -> bytes:
    """The payload of INFER."""
    array = np.asarray(image)
    if array.ndim == 3:
        array = np.moveaxis(array, 0, -1)
    if not np.issubdtype(array.dtype, np.integer):
        raise DataError("image", f"has dtype {array.dtype}", "the device takes raw integers")
    if array.size != info.image_length:
        raise DataError("image", f"has {array.size} integers, the network {info.image_length}")
    low, high = int(array.min()), int(array.max())
    if low < info.minimum or high > info.maximum:
        raise DataError(
            "image", f"has integers {low}..{high}, the network takes {info.minimum}..{info.maximum}"
        )
    signed = "i" if info.minimum < 0 else "u"
    return array.astype(f"<{signed}{info.value_bytes}").tobytes()
