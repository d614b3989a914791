# SPDX-License-Identifier: BSD-2-Clause
"""Finds out what a source is and hands it to the frontend that knows it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend.builder import GraphBuilder, Unsupported, Value
from pysnn_hw.frontend.compare import ImportedModel, Reference, compare

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-4
"""Largest relative difference between a model and its import."""
KINDS = "a .onnx, .pt2, .keras or .h5 file, file.py:factory, a torch module or a Keras model"


@dataclass(frozen=True)
class _Walked:
    """A source model after the walk over its layers."""

    where: str
    builder: GraphBuilder
    output: Value
    reference: Reference


def import_model(
    source: str | Path | torch.nn.Module,
    input_shape: Sequence[int] | None = None,
    *,
    tolerance: float = TOLERANCE,
) -> ImportedModel:
    """Import a trained network and check the import against it.

    Parameters
    ----------
    source
        A torch module or Keras model; or the path of a ``.pt2``, ``.onnx``, ``.keras`` or ``.h5``
        file (nothing in these is run); or ``path/to/module.py:factory``, which *is* run: the
        factory returns a torch module or Keras model.
    input_shape
        (C, H, W), or (K,) for a network on vectors. Needed for modules (unless they have an
        attribute ``input_shape``) and where an ONNX file leaves it open.
    tolerance
        Largest accepted difference, relative to the largest output of an image.

    Returns
    -------
    ImportedModel
        The graph and the measured difference.

    Raises
    ------
    ModelError
        If the source cannot be read, holds unsupported layers, or does not match its import.

    """
    walked = _walk(source, input_shape)
    graph = walked.builder.finish(walked.output)
    if graph is None:
        first, *more = walked.builder.problems
        also = f" (and {len(more)} more unsupported)" if more else ""
        raise ModelError(
            f"{walked.where}, {first.node} ({first.op})", first.problem + also, first.remedy
        )
    return compare(
        graph,
        walked.reference,
        batch=walked.builder.batch,
        tolerance=tolerance,
        where=walked.where,
    )


def list_unsupported(
    source: str | Path | torch.nn.Module, input_shape: Sequence[int] | None = None
) -> tuple[Unsupported, ...]:
    """Everything in ``source`` that keeps it from being imported; empty if nothing does."""
    walked = _walk(source, input_shape)
    walked.builder.finish(walked.output)
    return tuple(walked.builder.problems)


def _walk(source: str | Path | torch.nn.Module, input_shape: Sequence[int] | None) -> _Walked:
    if not isinstance(source, str | Path):
        return _walk_module(source, input_shape, type(source).__name__)
    text = str(source)
    path, colon, factory = text.rpartition(":")
    if colon and path.endswith(".py"):
        _require("torch", text)
        return _walk_module(_make_module(Path(path), factory), input_shape, text)
    file = Path(source)
    if file.suffix == ".nir":
        raise ModelError(text, "is a spiking network, which needs no conversion", "use import-nir")
    if file.suffix not in (".onnx", ".pt2", ".keras", ".h5"):
        raise ModelError(text, "is not a kind of model that can be imported", f"give {KINDS}")
    if not file.is_file():
        raise ModelError(text, "there is no such file")
    if file.suffix == ".onnx":
        _require("torch", text)
        _require("onnx", text)
        from pysnn_hw.frontend import onnx

        model = onnx.load_model(file, input_shape)
        builder, output = onnx.build(model)
        return _Walked(file.name, builder, output, onnx.reference(model))
    _require("torch", text)
    if file.suffix in (".keras", ".h5"):
        _require("h5py", text, "keras")
        from pysnn_hw.frontend import keras

        saved = keras.load_model(file, input_shape)
        builder, output = keras.build(saved)
        return _Walked(file.name, builder, output, keras.make_reference(saved))
    from pysnn_hw.frontend import torch_export

    program = torch_export.load_program(file)
    if input_shape is not None and tuple(input_shape) != program.sizes[1:]:
        raise ModelError(text, f"takes images {program.sizes[1:]}, not {tuple(input_shape)}")
    builder, output = torch_export.build(program, file.name)
    return _Walked(file.name, builder, output, torch_export.program_reference(program))


def _walk_module(module: Any, input_shape: Sequence[int] | None, where: str) -> _Walked:
    # With its torch backend a Keras model is a torch module, too, so this comes first.
    if _is_keras(module):
        from pysnn_hw.frontend import keras

        saved = keras.save_and_load(module, input_shape)
        builder, output = keras.build(saved)
        return _Walked(where, builder, output, keras.model_reference(module, saved))
    import torch

    from pysnn_hw.frontend import torch_export

    if not isinstance(module, torch.nn.Module):
        raise ModelError(
            where, f"is a {type(module).__name__}, not a torch module", f"give {KINDS}"
        )
    shape = input_shape if input_shape is not None else getattr(module, "input_shape", None)
    if shape is None:
        raise ModelError(
            where, "the shape of its images is not known", "give the input shape C,H,W"
        )
    if len(shape) not in (1, 3) or not all(isinstance(n, int) and 0 < n <= 1 << 20 for n in shape):
        raise ModelError(where, f"cannot take images of shape {tuple(shape)}", "give C,H,W")
    program = torch_export.export_module(module, shape, where)
    builder, output = torch_export.build(program, where)
    return _Walked(where, builder, output, torch_export.module_reference(module, shape))


def _is_keras(module: Any) -> bool:
    """Whether ``module`` is a Keras model; whoever made one has imported Keras."""
    package: Any = sys.modules.get("keras")
    return package is not None and isinstance(module, getattr(package, "Model", ()))


def _require(package: str, where: str, extra: str = "") -> None:
    """Importing needs more than running: its packages are optional."""
    if importlib.util.find_spec(package) is None:
        hint = f"pip install 'pysnn-hw[{extra or package}]'"
        raise ModelError(where, f"the package {package!r} is needed to import it", hint)


def _make_module(path: Path, factory: str) -> Any:
    """Run ``path`` and call its ``factory``: the one place where a model's code is executed."""
    where = f"{path}:{factory}"
    if not path.is_file():
        raise ModelError(where, "there is no such file")
    spec = importlib.util.spec_from_file_location(f"_pysnn_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ModelError(where, "is not a Python file")
    code: ModuleType = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(code)
        make = getattr(code, factory, None)
        made = make() if callable(make) else None
    # It is the user's code, which may raise anything.
    except Exception as error:
        problem = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(where, f"raises {type(error).__name__}: {problem[:200]}") from error
    if not callable(make):
        raise ModelError(where, f"defines no function {factory!r}")
    return made
