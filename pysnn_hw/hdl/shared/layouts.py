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
    "turns",
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
    steps per tap, less one; ``filled``: banks that the last of them touches. ``column``, ``row``:
    from the last target word of a tap to the first of the next, and between rows of targets.
    ``weight``, ``weight_row``: from one weight word of an event to the next, and between rows of
    taps. ``last``: the layer fires after it.
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
            "out_groups": _field(max(p.geometry.group_steps for p in program.passes) - 1),
            "filled": unsigned(program.banks),
            "column": _address_shape(program),
            "row": _address_shape(program),
            "weight": _weight_shape(program),
            "weight_row": _weight_shape(program),
            "last": 1,
        }
    )


def _row_words(p: AccumulatePass) -> int:
    """Words of a bank between rows of targets."""
    return p.geometry.x.tiles * p.geometry.tile_words


def _filled(p: AccumulatePass) -> int:
    """Banks that the last step of a tap touches."""
    g = p.geometry
    left = g.out_groups - (g.group_steps - 1) * g.group_banks
    plane = g.y.banks * g.x.banks
    return (1 << left * plane) - 1


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
                    "out_groups": g.group_steps - 1,
                    "filled": _filled(p),
                    "column": (g.tile_words - (g.group_steps - 1))
                    % (1 << _address_shape(program).width),
                    "row": _row_words(p) % (1 << _address_shape(program).width),
                    "weight": g.source_channels % (1 << _weight_shape(program).width),
                    "weight_row": (len(g.x.taps) * g.group_steps * g.source_channels)
                    % (1 << _weight_shape(program).width),
                    "last": int(p is layer.passes[-1]),
                }
            )
    return found


def layer_layout(program: LayerProgram) -> data.StructLayout:
    """One layer.

    ``first``: its first pass, if it ``accumulates``. ``rows``, ``columns``, ``groups``: its own,
    less one; ``y_banks``, ``x_banks``, ``group_banks``: how these lie in banks, less one;
    ``y_stride``, ``group_stride``: banks between neighbours along them. ``row``: words of a bank
    per row of tiles; ``tile``: words per tile. ``constants``:
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
            "y_banks": _field(program.banks - 1),
            "x_banks": _field(program.banks - 1),
            "group_banks": _field(program.banks - 1),
            "y_stride": _field(program.banks),
            "group_stride": _field(program.banks),
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
        "y_banks": layer.banks[1] - 1,
        "x_banks": layer.banks[2] - 1,
        "group_banks": layer.banks[0] - 1,
        "y_stride": layer.banks[2],
        "group_stride": layer.banks[1] * layer.banks[2],
        "row": -(-width // layer.banks[2]) * -(-groups // layer.banks[0]),
        "tile": -(-groups // layer.banks[0]),
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


def turns(program: LayerProgram) -> tuple[list[tuple[int, ...]], dict[tuple[int, int, int], int]]:
    """All ways to turn a weight word: per bank the slot that it gets; where those of each
    arrangement begin, its (y, x) turns in order.
    """
    found: list[tuple[int, ...]] = []
    first: dict[tuple[int, int, int], int] = {}
    # The longest first: those of others may be among them.
    for banks in sorted({run.banks for run in program.layers}, key=lambda b: -b[1] * b[2]):
        own = [
            _turned(program.banks, banks, y, x) for y in range(banks[1]) for x in range(banks[2])
        ]
        places = [k for k in range(len(found)) if found[k : k + len(own)] == own]
        first[banks] = places[0] if places else len(found)
        if not places:
            found += own
    return found, first


def _turned(count: int, banks: tuple[int, int, int], y: int, x: int) -> tuple[int, ...]:
    slots = list(range(count))
    for g in range(banks[0]):
        for j in range(banks[1]):
            for i in range(banks[2]):
                at = (g * banks[1] + j) * banks[2]
                slot = (g * banks[1] + (j - y) % banks[1]) * banks[2] + (i - x) % banks[2]
                slots[at + i] = slot
    return tuple(slots)


def _axis_layout(program: LayerProgram, axes: list[RotatedAxis]) -> data.StructLayout:
    banks, steps = program.banks, max(a.most_steps for a in axes)
    return data.StructLayout(
        {
            "address": data.ArrayLayout(_address_shape(program), banks),
            "valid": data.ArrayLayout(unsigned(banks), steps),
            "turn": _field(len(turns(program)[0]) - 1),
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
    found: list[dict[str, object]] = []
    for run in program.layers:
        for p in run.passes:
            rows = p.geometry.y.rows if axis == "y" else p.geometry.x.rows
            found += [_table_word(program, layout, run, p, axis, row) for row in rows]
    return found


def _table_word(
    program: LayerProgram,
    layout: data.StructLayout,
    run: LayerRun,
    p: AccumulatePass,
    axis: str,
    row: RotatedRow,
) -> dict[str, object]:
    g, (groups, by, bx) = p.geometry, run.banks
    plane = g.group_steps * g.source_channels
    if axis == "y":
        tile, weight, base = _row_words(p), len(g.x.taps) * plane, p.weight_base
        places = [b // bx % by for b in range(groups * by * bx)]
        turn = turns(program)[1][run.banks] + row.turn * bx
    else:
        tile, weight, base = g.tile_words, plane, 0
        places = [b % bx for b in range(groups * by * bx)]
        turn = row.turn
    unused = [0] * (program.banks - len(places))
    modulus = 1 << _address_shape(program).width
    tiles = [row.tiles[k] * tile % modulus if row.steps else 0 for k in places]
    return {
        "address": tiles + unused,
        "valid": [_mask(row, s, places) for s in range(layout["valid"].shape.length)],
        "turn": turn if row.steps else 0,
        "weight": base + row.weight * weight if row.steps else 0,
        "steps": row.steps,
    }


def _mask(row: RotatedRow, step: int, places: list[int]) -> int:
    """Banks that a step touches, as far as one axis is concerned."""
    if step >= row.steps:
        return 0
    return sum(int(row.valid[step][place]) << bank for bank, place in enumerate(places))


def touch_layout(program: LayerProgram) -> data.StructLayout:
    """What all spikes of a word touch: addresses and validity, turn, weights of lane 0, steps."""
    y, x = y_layout(program), x_layout(program)
    return data.StructLayout(
        {
            "address": data.ArrayLayout(_address_shape(program), program.banks),
            "y_valid": y["valid"].shape,
            "x_valid": x["valid"].shape,
            "turn": y["turn"].shape,
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
