# SPDX-License-Identifier: BSD-2-Clause
"""Activations of Keras layers: as layers, and as the setting ``activation`` of other layers."""

from __future__ import annotations

from typing import Any

from pysnn_hw.frontend import layers
from pysnn_hw.frontend.builder import Refusal, Tensor, printable
from pysnn_hw.frontend.keras_args import Args, number
from pysnn_hw.frontend.remedies import remedy


def activation(a: Args) -> Tensor:
    """The layer ``Activation``."""
    return activate(a, a.tensor())


def activate(a: Args, x: Tensor) -> Tensor:
    """What the setting ``activation`` says about ``x``."""
    kind = a.config.get("activation")
    if isinstance(kind, dict):
        name, settings = kind.get("class_name"), kind.get("config")
        # A function of the user's own may be called relu.
        if not str(kind.get("module", "keras")).startswith("keras"):
            label = printable(str(settings if name == "function" else name))
            problem = f"its activation {label!r} is a custom object, whose code is never run"
            raise Refusal(problem, "use an activation of Keras, by its name")
        if name == "ReLU" and isinstance(settings, dict):
            return _clip(a, x, settings)
        kind = settings if name == "function" else name
    match kind:
        case None | "linear":
            return x
        case "relu" | "relu6":
            limit = 6.0 if kind == "relu6" else None
            y = layers.clip(a.builder, _suffixed(a, "relu"), x, 0, limit)
        case "softmax" | "log_softmax":
            log = kind == "log_softmax"
            y = _softmax_of(a, x, log=log)
        case _:
            label = printable(str(kind))
            raise Refusal(f"its activation {label!r} is not supported", remedy(label))
    return a.keep_order(x, y)


def _suffixed(a: Args, what: str) -> str:
    """The layer's name, or that of a part if the layer does more than this."""
    alone = a.layer.kind in ("Activation", "ReLU", "Relu", "Softmax")
    return a.name if alone else f"{a.name}_{what}"


def relu(a: Args) -> Tensor:
    """The layer ``ReLU``."""
    return _clip(a, a.tensor(), a.config)


def _clip(a: Args, x: Tensor, config: dict[str, Any]) -> Tensor:
    slope, threshold = config.get("negative_slope"), config.get("threshold")
    if slope or threshold:
        raise Refusal("has a slope or a threshold", "use a plain ReLU, with max_value if need be")
    limit = config.get("max_value")
    high = None if limit is None else number(limit, "max_value")
    return a.keep_order(x, layers.clip(a.builder, _suffixed(a, "relu"), x, 0, high))


def softmax(a: Args) -> Tensor:
    """The layer ``Softmax``."""
    x = a.tensor()
    a.expect_channels(x)
    return a.keep_order(x, _softmax_of(a, x, log=False))


def _softmax_of(a: Args, x: Tensor, *, log: bool) -> Tensor:
    if x.rank != 2:
        raise Refusal("softmax of a map", "flatten before it")
    return layers.softmax(a.builder, _suffixed(a, "softmax"), x, -1, log)
