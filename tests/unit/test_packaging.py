# SPDX-License-Identifier: BSD-2-Clause
"""The wheel carries everything, and works where there is no checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = {
    "rtl_templates": "pysnn_hw/_data/rtl_templates",
    "boards": "pysnn_hw/_data/boards",
    "sim": "pysnn_hw/_data/sim",
    "pysnn_hw": "pysnn_hw",
}


def travelling(folder: str) -> list[Path]:
    """Files below a folder of the checkout that are no by-products."""
    return [
        path.relative_to(ROOT / folder)
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and "sim_build" not in path.parts
    ]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT],
        check=True,
        capture_output=True,
        text=True,
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs python with the unpacked wheel, and nothing of the checkout, in an empty folder."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", *arguments],
            cwd=elsewhere,
            # Entries of this variable come before the editable install of the checkout.
            env={**os.environ, "PYTHONPATH": str(site)},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run("-c", "import pysnn_hw; print(pysnn_hw.__file__)")
    assert Path(where.strip()).is_relative_to(site)
    return run


@pytest.mark.parametrize("folder", PLACES)
def test_wheel_holds_every_file(wheel, folder):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = {f"{PLACES[folder]}/{path.as_posix()}" for path in travelling(folder)}
    assert wanted
    assert wanted - names == set()


def test_wheel_holds_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"pysnn_hw"}
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name]
    assert [name for name in names if name.endswith("licenses/LICENSE")]


def test_installed_wheel_finds_its_files(installed):
    code = """
from pysnn_hw import api
from pysnn_hw.data import load_dataset
from pysnn_hw.report import render
from pysnn_hw.resources import resource, resource_dir
for kind in ("rtl_templates", "sim", "boards", "bundled"):
    assert any(resource_dir(kind).iterdir()), kind
assert resource("rtl_templates", "report.html.j2").is_file()
assert len(load_dataset("mnist").x_test) == 10000
print(len(api.boards().boards))
"""
    assert int(installed("-c", code)) == len(list((ROOT / "boards").glob("*.toml")))


def test_installed_wheel_runs_the_command_line(installed):
    boards = json.loads(installed("-m", "pysnn_hw.cli", "boards", "--json"))["boards"]
    assert {board["name"] for board in boards} == {p.stem for p in (ROOT / "boards").glob("*.toml")}
