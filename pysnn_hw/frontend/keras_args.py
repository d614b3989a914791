# SPDX-License-Identifier: BSD-2-Clause
"""The inputs, settings and weights of one Keras layer, checked as they are looked up."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from pysnn_hw.frontend.builder import Array, GraphBuilder, Refusal, Tensor, Value, printable
from pysnn_hw.frontend.keras_graph import Layer

FLOATS = ("float32", "float64", "mixed_float16", "mixed_bfloat16")
"""Policies whose weights are stored with full precision."""


@dataclass(frozen=True)
class Args:
    """One layer: its inputs, resolved in ``env``, and what its configuration says.

    ``orders`` holds, by node name, the order of a flattened map: value i of our vector (C, H, W)
    is value ``order[i]`` of Keras' (H, W, C).
    """

    builder: GraphBuilder
    layer: Layer
    env: Mapping[str, Value]
    orders: MutableMapping[str, Array]

    @property
    def name(self) -> str:
        """Name of the layer."""
        return self.layer.name

    @property
    def config(self) -> dict[str, Any]:
        """Settings as the file gives them."""
        return self.layer.config

    def tensors(self, count: int) -> list[Tensor]:
        """The inputs, of which there must be ``count``."""
        if len(self.layer.inputs) != count:
            raise Refusal(f"has {len(self.layer.inputs)} inputs", f"it must have {count}")
        values = [self.env[name] for name in self.layer.inputs]
        return [value for value in values if isinstance(value, Tensor)]

    def tensor(self) -> Tensor:
        """The only input."""
        return self.tensors(1)[0]

    def order(self, x: Tensor) -> Array | None:
        """The order of the vector ``x``; None if it is Keras' own."""
        return self.orders.get(x.node)

    def keep_order(self, x: Tensor, y: Tensor) -> Tensor:
        """``y``, which is computed from ``x`` value by value."""
        if x.node in self.orders:
            self.orders[y.node] = self.orders[x.node]
        return y

    def flag(self, name: str, default: bool) -> bool:
        """A setting that is on or off."""
        value = self.config.get(name, default)
        if not isinstance(value, bool):
            raise Refusal(f"its setting {name} is not true or false")
        return value

    def integer(self, name: str, default: int) -> int:
        """An integer setting."""
        value = self.config.get(name, default)
        if not is_integer(value):
            raise Refusal(f"its setting {name} is not an integer")
        return int(value)

    def text(self, name: str, default: str) -> str:
        """A text setting."""
        value = self.config.get(name, default)
        if not isinstance(value, str):
            raise Refusal(f"its setting {name} is not a text")
        return value

    def pair(self, name: str, default: Sequence[int] = ()) -> tuple[int, int]:
        """A setting of (rows, columns), or one number for both."""
        value = self.config.get(name, default)
        return pair_of(value, name)

    def weights(self, *names: str) -> list[Array]:
        """The weights called ``names``, in this order, which is Keras' own."""
        layer = self.layer
        if len(layer.weights) != len(names):
            wanted = ", ".join(names)
            raise Refusal(f"holds {len(layer.weights)} weights, but needs {wanted or 'none'}")
        for wanted, stored in zip(names, layer.weight_names, strict=False):
            # Keras 2 and 3 do not agree on the name of a depthwise kernel.
            if stored != wanted and not stored.endswith("_" + wanted):
                raise Refusal(f"its weight {printable(stored)!r} is where {wanted} should be")
        return list(layer.weights)

    def expect_channels(self, x: Tensor) -> None:
        """Refuse unless the setting ``axis`` is the last dimension of ``x``: Keras' channels."""
        axis = self.config.get("axis", -1)
        axes = axis if isinstance(axis, list) else [axis]
        if axes not in ([-1], [x.rank - 1]):
            raise Refusal(
                f"works along axis {printable(str(axis))}", "use the last axis (channels)"
            )

    def check_layout(self) -> None:
        """Refuse channels before pixels, and weights that were quantised."""
        if self.text("data_format", "channels_last") != "channels_last":
            raise Refusal("has its channels first", "build the model with channels_last")
        policy = self.config.get("dtype")
        if isinstance(policy, dict):
            settings = policy.get("config")
            policy = settings.get("name") if isinstance(settings, dict) else None
        if policy is not None and policy not in FLOATS:
            raise Refusal(f"computes in {printable(str(policy))}", "save the float32 model")


def is_integer(value: Any) -> bool:
    """Whether ``value`` is an integer that a size can have; JSON knows no limit."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 31


def pair_of(value: Any, name: str) -> tuple[int, int]:
    """``value`` as (rows, columns)."""
    both = [value, value] if isinstance(value, int) else value
    if not isinstance(both, list | tuple) or len(both) != 2:
        raise Refusal(f"its setting {name} is not a pair of integers", "only 2-D layers")
    if not all(map(is_integer, both)):
        raise Refusal(f"its setting {name} is not a pair of integers")
    return both[0], both[1]


def number(value: Any, name: str) -> float:
    """``value`` as a finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e30:
        raise Refusal(f"its setting {name} is not a number")
    return float(value)
