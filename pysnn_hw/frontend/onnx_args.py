# SPDX-License-Identifier: BSD-2-Clause
"""The inputs and attributes of one ONNX node, checked for their kind as they are looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    printable,
)


@dataclass(frozen=True)
class Args:
    """One node: its input names, resolved in ``env``, and its attributes as plain values."""

    builder: GraphBuilder
    name: str
    opset: int
    inputs: Sequence[str]
    attributes: Mapping[str, Any]
    env: Mapping[str, Value]

    def value(self, index: int) -> Value:
        """Input ``index``, or None where it is left out."""
        if index >= len(self.inputs) or not self.inputs[index]:
            return None
        name = self.inputs[index]
        if name not in self.env:
            raise Refusal(f"reads {printable(name)!r}, which no node before it computes")
        return self.env[name]

    def tensor(self, index: int = 0) -> Tensor:
        """Input ``index``, an activation."""
        value = self.value(index)
        if not isinstance(value, Tensor):
            raise Refusal(f"its input {index} is a constant", "fold constants when exporting")
        return value

    def array(self, index: int, what: str) -> Array:
        """Input ``index``, a constant."""
        value = self.optional_array(index, what)
        if value is None:
            raise Refusal(f"its {what} is missing")
        return value

    def optional_array(self, index: int, what: str) -> Array | None:
        """Input ``index``, a constant or left out."""
        value = self.value(index)
        if value is UNKNOWN:
            raise Unresolved
        if value is not None and not isinstance(value, np.ndarray):
            raise Refusal(f"its {what} is computed from the image", "it must be a constant")
        return value

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise Refusal(f"its attribute {name} is not an integer")
        return value

    def number(self, name: str, default: float) -> float:
        """A number attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int | float) or value != value:
            raise Refusal(f"its attribute {name} is not a number")
        return float(value)

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, str):
            raise Refusal(f"its attribute {name} is not a string")
        return value

    def integers(self, name: str, default: Sequence[int], count: int | None = None) -> list[int]:
        """An attribute of integers, ``count`` of them if given."""
        value = self.attributes.get(name, list(default))
        if not isinstance(value, list) or not all(isinstance(v, int) for v in value):
            raise Refusal(f"its attribute {name} is not a list of integers")
        if count is not None and len(value) != count:
            raise Refusal(f"its attribute {name} has {len(value)} entries", "only 2-D layers")
        return value

    def list_input(self, index: int, name: str) -> list[int] | None:
        """Integers that are an attribute in old operator sets and input ``index`` in new ones."""
        if name in self.attributes:
            return self.integers(name, ())
        values = self.optional_array(index, name)
        if values is None:
            return None
        if values.dtype.kind not in "iu" or values.size > 64:
            raise Refusal(f"its {name} are not a few integers")
        return [int(v) for v in values.reshape(-1)]
