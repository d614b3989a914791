# SPDX-License-Identifier: BSD-2-Clause
"""Damaged networks, models and images through the command line: one sentence and status 2 each.

    python scripts/malformed_inputs.py --count 1000

Every input is damaged at random (cut, bits flipped, fields replaced, sizes made hostile) and given
to ``pysnn-hw`` in a process of its own. A damage that leaves a legal file (a flipped bit of a
weight, say) must be answered with status 0; it does not count, another is drawn for it. Ends with
status 1 if any run prints a traceback or another status, takes too long or too much memory.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PIL import Image

from pysnn_hw.cli import main as command_line
from pysnn_hw.ir.file import save
from tests.malformed import mutants
from tests.networks import random_network
from tests.unit.frontend.models import small_onnx
from tests.unit.frontend.test_hostile import edit_proto, flip, splice, truncate

KINDS = ("snn", "onnx", "npz", "folder")
Rng = np.random.Generator


@dataclass(frozen=True)
class Outcome:
    """How one run of the command line ended; memory in bytes."""

    status: int | None
    text: str
    seconds: float
    memory: int

    def fault(self, limits: argparse.Namespace) -> str | None:
        """What is wrong with it, or None."""
        if self.status is None:
            return f"killed after {self.seconds:.0f} s"
        if self.status not in (0, 2):
            return f"status {self.status}"
        if "Traceback" in self.text:
            return "a traceback"
        lines = [line for line in self.text.splitlines() if line.startswith("error: ")]
        listed = '"ok": false' in self.text  # ``check`` lists every node that it refuses
        if self.status == 2 and len(lines) != 1 and not listed:
            return f"{len(lines)} error lines"
        if self.memory > limits.memory_mib << 20:
            return f"{self.memory >> 20} MiB"
        return None


def run(arguments: list[str], seconds: int) -> Outcome:
    """One run of the command line in a fork of this process."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            signal.alarm(seconds)
            for stream in (1, 2):
                os.dup2(output.fileno(), stream)
            status = 1
            with contextlib.suppress(BaseException):
                status = command_line(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        _, code, usage = os.wait4(child, 0)
        output.seek(0)
        text = output.read().decode(errors="replace")
    status = os.waitstatus_to_exitcode(code)
    memory = usage.ru_maxrss * 1024
    return Outcome(status if status >= 0 else None, text, time.perf_counter() - start, memory)


# --- inputs ---------------------------------------------------------------------------------


def damaged_npz(good: dict[str, np.ndarray], rng: Rng) -> bytes:
    """An image file with one thing wrong."""
    x, y = good["x_test"], good["y_test"]
    changes: list[Callable[[], dict[str, np.ndarray]]] = [
        lambda: {"x_test": x[:, : rng.integers(0, 3)], "y_test": y},
        lambda: {"x_test": x[: rng.integers(len(x))], "y_test": y},
        lambda: {"x_test": x, "y_test": y[: rng.integers(len(y))]},
        lambda: {"x_test": x.reshape(-1), "y_test": y},
        lambda: {"x_test": np.full(x.shape, np.nan, np.float32), "y_test": y},
        lambda: {"x_test": np.full(x.shape, -np.inf, np.float32), "y_test": y},
        lambda: {"x_test": x.astype(str), "y_test": y},
        lambda: {"x_test": x, "y_test": y.astype(np.int64) - 1000},
        lambda: {"x_test": x, "y_test": y * np.float32(0.3) + np.float32(0.1)},
        lambda: {"x_test": x, "y_test": np.stack([y, y])},
        lambda: {"x_test": x},
        lambda: {"y_test": y},
        lambda: {"x_test": np.array([object()] * 3), "y_test": y[:3]},
        lambda: {**good, "x_train": x},
    ]
    file = io.BytesIO()
    kind = rng.integers(3)
    if kind == 0:
        np.savez(file, **changes[rng.integers(len(changes))](), allow_pickle=True)
        return file.getvalue()
    if kind == 1:
        np.savez_compressed(file, **good)
        return [truncate, flip, splice][rng.integers(3)](file.getvalue(), rng)
    # A header that claims more than there is.
    shape = tuple(int(n) for n in rng.choice([0, 1, 28, 2**20, 2**31, 2**40], size=4))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x_test.npy", header.getvalue() + x.tobytes()[:512])
        labels = io.BytesIO()
        np.save(labels, y)
        archive.writestr("y_test.npy", labels.getvalue())
    return file.getvalue()


def damaged_folder(root: Path, rng: Rng) -> None:
    """A folder of images, one of which is damaged or does not belong there."""
    for label in "ab":
        folder = root / "test" / label
        folder.mkdir(parents=True)
        for k in range(3):
            Image.fromarray(rng.integers(0, 255, (6, 6), np.uint8)).save(folder / f"{k}.png")
    victim = root / "test" / "a" / "1.png"
    content = victim.read_bytes()
    kind = rng.integers(5)
    if kind == 0:
        victim.write_bytes(truncate(content, rng))
    elif kind == 1:
        victim.write_bytes(flip(content, rng))
    elif kind == 2:
        victim.write_bytes(rng.bytes(100))
    elif kind == 3:
        size = tuple(int(n) for n in rng.integers(1, 40, 2))
        Image.fromarray(np.zeros(size, np.uint8)).save(victim)
    else:
        # A size in the header that would take gigabytes.
        damaged = bytearray(content)
        damaged[16:24] = int(rng.integers(2**15, 2**31)).to_bytes(4, "big") * 2
        victim.write_bytes(damaged)


class Inputs:
    """Good files in ``folder``, and damaged ones made of them."""

    def __init__(self, folder: Path, rng: Rng) -> None:
        self.folder, self.rng = folder, rng
        net = random_network(rng, timesteps=1, spike_max=3, depth=2, max_side=6, max_channels=3)
        self.network = folder / "good.snn"
        save(net, self.network)
        channels, height, width = net.input.shape
        shape = (6, height, width, channels)
        self.images = {
            "x_test": rng.integers(0, 256, shape, np.uint8),
            "y_test": rng.integers(0, net.populations[-1].size, 6),
        }
        self.onnx = small_onnx().SerializeToString()

    def make(self, kind: str, number: int) -> tuple[str, list[str]]:
        """A damaged input: what was done, and the command line that reads it."""
        path = self.folder / f"{number}.{kind}"
        if kind == "snn":
            damage, content = next(mutants(self.network.read_bytes(), self.rng, 1))
            path.write_bytes(content)
            return damage, ["inspect", str(path), "--json"]
        if kind == "onnx":
            change = (flip, truncate, splice, edit_proto)[self.rng.integers(4)]
            path.write_bytes(change(self.onnx, self.rng))
            return change.__name__, ["check", str(path), "--board", "ulx3s-85f", "--json"]
        simulate = ["simulate", str(self.network), "--data", str(path), "--limit", "2", "--json"]
        if kind == "npz":
            path.write_bytes(damaged_npz(self.images, self.rng))
            return "npz", simulate
        damaged_folder(path, self.rng)
        return "folder", simulate


def main() -> int:
    """Draw inputs until enough have been refused; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="malformed inputs to refuse")
    parser.add_argument("--seed", type=int, default=1, help="of the damage")
    parser.add_argument("--seconds", type=int, default=60, help="limit of one run")
    parser.add_argument("--memory-mib", type=int, default=2048, help="limit of one run")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    if options.count < 1:
        parser.error("--count must be at least 1")

    refused: Counter[str] = Counter()
    legal: Counter[str] = Counter()
    faults: list[str] = []
    slowest, largest, start = 0.0, 0, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        inputs = Inputs(Path(folder), np.random.default_rng(options.seed))
        number = 0
        while sum(refused.values()) < options.count:
            kind = KINDS[number % len(KINDS)]
            damage, arguments = inputs.make(kind, number)
            outcome = run(arguments, options.seconds)
            number += 1
            fault = outcome.fault(options)
            if fault:
                faults.append(f"input {number} ({kind}, {damage}): {fault}: {outcome.text[-600:]}")
                print(faults[-1], file=sys.stderr, flush=True)
            (refused if outcome.status == 2 or fault else legal)[kind] += 1
            slowest = max(slowest, outcome.seconds)
            largest = max(largest, outcome.memory)
            if number % 100 == 0:
                print(f"{sum(refused.values())} of {options.count}", file=sys.stderr, flush=True)
    figures = {
        "refused": dict(refused),
        "still_legal": dict(legal),
        "faults": len(faults),
        "slowest_s": round(slowest, 1),
        "largest_mib": largest >> 20,
        "seconds": round(time.perf_counter() - start),
    }
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        print(
            f"{sum(refused.values())} malformed inputs, {len(faults)} not answered with one "
            f"sentence and status 2; slowest {slowest:.1f} s, largest {largest >> 20} MiB"
        )
        print("refused: " + ", ".join(f"{kind} {n}" for kind, n in sorted(refused.items())))
        print("still legal: " + ", ".join(f"{kind} {n}" for kind, n in sorted(legal.items())))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
