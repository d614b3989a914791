# SPDX-License-Identifier: BSD-2-Clause
"""Imports torch modules and exported programs (``.pt2``).

A module is exported and saved to memory, so that both take the same way through `pt2`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend.builder import UNKNOWN, Array, GraphBuilder, Value
from pysnn_hw.frontend.compare import Reference
from pysnn_hw.frontend.pt2 import Program, Ref, ScalarType, read_archive
from pysnn_hw.frontend.remedies import remedy
from pysnn_hw.frontend.torch_args import Args
from pysnn_hw.frontend.torch_ops import HANDLERS

if TYPE_CHECKING:
    import torch

EXPORT_BATCH = 3
"""Images in an exported batch; a size that hardly occurs as a layer's size by chance."""


def export_module(module: torch.nn.Module, shape: Sequence[int], where: str) -> Program:
    """Export ``module`` in eval mode for images of ``shape``; leaves its training flags alone."""
    import torch

    dtypes = {p.dtype for p in module.parameters()} or {torch.float32}
    if not dtypes <= {torch.float32, torch.float64} or len(dtypes) != 1:
        raise ModelError(where, f"has parameters of type {dtypes}", "convert with model.float()")
    example = torch.zeros(EXPORT_BATCH, *shape, dtype=dtypes.pop())
    buffer = io.BytesIO()
    with _eval_mode(module), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            torch.export.save(torch.export.export(module, (example,)), buffer)
        # Tracing runs the user's own code, which may raise anything.
        except Exception as error:
            problem = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(
                where,
                f"torch.export fails on an input {tuple(example.shape)}: {problem[:200]}",
                "check the input shape; control flow must not depend on the image",
            ) from error
    return read_archive(buffer.getvalue(), where)


def load_program(path: Path) -> Program:
    """Read a ``.pt2`` file without running any of it."""
    return read_archive(path, path.name)


def build(program: Program, where: str) -> tuple[GraphBuilder, Value]:
    """Walk ``program``; returns the builder and the program's output."""
    if len(program.sizes) not in (2, 4) or any(n is None for n in program.sizes[1:]):
        sizes = tuple("?" if n is None else n for n in program.sizes)
        raise ModelError(where, f"takes an input {sizes}", "it must be (N, C, H, W) or (N, K)")
    if program.dtype not in ("<f4", "<f8"):
        raise ModelError(where, "takes an input that is not float32", "export it with floats")
    b = GraphBuilder([n for n in program.sizes[1:] if n is not None], batch_of(program))
    env: dict[str, Value] = {**program.constants, program.input: b.input}
    for call in program.calls:
        handler = HANDLERS.get(call.target)
        op = call.target.split(".")[1] if call.target.count(".") == 2 else call.target
        result: Value = UNKNOWN
        if handler is None:
            b.refuse(call.hint, op, "is not supported", remedy(op))
        else:
            args = Args(b, call.hint, call.args, env)
            result = b.attempt(call.hint, op, partial(handler, args))
        if op.endswith("_"):
            _overwrite(env, call.args.get("self"), result)
        env[call.output] = result
    return b, env.get(program.output)


def batch_of(program: Program) -> int:
    """Images per run: the program's own batch, or two where that is dynamic."""
    return program.sizes[0] or 2


def module_reference(module: torch.nn.Module, shape: Sequence[int]) -> Reference:
    """Run ``module`` itself."""
    import torch

    dtype = next((p.dtype for p in module.parameters()), torch.float32)

    def run(x: Array) -> Array:
        with _eval_mode(module), torch.no_grad():
            y = module(torch.from_numpy(x).to(dtype).reshape(len(x), *shape))
        return np.asarray(y.numpy())

    return run


def program_reference(program: Program) -> Reference:
    """Run the calls of ``program`` one by one; call only after `build` has accepted it."""
    import torch

    def run(x: Array) -> Array:
        env: dict[str, Any] = {k: torch.from_numpy(v) for k, v in program.constants.items()}
        sizes = [n for n in program.sizes[1:] if n is not None]
        env[program.input] = torch.from_numpy(x.astype(program.dtype)).reshape(len(x), *sizes)
        with torch.inference_mode():
            for call in program.calls:
                _, op, overload = call.target.split(".")
                function = getattr(getattr(torch.ops.aten, op), overload)
                env[call.output] = function(**{k: _resolve(v, env) for k, v in call.args.items()})
        return np.asarray(env[program.output].numpy())

    return run


def _resolve(value: Any, env: dict[str, Any]) -> Any:
    import torch

    if isinstance(value, list):
        return [_resolve(v, env) for v in value]
    if isinstance(value, ScalarType):
        return {7: torch.float32, 8: torch.float64}[value.code]
    return env[value.name] if isinstance(value, Ref) else value


def _overwrite(env: dict[str, Value], target: Any, result: Value) -> None:
    """An in-place call changes every name that stands for the same tensor."""
    if not isinstance(target, Ref) or target.name not in env:
        return
    old = env[target.name]
    for name, value in env.items():
        if value is old:
            env[name] = result


@contextmanager
def _eval_mode(module: torch.nn.Module) -> Iterator[None]:
    flags = {m: m.training for m in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for m, training in flags.items():
            m.training = training
