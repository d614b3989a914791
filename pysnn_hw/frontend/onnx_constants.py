# SPDX-License-Identifier: BSD-2-Clause
"""Folds ONNX operators on constants: the arithmetic on shapes that exporters write around Reshape.

Operators that can make an array larger work on small arrays only, so that a hostile file cannot
make them grow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pysnn_hw.frontend.builder import Array, Refusal

MAX_SMALL = 64
"""Largest array, in elements, on which shape arithmetic is done."""
CAST_TYPES = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 11: np.float64}

Attributes = Mapping[str, Any]
Fold = Callable[[Sequence[Array], Attributes], Array]


def fold(op: str, arrays: Sequence[Array], attributes: Attributes) -> Array:
    """The constant that ``op`` computes from constants; `Refusal` where that is not supported."""
    if op not in _SAME_SIZE and any(a.size > MAX_SMALL for a in arrays):
        raise Refusal("computes on constant arrays", "fold constants when exporting")
    rule = _SAME_SIZE.get(op) or _SMALL.get(op)
    if rule is None:
        raise Refusal("computes on constants", "fold constants when exporting")
    try:
        with np.errstate(all="ignore"):
            result = rule(arrays, attributes)
    except (ValueError, IndexError, TypeError, KeyError, OverflowError) as error:
        raise Refusal("has constants that do not fit each other") from error
    if op not in _SAME_SIZE and np.size(result) > MAX_SMALL:
        raise Refusal("computes a large constant", "fold constants when exporting")
    return np.asarray(result)


def _reshape(arrays: Sequence[Array], attributes: Attributes) -> Array:
    x, target = arrays
    sizes = [int(n) for n in target]
    if not attributes.get("allowzero", 0):
        sizes = [n if n or i >= x.ndim else x.shape[i] for i, n in enumerate(sizes)]
    return x.reshape(sizes)


def _axes(arrays: Sequence[Array], attributes: Attributes) -> tuple[int, ...]:
    values = attributes.get("axes") if len(arrays) < 2 else arrays[1].reshape(-1).tolist()
    return tuple(int(v) for v in values or ())


def _unsqueeze(arrays: Sequence[Array], attributes: Attributes) -> Array:
    return np.expand_dims(arrays[0], _axes(arrays, attributes))


def _squeeze(arrays: Sequence[Array], attributes: Attributes) -> Array:
    return arrays[0].squeeze(_axes(arrays, attributes) or None)


def _transpose(arrays: Sequence[Array], attributes: Attributes) -> Array:
    return np.ascontiguousarray(arrays[0].transpose(attributes.get("perm")))


def _cast(arrays: Sequence[Array], attributes: Attributes) -> Array:
    return arrays[0].astype(CAST_TYPES[attributes["to"]])


def _gather(arrays: Sequence[Array], attributes: Attributes) -> Array:
    return np.take(arrays[0], arrays[1], axis=attributes.get("axis", 0))


def _concat(arrays: Sequence[Array], attributes: Attributes) -> Array:
    if len(arrays) > MAX_SMALL:
        raise Refusal("joins too many constants")
    return np.concatenate(arrays, axis=attributes["axis"])


def _slice(arrays: Sequence[Array], attributes: Attributes) -> Array:
    x = arrays[0]
    given = [a.reshape(-1).tolist() for a in arrays[1:]]
    starts, ends = given[:2] if given else (attributes["starts"], attributes["ends"])
    axes = given[2] if len(given) > 2 else attributes.get("axes", list(range(len(starts))))
    steps = given[3] if len(given) > 3 else [1] * len(starts)
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[axis] = slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
    return x[tuple(index)]


def _constant_of_shape(arrays: Sequence[Array], attributes: Attributes) -> Array:
    sizes = [int(n) for n in arrays[0].reshape(-1)]
    count = 1
    for n in sizes:
        count *= n
    if not 0 <= count <= MAX_SMALL or min(sizes, default=0) < 0 or len(sizes) > 8:
        raise Refusal("makes a large constant", "fold constants when exporting")
    value = attributes.get("value")
    fill = np.zeros(1, np.float32) if value is None else value
    return np.full(sizes, fill.reshape(-1)[0], fill.dtype)


_SAME_SIZE: dict[str, Fold] = {
    "Reshape": _reshape,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Identity": lambda arrays, _: arrays[0],
}
_SMALL: dict[str, Fold] = {
    "Cast": _cast,
    "Gather": _gather,
    "Concat": _concat,
    "Slice": _slice,
    "ConstantOfShape": _constant_of_shape,
    "Add": lambda arrays, _: arrays[0] + arrays[1],
    "Sub": lambda arrays, _: arrays[0] - arrays[1],
    "Mul": lambda arrays, _: arrays[0] * arrays[1],
}
