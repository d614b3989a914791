# SPDX-License-Identifier: BSD-2-Clause
"""The arguments and options that several verbs share, written once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from pysnn_hw.config import (
    Backend,
    BatchNormForm,
    Calibration,
    ConvertOptions,
    Encoding,
    MaxPooling,
    Method,
    ModelOptions,
    Objective,
    Ports,
    Reading,
    Reset,
    Surrogate,
)

Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="An .onnx, .pt2, .keras or .h5 file, or file.py:factory."),
]
Network = Annotated[
    Path, typer.Argument(metavar="NET.snn", help="A network file, as written by convert.")
]
Data = Annotated[
    str,
    typer.Option(
        help="mnist (bundled), an .npz with x_test, y_test (x_train, y_train), or an image folder."
    ),
]
OptionalData = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Sample images for predictions; by default the bundled ones, if they fit.",
    ),
]
Board = Annotated[str, typer.Option(help="A board of `pysnn-hw boards`, or a .toml file.")]
OptionalBoard = Annotated[
    str | None, typer.Option(help="A board of `pysnn-hw boards`, or a .toml file.")
]
BackendChoice = Annotated[
    Backend, typer.Option(help="golden: integers. verilator: the hardware, cycle by cycle.")
]
ScheduleFile = Annotated[
    Path | None, typer.Option("--schedule", help="A schedule.json to follow; else plan anew.")
]
ObjectiveChoice = Annotated[
    Objective, typer.Option(help="What to strive for; balanced: speed for the share of the board.")
]
PortsChoice = Annotated[Ports, typer.Option(help="Plain streams, or AXI4-Stream.")]
Folder = Annotated[Path, typer.Option("-o", "--output", help="Folder to write to.")]
SimulatedImages = Annotated[
    int, typer.Option("--simulate", min=1, help="Test images simulated cycle by cycle, per board.")
]
Scale = Annotated[float, typer.Option(help="The model sees pixel / SCALE.")]
Mean = Annotated[str, typer.Option(metavar="A,B,C", help="... minus MEAN, per channel")]
Std = Annotated[str, typer.Option(metavar="A,B,C", help="... divided by STD, per channel.")]
InputShape = Annotated[
    str, typer.Option(metavar="C,H,W", help="Shape of one image, where the model leaves it open.")
]
InputThreshold = Annotated[
    int | None,
    typer.Option(min=1, max=255, help="Pixels from here on are one spike each, others none."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON on stdout.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Use the first N test images only.")]

_PANEL = "Conversion"


def _knob(text: str, **limits: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=_PANEL, **limits)


CONVERSION: Mapping[str, Any] = {
    "timesteps": Annotated[int, _knob("Timesteps T.", min=1, max=4096)],
    "levels": Annotated[int, _knob("Bits n of one spike: values 0..2^n-1.", min=1, max=8)],
    "weight_bits": Annotated[int, _knob("Bits of one weight, sign included.", min=2, max=8)],
    "layer_bits": Annotated[
        str, _knob("Other bits for weights into some layers.", metavar="NAME=BITS,...")
    ],
    "counts": Annotated[
        int | None,
        _knob("Largest value of one spike, in place of --levels.", min=1, max=255),
    ],
    "calibration": Annotated[
        Calibration | None,
        _knob("How thresholds are chosen: by default by mse, for ecc by max."),
    ],
    "per_channel": Annotated[
        bool | None,
        typer.Option(
            "--per-channel/--per-layer",
            help="A threshold for each channel (default), or (ecc) each layer.",
            rich_help_panel=_PANEL,
        ),
    ],
    "percentile": Annotated[
        float, _knob("Of non-zero activations; with --calibration percentile.", min=0, max=100)
    ],
    "calibration_images": Annotated[
        int, _knob("Training images that thresholds are chosen on.", min=1)
    ],
    "method": Annotated[
        Method,
        _knob(
            "rate: plain spikes. ecc: scales by layer, at the largest activation. signed: spikes "
            "that can be taken back. srp, cos: a short first run says where each neuron starts. "
            "qcfs: trained a little, for T = 1. hybrid: trained through time, for binary spikes."
        ),
    ],
    "tau": Annotated[float, _knob("Initial membrane, as a share of the threshold.", min=0, max=1)],
    "reset": Annotated[Reset, _knob("soft: subtract what was fired. hard: back to zero.")],
    "batchnorm": Annotated[
        BatchNormForm, _knob("folded into the weights, or kept in the thresholds.")
    ],
    "bias_correction": Annotated[
        bool, _knob("Let biases make up for what channels lose on average.")
    ],
    "probe": Annotated[int, _knob("srp, cos: timesteps of the first run.", min=1, max=4096)],
    "max_pool": Annotated[
        MaxPooling, _knob("running: exact. gate: spikes of the busiest input of a window.")
    ],
    "encoding": Annotated[
        Encoding, _knob("constant: the image in every timestep. bernoulli: random spikes.")
    ],
    "seed": Annotated[
        int, _knob("Of bernoulli input and of --readout sampled.", min=1, max=(1 << 32) - 1)
    ],
    "readout": Annotated[
        Reading,
        _knob("Class by membrane potential, by count or first spike, or sampled by softmax."),
    ],
    "early_exit": Annotated[
        float,
        _knob(
            "Stop once the lead is such that this share of images keeps its class; 0: never.",
            min=0,
            max=1,
        ),
    ],
    "epochs": Annotated[int | None, _knob("Passes of qcfs or hybrid over the images.", min=0)],
    "learning_rate": Annotated[
        float | None, _knob("First step size of qcfs or hybrid, relative to the parameters.")
    ],
    "activity": Annotated[
        float, _knob("qcfs: what operations weigh beside errors, 0.3 say.", min=0)
    ],
    "surrogate": Annotated[Surrogate, _knob("hybrid: what stands for the slope of a spike.")],
    "leak": Annotated[
        int, _knob("hybrid: membranes lose a 2^LEAK-th each step; 0: nothing.", min=0, max=15)
    ],
    "threshold_scale": Annotated[float, _knob("hybrid: factor on the balanced thresholds.")],
    "checkpoint": Annotated[
        str | None, _knob("hybrid: written after each epoch, resumed from when it exists.")
    ],
}
"""How each field of `ConvertOptions` looks on the command line."""


def with_conversion(verb: Callable[..., None]) -> Callable[..., None]:
    """``verb`` with one option per field of `ConvertOptions` where it takes ``conversion``.

    A knob of the conversion is a field there and an entry in `CONVERSION`; every verb that
    converts has it then.
    """
    own = inspect.signature(verb, eval_str=True)
    defaults = {f.name: f.default for f in fields(ConvertOptions)} | {"layer_bits": ""}
    knobs = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults[name],
            annotation=CONVERSION[name],
        )
        for name in defaults
    ]
    parameters: list[inspect.Parameter] = []
    for parameter in own.parameters.values():
        if parameter.name == "conversion":
            parameters += knobs
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(verb)
    def expanded(**given: Any) -> None:
        values = {name: given.pop(name) for name in defaults}
        values["layer_bits"] = _layer_bits(values["layer_bits"])
        conversion = ConvertOptions(**values)
        verb(conversion=conversion, **given)

    expanded.__dict__["__signature__"] = own.replace(parameters=parameters)
    expanded.__annotations__ = {p.name: p.annotation for p in parameters}
    return expanded


def source(
    scale: float, mean: str, std: str, input_shape: str, threshold: int | None
) -> ModelOptions:
    """What the options say about the model's input."""
    shape = _numbers(input_shape, "--input-shape")
    return ModelOptions(
        scale,
        _numbers(mean, "--mean") or (0.0,),
        _numbers(std, "--std") or (1.0,),
        tuple(int(n) for n in shape) or None,
        threshold,
    )


def names(text: str) -> tuple[str, ...] | None:
    """The words of ``a,b,c``; None if there are none."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) or None


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """The numbers of ``1,2,4``.

    Raises
    ------
    typer.BadParameter
        If one of them is not whole.
    """
    found = _numbers(text, option)
    if any(n != int(n) for n in found):
        raise typer.BadParameter(f"{option} takes whole numbers such as 1,2,4, not {text!r}")
    return tuple(int(n) for n in found)


def _layer_bits(text: str) -> tuple[tuple[str, int], ...]:
    """The pairs of ``conv1=8,fc=4``.

    Raises
    ------
    typer.BadParameter
        If a part is no name with a number of bits, or a name comes twice.
    """
    pairs = [part.strip().rpartition("=") for part in text.split(",") if part.strip()]
    if not all(name and bits.isdecimal() for name, _, bits in pairs):
        raise typer.BadParameter(f"--layer-bits takes pairs such as conv1=8,fc=4, not {text!r}")
    names = [name for name, _, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise typer.BadParameter(f"--layer-bits names {name!r} twice: give it one width")
    return tuple((name, int(bits)) for name, _, bits in pairs)


def _numbers(text: str, option: str) -> tuple[float, ...]:
    """The numbers of ``a,b,c``; an empty text gives none.

    Raises
    ------
    typer.BadParameter
        If one of them is no number.
    """
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as e:
        raise typer.BadParameter(f"{option} takes numbers such as 0.13,0.2, not {text!r}") from e
