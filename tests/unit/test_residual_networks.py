# SPDX-License-Identifier: BSD-2-Clause
"""The trained networks beside ``scripts/bench_resnet_board.py``."""

from pathlib import Path

import numpy as np
import pytest

from pysnn_hw.golden import simulate
from pysnn_hw.ir.file import load

NETWORKS = Path(__file__).parents[2] / "scripts" / "networks"


@pytest.mark.parametrize(("model", "layers"), [("resnet20", 20), ("resnet8", 8)])
def test_they_are_what_their_names_say(model: str, layers: int) -> None:
    net = load(NETWORKS / f"{model}_6.snn")
    assert net.timesteps == 1
    assert net.input.shape == (3, 32, 32)
    assert {p.spike_max for p in net.populations[:-1]} == {15}
    # A residual block is two layers, the second of which also takes the block's input.
    assert len(net.populations) == layers
    low, high = zip(*(p.weight_range for p in net.projections if p.kind != "identity"), strict=True)
    assert min(low) >= -32
    assert max(high) <= 31
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32))
    assert simulate(net, images).scores.shape == (2, 10)


def test_each_comes_with_its_licence() -> None:
    said = (NETWORKS / "README.md").read_text()
    for file in NETWORKS.glob("*.snn"):
        licence = f"LICENSE.{file.stem.partition('_')[0]}"
        assert file.name in said
        assert licence in said
        assert "opyright" in (NETWORKS / licence).read_text()
