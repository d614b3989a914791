# SPDX-License-Identifier: BSD-2-Clause
"""The verbs of the command line as Python functions, with the same names and results.

Every function takes paths and plain values and returns a frozen dataclass whose fields are the
keys that ``--json`` prints. They are imported on first use, so that listing boards does not load
a compiler.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pysnn_hw.api.building import build
    from pysnn_hw.api.checking import check
    from pysnn_hw.api.comparison import compare
    from pysnn_hw.api.compilation import compile, demo
    from pysnn_hw.api.conversion import convert
    from pysnn_hw.api.design_search import explore
    from pysnn_hw.api.devices import boards, flash, run
    from pysnn_hw.api.exchange import export_nir, import_nir
    from pysnn_hw.api.exploration import auto
    from pysnn_hw.api.generation import generate
    from pysnn_hw.api.inspection import inspect
    from pysnn_hw.api.planning import plan
    from pysnn_hw.api.simulation import simulate
    from pysnn_hw.api.verification import verify

_MODULES = {
    "auto": "exploration",
    "boards": "devices",
    "build": "building",
    "check": "checking",
    "compare": "comparison",
    "compile": "compilation",
    "convert": "conversion",
    "demo": "compilation",
    "explore": "design_search",
    "export_nir": "exchange",
    "flash": "devices",
    "generate": "generation",
    "import_nir": "exchange",
    "inspect": "inspection",
    "plan": "planning",
    "run": "devices",
    "simulate": "simulation",
    "verify": "verification",
}

__all__ = [
    "auto",
    "boards",
    "build",
    "check",
    "compare",
    "compile",
    "convert",
    "demo",
    "explore",
    "export_nir",
    "flash",
    "generate",
    "import_nir",
    "inspect",
    "plan",
    "run",
    "simulate",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
