# SPDX-License-Identifier: BSD-2-Clause
"""What a fine-tuning needs to go on after an interruption."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pysnn_hw.convert.hybrid.training import HybridTraining
from pysnn_hw.convert.hybrid.weights import weights_of
from pysnn_hw.errors import FileFormatError
from pysnn_hw.ir.snn import Array, SnnNetwork


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """State after an epoch.

    Attributes
    ----------
    run
        Fingerprint of all that decides the result (`fingerprint`).
    history
        Share of the held-out images classified correctly before training and after each epoch.
    weights, best
        Parameters now and after the best epoch, as `weights_of` names them.
    optimiser
        Its state dict.
    """

    run: str
    history: tuple[float, ...]
    weights: Mapping[str, Array]
    best: Mapping[str, Array]
    optimiser: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """Write atomically: an interruption leaves the previous file whole.

        Raises
        ------
        FileFormatError
            If the file cannot be written.
        """
        import torch

        state = {
            "run": self.run,
            "history": list(self.history),
            "weights": {k: torch.from_numpy(np.array(v)) for k, v in self.weights.items()},
            "best": {k: torch.from_numpy(np.array(v)) for k, v in self.best.items()},
            "optimiser": dict(self.optimiser),
        }
        partial = path.with_name(path.name + ".partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(state, partial)
            partial.replace(path)
        except OSError as e:
            raise FileFormatError(str(path), f"cannot be written ({e.strerror or e})") from e


def fingerprint(net: SnnNetwork, training: HybridTraining, images: Array, targets: Array) -> str:
    """Digest of the network, the options, the images and what is wanted of them."""
    digest = hashlib.sha256()
    settings = {"training": training.to_json(), "timesteps": net.timesteps}
    digest.update(json.dumps(settings, sort_keys=True).encode())
    thresholds = {p.name: p.threshold for p in net.populations}
    for name, values in (weights_of(net) | thresholds).items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    for values in (images, targets):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def load_checkpoint(path: Path, run: str) -> Checkpoint:
    """Read what `Checkpoint.save` wrote; nothing in the file is executed.

    Raises
    ------
    FileFormatError
        If the file is no such checkpoint, or of another run than ``run``.
    """
    import torch

    try:
        state = torch.load(path, weights_only=True)
        found = Checkpoint(
            str(state["run"]),
            tuple(float(v) for v in state["history"]),
            {k: v.numpy() for k, v in state["weights"].items()},
            {k: v.numpy() for k, v in state["best"].items()},
            state["optimiser"],
        )
    except Exception as e:  # torch raises whatever the bytes lead it to
        raise FileFormatError(
            str(path), f"is no checkpoint of a fine-tuning ({type(e).__name__})", "remove it"
        ) from e
    if found.run != run:
        raise FileFormatError(
            str(path), "is of another network, other images or other options", "remove it"
        )
    return found
