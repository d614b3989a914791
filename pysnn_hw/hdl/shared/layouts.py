# SPDX-License-Identifier: BSD-2-Clause
"""What a shared core's memories hold: descriptors of passes and layers, tables, constants."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from pysnn_hw.ir.widths import signed_bits
from pysnn_hw.plan.layers import AccumulatePass, LayerProgram, LayerRun
from pysnn_hw.plan.rotation import RotatedAxis, RotatedRow

__all__ = [
    "constant_layout",
    "constant_words",
    "layer_layout",
    "layer_words",
    "pass_layout",
    "pass_words",
    "spike_bits",
    "table_words",
    "touch_layout",
    "x_layout",
    "y_layout",
]


def _field(largest: int):
    return unsigned(max(1, int(largest).bit_length()))


def spike_bits(program: LayerProgram) -> int:
    """Width of a spike in the spike memory."""
    low, high = program.spike_range
    return signed_bits(low, high) if low < 0 else max(1, high.bit_length())


def _address_shape(program: LayerProgram):
    return _field(program.bank_words - 1)


def _weight_shape(program: LayerProgram):
    return _field(sum(p.geometry.weight_depth for p in program.passes) - 1)


def pass_layout(program: LayerProgram) -> data.StructLayout:
    """One accumulate pass.

    ``source``, ``words``: where its spikes begin, and how many words a timestep has; ``outside``:
    there are two copies. ``rows``, ``columns``, ``groups``: of the source, less one. ``y``, ``x``:
    where its tables begin. ``offset``: added to target addresses per source group. ``out_groups``:
    target words per tap, less one. ``column``, ``row``: from the last target word of a tap to the
    first of the next, and between rows of targets. ``weight``, ``weight_row``: from one weight word
    of an event to the next, and between rows of taps. ``last``: the layer fires after it.
    """
    shapes = [p.geometry.source_shape for p in program.passes]
    return data.StructLayout(
        {
            "source": _field(program.spikes.words - 1),
            "words": _field(max(p.source.words for p in program.passes)),
            "outside": 1,
            "rows": _field(max(s[1] for s in shapes) - 1),
            "columns": _field(max(s[2] for s in shapes) - 1),
            "groups": _field(max(-(-s[0] // program.lanes) for s in shapes) - 1),
            "y": _field(len(program.y_rows) - 1),
            "x": _field(len(program.x_rows) - 1),
            "offset": _field(max(p.geometry.group_step for p in program.passes)),
            "out_groups": _field(max(p.geometry.out_groups for p in program.passes) - 1),
            "column": _address_shape(program),
            "row": _address_shape(program),
            "weight": _weight_shape(program),
            "weight_row": _weight_shape(program),
            "last": 1,
        }
    )


def _row_words(p: AccumulatePass) -> int:
    """Words of a bank between rows of targets."""
    return p.geometry.x.tiles * p.geometry.channel_groups


def pass_words(program: LayerProgram) -> list[dict[str, int]]:
    """Contents of the pass memory."""
    found = []
    for layer in program.layers:
        for p in layer.passes:
            g = p.geometry
            channels, height, width = g.source_shape
            found.append(
                {
                    "source": p.source.base,
                    "words": p.source.words,
                    "outside": int(p.source.outside),
                    "rows": height - 1,
                    "columns": width - 1,
                    "groups": -(-channels // program.lanes) - 1,
                    "y": p.y_base,
                    "x": p.x_base,
                    "offset": g.group_step,
                    "out_groups": g.out_groups - 1,
                    "column": (g.channel_groups - (g.out_groups - 1))
                    % (1 << _address_shape(program).width),
                    "row": _row_words(p) % (1 << _address_shape(program).width),
                    "weight": g.source_channels % (1 << _weight_shape(program).width),
                    "weight_row": (len(g.x.taps) * g.out_groups * g.source_channels)
                    % (1 << _weight_shape(program).width),
                    "last": int(p is layer.passes[-1]),
                }
            )
    return found


def layer_layout(program: LayerProgram) -> data.StructLayout:
    """One layer.

    ``first``: its first pass, if it ``accumulates``. ``rows``, ``columns``, ``groups``: its own,
    less one; ``row``: words of a bank per row of tiles; ``tile``: words per tile. ``constants``:
    its first. ``target``, ``words``: where its spikes go, if it ``keeps`` them; ``sends``: they
    leave. ``residual``, ``residual_words``, ``outside``: where those lie that are added at firing.
    ``last``: an image ends with it.
    """
    layers = program.layers
    words = [lay.target.words for lay in layers if lay.target is not None]
    residuals = [lay.residual.source.words for lay in layers if lay.residual is not None]
    shapes = [lay.population.shape for lay in layers]
    spikes = _field(program.spikes.words - 1)
    return data.StructLayout(
        {
            "first": _field(len(program.passes) - 1),
            "accumulates": 1,
            "rows": _field(max(s[1] for s in shapes) - 1),
            "columns": _field(max(s[2] for s in shapes) - 1),
            "groups": _field(max(s[0] // program.lanes for s in shapes) - 1),
            "row": _field(program.bank_words),
            "tile": _field(max(s[0] // program.lanes for s in shapes)),
            "constants": _field(len(program.constants("threshold")) - 1),
            "target": spikes,
            "words": _field(max(words, default=0)),
            "keeps": 1,
            "sends": 1,
            "residual": spikes,
            "residual_words": _field(max(residuals, default=0)),
            "outside": 1,
            "last": 1,
        }
    )


def layer_words(program: LayerProgram) -> list[dict[str, int]]:
    """Contents of the layer memory."""
    found, first = [], 0
    for layer in program.layers:
        found.append(_layer_word(program, layer, first))
        first += len(layer.passes)
    return found


def _layer_word(program: LayerProgram, layer: LayerRun, first: int) -> dict[str, int]:
    channels, height, width = layer.population.shape
    groups = channels // program.lanes
    target, residual = layer.target, layer.residual
    return {
        "first": first if layer.passes else 0,
        "accumulates": int(bool(layer.passes)),
        "rows": height - 1,
        "columns": width - 1,
        "groups": groups - 1,
        "row": -(-width // program.banks[1]) * groups,
        "tile": groups,
        "constants": layer.constant_base,
        "target": 0 if target is None else target.base,
        "words": 0 if target is None else target.words,
        "keeps": int(target is not None),
        "sends": int(layer.sends),
        "residual": 0 if residual is None else residual.source.base,
        "residual_words": 0 if residual is None else residual.source.words,
        "outside": int(residual is not None and residual.source.outside),
        "last": int(layer is program.layers[-1]),
    }


def _axis_layout(program: LayerProgram, axes: list[RotatedAxis]) -> data.StructLayout:
    banks, steps = axes[0].banks, max(a.most_steps for a in axes)
    return data.StructLayout(
        {
            "address": data.ArrayLayout(_address_shape(program), banks),
            "valid": data.ArrayLayout(unsigned(banks), steps),
            "turn": _field(banks - 1),
            "weight": _weight_shape(program),
            "steps": _field(steps),
        }
    )


def y_layout(program: LayerProgram) -> data.StructLayout:
    """A row of the table along y: target address and validity per bank, turn, weights, steps."""
    return _axis_layout(program, [p.geometry.y for p in program.passes])


def x_layout(program: LayerProgram) -> data.StructLayout:
    """The same along x."""
    return _axis_layout(program, [p.geometry.x for p in program.passes])


def table_words(program: LayerProgram, axis: str) -> list[dict[str, object]]:
    """Contents of the table along ``"y"`` or ``"x"``."""
    layout = y_layout(program) if axis == "y" else x_layout(program)
    modulus = 1 << _address_shape(program).width
    steps = layout["valid"].shape.length
    found: list[dict[str, object]] = []
    for p in program.passes:
        g = p.geometry
        plane = g.out_groups * g.source_channels
        if axis == "y":
            rows, tile, weight, base = g.y.rows, _row_words(p), len(g.x.taps) * plane, p.weight_base
        else:
            rows, tile, weight, base = g.x.rows, g.channel_groups, plane, 0
        banks = (g.y if axis == "y" else g.x).banks
        for row in rows:
            found.append(
                {
                    "address": [t * tile % modulus for t in row.tiles or (0,) * banks],
                    "valid": [_mask(row, s) for s in range(steps)],
                    "turn": row.turn,
                    "weight": base + row.weight * weight if row.steps else 0,
                    "steps": row.steps,
                }
            )
    return found


def _mask(row: RotatedRow, step: int) -> int:
    if step >= row.steps:
        return 0
    return sum(int(v) << bank for bank, v in enumerate(row.valid[step]))


def touch_layout(program: LayerProgram) -> data.StructLayout:
    """What all spikes of a word touch: addresses and validity, turns, weights of lane 0, steps."""
    y, x = y_layout(program), x_layout(program)
    banks = program.banks[0] * program.banks[1]
    return data.StructLayout(
        {
            "address": data.ArrayLayout(_address_shape(program), banks),
            "y_valid": y["valid"].shape,
            "x_valid": x["valid"].shape,
            "y_turn": y["turn"].shape,
            "x_turn": x["turn"].shape,
            "weight": _weight_shape(program),
            "y_steps": y["steps"].shape,
            "x_steps": x["steps"].shape,
        }
    )


def constant_layout(program: LayerProgram) -> data.StructLayout:
    """Constants of one word of neurons; ``factor`` is that of what is added at firing."""
    factors = [lay.residual.factors for lay in program.layers if lay.residual is not None]
    low = min((int(f.min()) for f in factors), default=0)
    high = max((int(f.max()) for f in factors), default=0)

    def array(name):
        values = program.constants(name)
        bits = signed_bits(int(values.min()), int(values.max()))
        return data.ArrayLayout(signed(bits), program.lanes)

    theta = int(program.constants("threshold").max())
    return data.StructLayout(
        {
            "theta": data.ArrayLayout(unsigned(theta.bit_length()), program.lanes),
            "start": array("start"),
            "bias": array("bias"),
            "factor": data.ArrayLayout(signed(signed_bits(low, high)), program.lanes),
        }
    )


def constant_words(program: LayerProgram) -> list[dict[str, list[int]]]:
    """Contents of the constant memory."""
    theta, start, bias = (program.constants(n).tolist() for n in ("threshold", "start", "bias"))
    factors: list[list[int]] = []
    for layer in program.layers:
        groups = layer.population.channels // program.lanes
        none = [[0] * program.lanes] * groups
        factors += none if layer.residual is None else layer.residual.factors.tolist()
    return [
        {"theta": t, "start": s, "bias": b, "factor": f}
        for t, s, b, f in zip(theta, start, bias, factors, strict=True)
    ]
