# SPDX-License-Identifier: BSD-2-Clause
"""Runs the fenced python blocks of README.md and docs/, page by page, so that they cannot rot.

Blocks of one page share their names and run in order, in an empty folder. A block that needs more
than seconds is fenced as ``python slow``; other languages and plain ``pycon`` are not run.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```python(?P<slow> slow)?\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def pages() -> list[object]:
    """One parameter per page with python in it, marked slow if one of its blocks is."""
    found = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        blocks = list(FENCE.finditer(path.read_text()))
        marks = [pytest.mark.slow] if any(b["slow"] for b in blocks) else []
        if blocks:
            found.append(pytest.param(path, id=str(path.relative_to(ROOT)), marks=marks))
    return found


@pytest.mark.parametrize("path", pages())
def test_python_blocks_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__docs__"}
    text = path.read_text()
    for block in FENCE.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        # Blank lines in front make tracebacks show the line of the page.
        exec(compile("\n" * line + block["code"], str(path), "exec"), names)


def test_relative_links_lead_somewhere():
    links = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
        for target in links.findall(path.read_text())
        if not (path.parent / target).exists()
    ]
    assert broken == []
