# SPDX-License-Identifier: BSD-2-Clause
"""The whole way on a network small enough for a test: model to bitstream, report and Makefile."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from pysnn_hw import api
from pysnn_hw.config import CompileOptions, ConvertOptions, ModelOptions
from tests.unit.test_cli import FACTORY

pytestmark = [pytest.mark.cosim, pytest.mark.synth, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("compile")


@pytest.fixture(scope="module")
def options(folder):
    (folder / "tiny.py").write_text(FACTORY)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 6, 6), np.uint8), rng.integers(0, 3, 40)
    np.savez(folder / "data.npz", x_test=x, y_test=y, x_train=x, y_train=y)
    return CompileOptions(
        model=f"{folder / 'tiny.py'}:make",
        data=str(folder / "data.npz"),
        boards=("icebreaker", "ulx3s-12f"),
        source=ModelOptions(mean=(0.5,), std=(0.25,)),
        conversion=ConvertOptions(timesteps=2, levels=2),
        simulated_images=30,
    )


@pytest.fixture(scope="module")
def compiled(folder, options):
    return api.compile(options, folder / "out")


def test_everything_is_there(compiled, folder):
    (network,) = compiled.networks
    assert network.images == 40
    assert [board.board for board in network.boards] == ["icebreaker", "ulx3s-12f"]
    for board in network.boards:
        assert board.bitstream.stat().st_size > 10_000
        assert (board.mismatches, board.simulated_images) == (0, 30)
        assert board.spikes_compared > 0
        assert board.clock_mhz <= board.fmax_mhz
        assert board.images_per_s == pytest.approx(1e6 * board.clock_mhz / board.cycles_per_image)
        assert 0 < board.lut["used"] <= board.lut["available"]
    page = network.report.read_text()
    assert "presented for 2 timesteps" in page
    assert all(board.bitstream.name in page for board in network.boards)
    assert json.loads((folder / "out" / "options.json").read_text())["conversion"]["levels"] == 2


def test_second_time_nothing_runs(compiled, folder, options):
    again = api.compile(options, folder / "out")
    assert [stage.name for stage in again.stages if stage.ran] == []
    assert again.networks == compiled.networks


def test_moved_folder_is_still_current(compiled, folder, options):
    moved = folder / "moved"
    shutil.copytree(folder / "out", moved)
    again = api.compile(options, moved)
    assert [stage.name for stage in again.stages if stage.ran] == []
    assert all(b.bitstream.is_relative_to(moved) for b in again.networks[0].boards)


def test_folder_stands_alone(compiled, folder):
    """Its Makefile repeats the verification; the package is out of reach, Verilator is not."""
    alone = folder / "alone"
    shutil.copytree(folder / "out", alone)
    blocked = folder / "blocked" / "pysnn_hw"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ImportError('out of reach')\n")
    done = subprocess.run(
        ["make", "-C", str(alone), f"PYTHON={sys.executable}"],
        env={**os.environ, "PYTHONPATH": str(blocked.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("no mismatch") == 2


def test_the_makefile_can_fail(compiled, folder):
    alone = folder / "damaged"
    shutil.copytree(folder / "out" / "ulx3s-12f" / "verify", alone)
    vectors = bytearray((alone / "vectors.bin").read_bytes())
    vectors[-1] ^= 1
    (alone / "vectors.bin").write_bytes(vectors)
    done = subprocess.run(
        ["make", "-C", str(alone), f"PYTHON={sys.executable}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "differs from golden" in done.stderr + done.stdout
