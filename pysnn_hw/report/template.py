# SPDX-License-Identifier: BSD-2-Clause
"""The templates of the pages, and how figures are written in them."""

from __future__ import annotations

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pysnn_hw.resources import resource_dir


def environment() -> Environment:
    """An environment that finds the templates."""
    found = Environment(
        loader=FileSystemLoader(resource_dir("rtl_templates")),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["thousands"] = lambda value: f"{value:,.0f}"
    found.filters["percent"] = lambda value: f"{100 * value:.2f} %"
    found.filters["shape"] = lambda shape: " × ".join(map(str, shape))
    found.filters["duration"] = duration
    return found


def duration(seconds: float) -> str:
    """Seconds below two minutes, then minutes."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
