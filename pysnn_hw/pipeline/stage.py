# SPDX-License-Identifier: BSD-2-Clause
"""One stage: a function from files to files, and the fingerprint of all that it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pysnn_hw.pipeline.files import source_hash, tree_hash
from pysnn_hw.progress import Progress


@dataclass(frozen=True)
class Stage:
    """A step of the pipeline.

    Attributes
    ----------
    name
        Unique, and stable over releases: ``plan ulx3s-85f``.
    run
        Does the work; reads only ``inputs`` and ``options``, writes only ``outputs``.
    outputs
        Files that exist when it has run.
    inputs
        Files or folders whose contents decide the outputs.
    options
        Plain JSON values that decide the outputs.
    rooms
        Rooms of the package whose code decides the outputs.
    group
        Neighbours of one non-empty group run at the same time.
    """

    name: str
    run: Callable[[Progress], None]
    outputs: tuple[Path, ...]
    inputs: tuple[Path, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    rooms: tuple[str, ...] = ()
    group: str = ""

    def fingerprint(self) -> str:
        """Hash of name, options, contents of the inputs and the code of the rooms."""
        document = {
            "name": self.name,
            "options": dict(self.options),
            "inputs": [tree_hash([path]) for path in self.inputs],
            "source": source_hash(self.rooms),
        }
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
