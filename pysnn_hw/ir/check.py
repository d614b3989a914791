# SPDX-License-Identifier: BSD-2-Clause
"""What must hold of a spiking network before anything is computed from it.

`check_network` holds of float and integer networks alike (names, order, shapes, signs),
`check_fixed` adds what makes a network hardware (integers, ranges, proven widths).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from pysnn_hw.errors import NetworkError
from pysnn_hw.ir.snn import (
    INPUT,
    Array,
    FixedNetwork,
    Input,
    Pool,
    Population,
    Probe,
    Projection,
    Shape,
    SnnNetwork,
)
from pysnn_hw.ir.widths import widths

MAX_TIMESTEPS = 4096
MAX_SPIKE = 255
MAX_LEAK = 15
MAX_NEURONS = 1 << 24
"""Most neurons (input values included) in one network."""
MAX_SEED = (1 << 32) - 1
NOISE_VALUES = 256
MEMBRANE_BITS = 32
WEIGHT_RANGE = (-128, 127)
PARAMETER_RANGE = (-(1 << 31), (1 << 31) - 1)
INPUT_RANGE = (-(1 << 15), (1 << 16) - 1)
_EXACT_LIMIT = 1 << 50  # far above 32 bits, far below where int64 interval arithmetic would wrap


def check_network(net: SnnNetwork) -> None:
    """Check structure, shapes and signs; raise `NetworkError` at the first fault.

    Populations stand in topological order, the last one is the only readout; every fire
    population has inputs and outputs; shapes agree through pooling and projection.
    """
    if not 1 <= net.timesteps <= MAX_TIMESTEPS:
        raise NetworkError("timesteps", f"{net.timesteps} is outside 1..{MAX_TIMESTEPS}")
    _check_input(net)
    if not net.populations:
        raise NetworkError("populations", "there are none", "a network ends in a readout")
    _check_names("population", (p.name for p in net.populations), reserved=INPUT)
    _check_names("projection", (p.name for p in net.projections))
    for index, population in enumerate(net.populations):
        _check_population(population, last=index == len(net.populations) - 1)
    neurons = math.prod(net.input.shape) + sum(p.size for p in net.populations)
    if neurons > MAX_NEURONS:
        raise NetworkError("populations", f"{neurons} neurons are more than {MAX_NEURONS}")
    _check_order(net)
    for projection in net.projections:
        _check_projection(net, projection)
    _check_scores(net)
    if net.probe is not None:
        _check_probe(net, net.probe)


def check_fixed(net: FixedNetwork) -> None:
    """Check all of `check_network`, then integers, ranges and widths; raise `NetworkError`.

    Weights fit in 8 bits, other parameters in 32, and so does every membrane at all times.
    """
    check_network(net)
    for population in net.populations:
        for name in ("bias", "threshold", "v_init"):
            where = f"population {population.name!r}: {name}"
            _check_integers(where, getattr(population, name), PARAMETER_RANGE)
        if population.kind == "fire":
            for name in ("v_min", "v_max"):
                value = getattr(population, name)
                where = f"population {population.name!r}: {name}"
                if value is None:
                    raise NetworkError(where, "is missing", "an integer network clamps membranes")
                if not PARAMETER_RANGE[0] <= value <= PARAMETER_RANGE[1]:
                    raise NetworkError(where, f"{value} does not fit in 32 bits")
    for projection in net.projections:
        _check_integers(f"projection {projection.name!r}: weight", projection.weight, WEIGHT_RANGE)
    if any(value != int(value) for value in (net.readout.margin, *net.readout.noise)):
        raise NetworkError("readout", "margin or noise is no integer", "quantise the network first")
    _check_widths(net)


def _check_input(net: SnnNetwork) -> None:
    entry = net.input
    _check_shape("input.shape", entry.shape)
    low, high = INPUT_RANGE
    if not low <= entry.minimum < entry.maximum <= high:
        raise NetworkError(
            "input.minimum",
            f"the range {entry.minimum}..{entry.maximum} is empty or leaves {low}..{high}",
        )
    if len(entry.zero_point) != entry.shape[0]:
        raise NetworkError(
            "input.zero_point",
            f"{len(entry.zero_point)} values for {entry.shape[0]} channels",
            "give one per channel",
        )
    if not all(low <= z <= high for z in entry.zero_point):
        raise NetworkError("input.zero_point", f"a value leaves {low}..{high}")
    if entry.encoding not in ("constant", "bernoulli", "events"):
        raise NetworkError("input.encoding", f"{entry.encoding!r} is unknown", "use 'constant'")
    _check_seed("input.seed", entry.seed, needed=entry.encoding == "bernoulli")
    _check_threshold(entry)
    sparse = entry.minimum <= 0 <= entry.maximum and not any(entry.zero_point)
    if entry.encoding == "events" and not sparse:
        raise NetworkError(
            "input.zero_point",
            "events of value 0 are never sent, so 0 must be in the range and stand for zero",
            "use zero points of 0",
        )


def _check_threshold(entry: Input) -> None:
    if entry.threshold is None:
        return
    if entry.encoding != "constant":
        raise NetworkError("input.threshold", f"the input is {entry.encoding}", "use constant")
    if not entry.minimum < entry.threshold <= entry.maximum:
        raise NetworkError(
            "input.threshold",
            f"{entry.threshold} is outside {entry.minimum + 1}..{entry.maximum}",
        )
    if any(entry.zero_point):
        raise NetworkError("input.threshold", "is of raw integers", "use zero points of 0")


def _check_seed(where: str, seed: int, *, needed: bool) -> None:
    if needed and not 1 <= seed <= MAX_SEED:
        raise NetworkError(where, f"{seed} is outside 1..{MAX_SEED}")
    if not needed and seed:
        raise NetworkError(where, f"is {seed}, but nothing is random here", "use 0")


def _check_shape(where: str, shape: Shape) -> None:
    if len(shape) != 3 or min(shape) < 1:
        raise NetworkError(where, f"{shape} is not three positive sizes (channels, height, width)")


def _check_names(what: str, names: Iterable[str], reserved: str | None = None) -> None:
    seen = set()
    for name in names:
        if not name or not name.isprintable():
            raise NetworkError(f"{what} {name!r}", "the name is empty or not printable")
        if name == reserved:
            raise NetworkError(f"{what} {name!r}", "the name is reserved")
        if name in seen:
            raise NetworkError(f"{what} {name!r}", "the name is used twice")
        seen.add(name)


def _check_population(population: Population, *, last: bool) -> None:
    where = f"population {population.name!r}"
    _check_shape(f"{where}: shape", population.shape)
    if population.kind not in ("fire", "readout"):
        raise NetworkError(f"{where}: kind", f"{population.kind!r} is neither fire nor readout")
    if (population.kind == "readout") != last:
        problem = "the last population must be a readout" if last else "a readout must come last"
        raise NetworkError(where, problem)
    _check_parameter(f"{where}: bias", population.bias, population.channels)
    if population.v_init.shape == population.shape:
        _check_finite(f"{where}: v_init", population.v_init)
    else:
        _check_parameter(f"{where}: v_init", population.v_init, population.channels)
    if population.kind == "readout":
        _check_readout(where, population)
        return
    _check_parameter(f"{where}: threshold", population.threshold, population.channels)
    if not (population.threshold > 0).all():
        raise NetworkError(f"{where}: threshold", f"{population.threshold.min()} is not positive")
    if not 1 <= population.spike_max <= MAX_SPIKE:
        raise NetworkError(
            f"{where}: spike_max", f"{population.spike_max} is outside 1..{MAX_SPIKE}"
        )
    _check_neuron(f"{where}: neuron", population)
    low, high = population.v_min, population.v_max
    if low is not None and population.v_init.min() < low:
        raise NetworkError(f"{where}: v_init", f"{population.v_init.min()} is below v_min {low}")
    if high is not None and population.v_init.max() > high:
        raise NetworkError(f"{where}: v_init", f"{population.v_init.max()} is above v_max {high}")


def _check_readout(where: str, population: Population) -> None:
    if population.shape[1:] != (1, 1):
        raise NetworkError(
            f"{where}: shape", f"a readout is (classes, 1, 1), not {population.shape}"
        )
    if population.threshold.size or population.spike_max:
        raise NetworkError(f"{where}: threshold", "a readout has neither threshold nor spikes")
    if population.v_min is not None or population.v_max is not None:
        raise NetworkError(f"{where}: v_min", "a readout is never clamped")
    if not population.neuron.plain:
        raise NetworkError(f"{where}: neuron", "a readout never fires", "leave its neuron plain")


def _check_neuron(where: str, population: Population) -> None:
    neuron = population.neuron
    if neuron.polarity not in ("positive", "memory", "signed"):
        raise NetworkError(f"{where}.polarity", f"{neuron.polarity!r} is unknown")
    if neuron.reset not in ("soft", "hard"):
        raise NetworkError(f"{where}.reset", f"{neuron.reset!r} is neither soft nor hard")
    if not 0 <= neuron.leak <= MAX_LEAK:
        raise NetworkError(f"{where}.leak", f"{neuron.leak} is outside 0..{MAX_LEAK}")
    if neuron.polarity != "positive" and neuron.strict:
        raise NetworkError(f"{where}.strict", "signed neurons compare with >=", "leave it out")
    if neuron.polarity != "positive" and population.spike_max > MAX_SPIKE // 2:
        raise NetworkError(
            f"{where}.polarity",
            f"spikes of -{population.spike_max}..{population.spike_max} need more than 8 bits",
            f"signed neurons emit at most {MAX_SPIKE // 2}",
        )


def _check_parameter(where: str, values: Array, channels: int) -> None:
    if values.shape not in ((1,), (channels,)):
        raise NetworkError(where, f"shape {values.shape} is neither (1,) nor ({channels},)")
    _check_finite(where, values)


def _check_finite(where: str, values: Array) -> None:
    if not np.isfinite(values).all():
        raise NetworkError(where, "a value is not finite")


def _check_scores(net: SnnNetwork) -> None:
    readout, last = net.readout, net.populations[-1]
    if readout.mode not in ("potential", "count", "sampled"):
        raise NetworkError("readout.mode", f"{readout.mode!r} is unknown", "use 'potential'")
    if not 0 <= readout.margin <= PARAMETER_RANGE[1]:
        raise NetworkError("readout.margin", f"{readout.margin} is negative or beyond 32 bits")
    if readout.margin and (readout.mode == "sampled" or last.size < 2):
        raise NetworkError(
            "readout.margin", "needs two membranes to compare, not votes", "use 0: no early exit"
        )
    sampled = readout.mode == "sampled"
    _check_seed("readout.seed", readout.seed, needed=sampled)
    if len(readout.noise) != (NOISE_VALUES if sampled else 0):
        wanted = NOISE_VALUES if sampled else 0
        raise NetworkError("readout.noise", f"{len(readout.noise)} values, expected {wanted}")
    low, high = PARAMETER_RANGE
    if not all(low // 2 <= value <= high // 2 for value in readout.noise):
        raise NetworkError("readout.noise", "a value does not fit in 31 bits")
    if readout.mode == "count":
        into = net.into(last.name)
        ones = len(into) == 1 and into[0].kind == "identity" and bool((into[0].weight == 1).all())
        plain = ones and into[0].pool is None and into[0].source != INPUT
        if not plain or last.bias.any() or last.v_init.any():
            raise NetworkError(
                "readout.mode",
                "a readout that counts has a single identity projection of weight 1 and no bias",
                "use 'potential'",
            )


def _check_probe(net: SnnNetwork, probe: Probe) -> None:
    if not 1 <= probe.steps <= MAX_TIMESTEPS:
        raise NetworkError("probe.steps", f"{probe.steps} is outside 1..{MAX_TIMESTEPS}")
    if probe.rule not in ("mask", "shift"):
        raise NetworkError("probe.rule", f"{probe.rule!r} is neither mask nor shift")
    if net.input.encoding != "constant":
        raise NetworkError("probe", f"the input is {net.input.encoding}", "use constant input")
    for population in net.populations:
        where = f"population {population.name!r}"
        if not population.neuron.plain:
            raise NetworkError(f"{where}: neuron", "only plain neurons take part in a probe")
        if population.kind == "readout" or probe.rule == "mask":
            continue
        theta, start = population.per_neuron("threshold"), population.per_neuron("v_init")
        low, high = population.v_min, population.v_max
        if (low is not None and (start - theta).min() < low) or (
            high is not None and (start + theta).max() > high
        ):
            raise NetworkError(
                f"{where}: v_init",
                "a threshold more or less leaves v_min..v_max, but the probe may shift it so",
            )


def _check_order(net: SnnNetwork) -> None:
    position = {INPUT: -1} | {p.name: index for index, p in enumerate(net.populations)}
    for projection in net.projections:
        where = f"projection {projection.name!r}"
        if projection.source not in position:
            raise NetworkError(f"{where}: source", f"{projection.source!r} does not exist")
        if projection.target not in position or projection.target == INPUT:
            raise NetworkError(f"{where}: target", f"{projection.target!r} is not a population")
        if position[projection.source] >= position[projection.target]:
            raise NetworkError(
                f"{where}: target",
                f"{projection.target!r} does not come after {projection.source!r}",
                "populations stand in topological order, without cycles",
            )
    sources = {p.source for p in net.projections}
    targets = {p.target for p in net.projections}
    for population in net.populations:
        where = f"population {population.name!r}"
        if population.name not in targets:
            raise NetworkError(where, "no projection ends here")
        if population.kind == "fire" and population.name not in sources:
            raise NetworkError(where, "no projection starts here", "drop the population")


def _check_projection(net: SnnNetwork, projection: Projection) -> None:
    where = f"projection {projection.name!r}"
    shape = net.shape_of(projection.source)
    if projection.pool is not None:
        _check_pool(f"{where}: pool", projection.pool, shape)
        if projection.pool.mode == "gate" and _least(net, projection.source) < 0:
            raise NetworkError(
                f"{where}: pool.mode", "a gate takes spikes that are never negative", "use max"
            )
    seen = projection.in_shape(shape)
    if projection.kind == "conv2d":
        _check_conv(where, projection, seen)
    elif projection.kind in ("linear", "identity"):
        _check_dense(where, projection, seen)
    else:
        raise NetworkError(f"{where}: kind", f"{projection.kind!r} is unknown")
    if not np.isfinite(projection.weight).all():
        raise NetworkError(f"{where}: weight", "a value is not finite")
    out = projection.as_conv(shape).out_shape
    target = net.population(projection.target)
    if min(out) < 1 or out != target.shape:
        raise NetworkError(where, f"gives shape {out}, but {target.name!r} has {target.shape}")


def _least(net: SnnNetwork, source: str) -> int:
    return net.input.event_range[0] if source == INPUT else net.population(source).spike_min


def _check_pool(where: str, pool: Pool, shape: Shape) -> None:
    if pool.mode not in ("sum", "max", "gate"):
        raise NetworkError(f"{where}.mode", f"{pool.mode!r} is none of sum, max, gate")
    if min(pool.stride) < 1:
        raise NetworkError(f"{where}.stride", f"{pool.stride} is not positive")
    if min(pool.kernel) < 1 or pool.kernel[0] > shape[1] or pool.kernel[1] > shape[2]:
        raise NetworkError(f"{where}.kernel", f"{pool.kernel} does not fit into a map of {shape}")


def _check_conv(where: str, projection: Projection, shape: Shape) -> None:
    weight, groups = projection.weight, projection.groups
    if weight.ndim != 4 or min(weight.shape) < 1:
        raise NetworkError(f"{where}: weight", f"shape {weight.shape} is not (out, in, kh, kw)")
    if groups < 1 or shape[0] % groups or weight.shape[0] % groups:
        raise NetworkError(
            f"{where}: groups",
            f"{groups} does not divide {shape[0]} input and {weight.shape[0]} output channels",
        )
    if weight.shape[1] != shape[0] // groups:
        raise NetworkError(
            f"{where}: weight",
            f"shape {weight.shape} does not suit {shape[0]} input channels in {groups} groups",
        )
    if min(projection.stride) < 1:
        raise NetworkError(f"{where}: stride", f"{projection.stride} is not positive")
    top, left, bottom, right = projection.padding
    kernel = weight.shape[2:]
    if (
        min(projection.padding) < 0
        or max(top, bottom) >= kernel[0]
        or max(left, right) >= kernel[1]
    ):
        raise NetworkError(
            f"{where}: padding", f"{projection.padding} is not within 0..kernel-1 of {kernel}"
        )
    if kernel[0] > shape[1] + top + bottom or kernel[1] > shape[2] + left + right:
        raise NetworkError(f"{where}: weight", f"kernel {kernel} does not fit into {shape}")


def _check_dense(where: str, projection: Projection, shape: Shape) -> None:
    if (projection.stride, projection.padding, projection.groups) != ((1, 1), (0, 0, 0, 0), 1):
        raise NetworkError(where, f"{projection.kind} takes no stride, padding or groups")
    if projection.kind == "identity":
        suits = projection.weight.shape == (shape[0],)
    else:
        suits = projection.weight.ndim == 2 and projection.weight.shape[1] == math.prod(shape)
    if not suits:
        raise NetworkError(
            f"{where}: weight", f"shape {projection.weight.shape} does not suit a source of {shape}"
        )


def _check_integers(where: str, values: Array, limits: tuple[int, int]) -> None:
    if values.dtype != np.int64:
        raise NetworkError(
            where, f"dtype {values.dtype} is not int64", "quantise the network first"
        )
    if values.size and not limits[0] <= values.min() <= values.max() <= limits[1]:
        raise NetworkError(
            where, f"values {values.min()}..{values.max()} leave {limits[0]}..{limits[1]}"
        )


def _check_widths(net: FixedNetwork) -> None:
    for projection in net.projections:
        conv = projection.as_conv(net.shape_of(projection.source))
        largest = int(np.abs(conv.weight).sum(axis=(1, 2, 3)).max())
        if largest * max(map(abs, net.value_range(projection))) * net.timesteps > _EXACT_LIMIT:
            raise NetworkError(
                f"projection {projection.name!r}",
                f"its currents do not fit in {MEMBRANE_BITS} bits",
                "use smaller weights or windows",
            )
    for name, proven in widths(net).items():
        if proven.bits > MEMBRANE_BITS:
            raise NetworkError(
                f"population {name!r}",
                f"its membrane needs {proven.bits} bits, more than {MEMBRANE_BITS}",
                "use fewer weight bits or fewer timesteps",
            )
