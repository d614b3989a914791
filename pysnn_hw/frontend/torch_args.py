# SPDX-License-Identifier: BSD-2-Clause
"""The arguments of one ATen call, checked for their kind as they are looked up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pysnn_hw.frontend.builder import (
    UNKNOWN,
    Array,
    GraphBuilder,
    Refusal,
    Tensor,
    Unresolved,
    Value,
)
from pysnn_hw.frontend.pt2 import Ref


@dataclass(frozen=True)
class Args:
    """The arguments of one call, looked up by schema name and resolved in ``env``."""

    builder: GraphBuilder
    name: str
    raw: dict[str, Any]
    env: dict[str, Value]

    def value(self, name: str, default: Any = None) -> Any:
        """An argument of any kind."""
        value = self.raw.get(name, default)
        if isinstance(value, list):
            return [self._resolve(v) for v in value]
        return self._resolve(value)

    def tensor(self, name: str) -> Tensor:
        """An activation."""
        value = self.value(name)
        if not isinstance(value, Tensor):
            raise Refusal(f"its {name} is a constant", "fold constants before exporting")
        return value

    def array(self, name: str) -> Array:
        """A constant array."""
        value = self.optional_array(name)
        if value is None:
            raise Refusal(f"its {name} is missing")
        return value

    def optional_array(self, name: str) -> Array | None:
        """A constant array, or None where the argument is absent."""
        value = self.value(name)
        if value is UNKNOWN:
            raise Unresolved
        if value is not None and not isinstance(value, np.ndarray):
            raise Refusal(f"its {name} is computed from the image", "it must be a constant")
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer."""
        value = self.value(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise Refusal(f"its {name} is not an integer")
        return value

    def integers(self, name: str, default: Sequence[int] = ()) -> list[int]:
        """A list of integers; a single one counts for both dimensions."""
        value = self.value(name, list(default))
        value = [value, value] if isinstance(value, int) else value
        if not isinstance(value, list) or not all(isinstance(v, int) for v in value):
            raise Refusal(f"its {name} is not a list of integers")
        return value * 2 if len(value) == 1 else value

    def number(self, name: str, default: float | None = None) -> float | None:
        """A number, or None where the argument is absent."""
        value = self.value(name, default)
        if value is not None and (not isinstance(value, int | float) or math.isnan(value)):
            raise Refusal(f"its {name} is not a number")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """A truth value."""
        return bool(self.value(name, default))

    def _resolve(self, value: Any) -> Any:
        if not isinstance(value, Ref):
            return value
        if value.name not in self.env:
            raise Refusal(f"reads {value.name[:80]!r}, which nothing before it computes")
        return self.env[value.name]
