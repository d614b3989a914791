# SPDX-License-Identifier: BSD-2-Clause
"""The import directions of docs/architecture.md, read from the sources without running them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pysnn_hw"

BASE = {"errors", "resources", "progress"}
# room -> the rooms it may import, besides itself and `BASE`.
ALLOWED = {
    "errors": set(),
    "resources": set(),
    "progress": set(),
    "config": set(),
    "data": set(),
    "ir": set(),
    "frontend": {"ir"},
    "convert": {"ir"},
    "golden": {"ir"},
    "explore": {"ir", "convert", "golden", "plan"},
    "plan": {"ir"},
    "hdl": {"ir", "plan"},
    "build": {"ir", "plan", "hdl"},
    "verify": {"ir", "plan", "hdl", "golden", "build"},
    "host": {"ir", "plan", "hdl", "golden", "build", "verify"},
    "report": set(),
    "pipeline": set(),
    "api": {
        *("config", "data", "ir", "frontend", "convert", "golden"),
        *("plan", "hdl", "build", "verify", "host", "pipeline", "report", "explore"),
    },
    "cli": {"api", "config"},
}
# torch is an optional extra: nothing after the .snn file may need it.
MAY_USE_TORCH = ("frontend", "convert", "ir/ann.py")


def sources() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if "_data" not in p.parts)


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Dotted names of every module that ``path`` imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def violations(room: str, names: Iterator[str]) -> list[str]:
    allowed = ALLOWED[room] | BASE | {room, "__version__"}
    own = (name for name in names if name.startswith("pysnn_hw."))
    return [name for name in own if name.split(".", 2)[1] not in allowed]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    room = room_of(path)
    if room == "__init__":
        return
    assert room in ALLOWED, f"{path.name}: room '{room}' is not in docs/architecture.md"
    assert violations(room, imported(path)) == []


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_these_rooms_use_torch(path):
    relative = path.relative_to(PACKAGE).as_posix()
    if not relative.startswith(MAY_USE_TORCH):
        assert [name for name in imported(path) if name.split(".")[0] == "torch"] == []


def test_a_wrong_direction_is_seen():
    assert violations("golden", iter(["pysnn_hw.hdl.events", "numpy"])) == ["pysnn_hw.hdl.events"]
    assert violations("hdl", iter(["pysnn_hw.golden.simulate"])) == ["pysnn_hw.golden.simulate"]
    assert violations("ir", iter(["pysnn_hw.errors.NetworkError", "pysnn_hw.ir.snn"])) == []


def test_every_room_is_documented():
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    rooms = {room_of(p) for p in sources()} - {"__init__"}
    assert [room for room in sorted(rooms) if f"`{room}" not in text] == []
