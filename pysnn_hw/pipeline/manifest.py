# SPDX-License-Identifier: BSD-2-Clause
"""What has been done in an output folder: one JSON file, rewritten whole after every stage."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pysnn_hw.pipeline.files import tree_hash, write_json
from pysnn_hw.pipeline.stage import Stage

FORMAT = 1


@dataclass(frozen=True)
class Record:
    """One finished stage: what it depended on, what it left, how long it took."""

    fingerprint: str
    outputs: str
    seconds: float


class Manifest:
    """The records of a folder, by stage name. A file that cannot be read counts as empty."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records = _read(path)

    def is_current(self, stage: Stage, fingerprint: str) -> bool:
        """Whether the stage ran with this fingerprint and its outputs are untouched since."""
        record = self._records.get(stage.name)
        if record is None or not all(path.exists() for path in stage.outputs):
            return False
        return record.fingerprint == fingerprint and record.outputs == tree_hash(stage.outputs)

    def forget(self, stage: Stage) -> None:
        """Strike a stage out before its outputs change."""
        if self._records.pop(stage.name, None) is not None:
            self._write()

    def finish(self, stage: Stage, fingerprint: str, seconds: float) -> None:
        """Record a stage that has just run with this fingerprint."""
        record = Record(fingerprint, tree_hash(stage.outputs), round(seconds, 6))
        self._records[stage.name] = record
        self._write()

    def seconds(self, name: str) -> float:
        """How long a recorded stage took when it last ran; 0 if it never did."""
        record = self._records.get(name)
        return 0.0 if record is None else record.seconds

    def _write(self) -> None:
        stages = {name: asdict(record) for name, record in self._records.items()}
        write_json(self.path, {"format": FORMAT, "stages": stages})


def _read(path: Path) -> dict[str, Record]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            return {}
        return {name: Record(**entry) for name, entry in document["stages"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Losing the manifest costs time, never correctness: everything is done again.
        return {}
