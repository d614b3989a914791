# SPDX-License-Identifier: BSD-2-Clause
"""The spiking network: populations of integrate-and-fire neurons joined by projections.

One neuron serves every method (two knobs: timesteps ``T`` and the largest spike value ``hi``)::

    u = v + I(t)                      I(t) = sum(weight * spike value) + bias
    s = clip(floor(u / theta), 0, hi)
    v = clamp(u - s * theta, v_min, v_max)       soft reset;  v(0) = v_init

What other methods change of it (signed spikes, hard reset, leak, strict compare) is in `Neuron`.

`SnnNetwork` holds float64 arrays (after conversion), `FixedNetwork` int64 arrays (after
quantisation). Both are immutable; passes build new ones with `dataclasses.replace`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, int, int]
"""(channels, height, width); a vector of N neurons is (N, 1, 1)."""

INPUT = "input"
"""The name by which projections refer to the network's input."""


@dataclass(frozen=True, eq=False)
class Input:
    """What enters the network: raw integers ``x``, which projections see as ``x - zero_point``.

    Attributes
    ----------
    shape
        (channels, height, width) of one image.
    zero_point
        One integer per channel; the value that zero padding stands for.
    minimum, maximum
        Range of the raw integers, inclusive.
    encoding
        ``constant``: the same integers are presented at every timestep. ``bernoulli``: unit events,
        drawn anew every step with a probability proportional to the integer (`peak`). ``events``:
        every step has integers of its own, an image is (T, C, H, W); zeros are no events.
    seed
        Of the generator behind ``bernoulli``, 1..2**32 - 1; 0 for the others.
    threshold
        Of a ``constant`` input, if not None: every ``x`` from here on is a unit event and every
        smaller one is none. Zero points are 0 then.
    """

    shape: Shape
    zero_point: tuple[int, ...]
    minimum: int = 0
    maximum: int = 255
    encoding: Literal["constant", "bernoulli", "events"] = "constant"
    seed: int = 0
    threshold: int | None = None

    def values(self, images: Array) -> Array:
        """What projections see of raw integers (..., C, H, W): int64 of that shape.

        ``bernoulli`` events are drawn from these values.
        """
        if self.threshold is not None:
            return np.asarray(images >= self.threshold, np.int64)
        return np.asarray(images.astype(np.int64) - np.reshape(self.zero_point, (-1, 1, 1)))

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest of the `values`, over all channels."""
        if self.threshold is not None:
            return 0, 1
        return self.minimum - max(self.zero_point), self.maximum - min(self.zero_point)

    @property
    def event_range(self) -> tuple[int, int]:
        """Smallest and largest value of one event, over all channels."""
        low, high = self.range
        return (max(low, -1), min(high, 1)) if self.encoding == "bernoulli" else (low, high)

    @property
    def peak(self) -> int:
        """What a ``bernoulli`` event stands for: ``2**k - 1``, not below any ``|x - zero_point|``.

        Where that is a, a pixel sends ``sign(x - zero_point)`` if ``u < a + (a >> (k - 1))``, u
        being k random bits: never at a = 0 and always at the peak.
        """
        return int((1 << max(map(abs, self.range)).bit_length()) - 1)


@dataclass(frozen=True)
class Neuron:
    """Where a population departs from the plain neuron; the default is the plain one.

    In full, with A the sum of the spikes emitted so far and ``strict`` as 0 or 1::

        u = v - (v >> leak) + I(t)            without leak: v + I(t)
        s = clip(floor((u - strict) / theta), lo, hi)
        v = clamp(u - s * theta)              hard reset: clamp(0 if s else u)

    Attributes
    ----------
    polarity
        ``positive``: lo = 0. ``memory``: lo = -min(hi, A), a spike can be taken back but none that
        was never sent (signed neurons with memory, ST-BIF). ``signed``: lo = -hi.
    reset
        ``soft`` subtracts what was fired, ``hard`` goes back to zero.
    strict
        A threshold must be exceeded, not only met; only with polarity ``positive``.
    leak
        Right shift (arithmetic) of what the membrane loses before each step; 0: nothing.
    """

    polarity: Literal["positive", "memory", "signed"] = "positive"
    reset: Literal["soft", "hard"] = "soft"
    strict: bool = False
    leak: int = 0

    @property
    def plain(self) -> bool:
        """Whether it is the neuron of the equations above, without departures."""
        return self == PLAIN


PLAIN = Neuron()


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one layer.

    Attributes
    ----------
    name
        Unique within the network.
    kind
        ``fire``: integrates and fires. ``readout``: integrates only; exactly one, the last.
    shape
        (channels, height, width).
    bias, threshold, v_init
        Per channel (C,) or one for all (1,); added every step; > 0; membrane potential at t = 0.
        ``v_init`` may also be per neuron, (C, H, W). A readout has no threshold: an empty array.
    spike_max
        Largest spike value ``hi`` (2**n - 1 for n-bit graded spikes); 0 for a readout.
    v_min, v_max
        Clamp of the stored membrane after firing; ``None`` in a float network (no clamp).
    neuron
        How it fires; a readout is plain.
    """

    name: str
    kind: Literal["fire", "readout"]
    shape: Shape
    bias: Array
    threshold: Array
    v_init: Array
    spike_max: int
    v_min: int | None = None
    v_max: int | None = None
    neuron: Neuron = PLAIN

    @property
    def spike_min(self) -> int:
        """Smallest spike value ``lo``."""
        return 0 if self.neuron.polarity == "positive" else -self.spike_max

    @property
    def channels(self) -> int:
        """Number of channels C."""
        return self.shape[0]

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    def per_channel(self, name: Literal["bias", "threshold", "v_init"]) -> Array:
        """The named parameter, which must not be per neuron, broadcast to shape (C,)."""
        values: Array = getattr(self, name)
        return np.broadcast_to(values, (self.channels,))

    def per_neuron(self, name: Literal["bias", "threshold", "v_init"]) -> Array:
        """The named parameter broadcast to the population's shape."""
        values: Array = getattr(self, name)
        if values.ndim == 1:
            values = values.reshape(-1, 1, 1)
        return np.broadcast_to(values, self.shape)


@dataclass(frozen=True)
class Pool:
    """Pooling of the source's spikes on their way into a projection; it has no neuron.

    ``sum`` adds the window (1/k**2 lives in the weights). ``max`` is the running maximum
    ``out(t) = max_i C_i(t) - max_i C_i(t-1)``, ``C_i`` the totals emitted so far, which at T = 1
    is the plain maximum. ``gate`` lets pass what the first member with the largest ``C_i(t)`` sends
    in this step (of spikes that are never negative). Windows that leave the map are dropped (no
    padding).
    """

    mode: Literal["sum", "max", "gate"]
    kernel: tuple[int, int]
    stride: tuple[int, int]

    def out_shape(self, shape: Shape) -> Shape:
        """Shape after pooling a source of ``shape``."""
        c, h, w = shape
        return (
            c,
            (h - self.kernel[0]) // self.stride[0] + 1,
            (w - self.kernel[1]) // self.stride[1] + 1,
        )

    @property
    def tiles(self) -> bool:
        """Whether windows tile the map without overlap or gap (stride equals kernel)."""
        return self.kernel == self.stride


@dataclass(frozen=True, eq=False)
class Projection:
    """Synapses from one population (or the input) to another.

    Attributes
    ----------
    weight
        ``conv2d``: (C_out, C_in / groups, kh, kw). ``linear``: (N_out, C * H * W) in C, H, W order
        of the (pooled) source. ``identity``: (C,), neuron to same neuron, one factor per channel.
    padding
        (top, left, bottom, right) zeros.
    pool
        Pooling applied to the source's spikes first.
    """

    name: str
    source: str
    target: str
    kind: Literal["conv2d", "linear", "identity"]
    weight: Array
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    pool: Pool | None = None

    @cached_property
    def weight_range(self) -> tuple[Any, Any]:
        """Smallest and largest weight."""
        return self.weight.min().item(), self.weight.max().item()

    def in_shape(self, source_shape: Shape) -> Shape:
        """Shape that the synapses see: the source's, after pooling."""
        return source_shape if self.pool is None else self.pool.out_shape(source_shape)

    def as_conv(self, source_shape: Shape) -> ConvView:
        """The same synapses as a grouped convolution (every kind is one).

        A linear projection is a convolution whose kernel is the whole map; an identity is a 1x1
        depthwise convolution. ``source_shape`` is the shape *before* pooling.
        """
        c, h, w = self.in_shape(source_shape)
        if self.kind == "linear":
            weight = self.weight.reshape(self.weight.shape[0], c, h, w)
            return ConvView(weight, (1, 1), (0, 0, 0, 0), 1, (c, h, w))
        if self.kind == "identity":
            return ConvView(self.weight.reshape(c, 1, 1, 1), (1, 1), (0, 0, 0, 0), c, (c, h, w))
        return ConvView(self.weight, self.stride, self.padding, self.groups, (c, h, w))


@dataclass(frozen=True, eq=False)
class ConvView:
    """A projection seen as a grouped 2-D convolution.

    ``weight`` is (C_out, C_in / groups, kh, kw), ``padding`` (top, left, bottom, right),
    ``in_shape`` the (pooled) source shape.
    """

    weight: Array
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    groups: int
    in_shape: Shape

    @property
    def out_shape(self) -> Shape:
        """Shape of the target population."""
        _, h, w = self.in_shape
        top, left, bottom, right = self.padding
        kh, kw = self.weight.shape[2:]
        return (
            self.weight.shape[0],
            (h + top + bottom - kh) // self.stride[0] + 1,
            (w + left + right - kw) // self.stride[1] + 1,
        )

    @property
    def macs(self) -> int:
        """Dense multiply-accumulates of one pass (padding counted, as frameworks do)."""
        co, ci, kh, kw = self.weight.shape
        _, oh, ow = self.out_shape
        return int(co * ci * kh * kw * oh * ow)


@dataclass(frozen=True)
class Readout:
    """How a class is read from the last population; ties go to the lowest index.

    Attributes
    ----------
    mode
        ``potential``: largest membrane after the last step. ``count``: the same, but the membranes
        count the spikes of the population before (by an identity of weight 1), and without any
        spike the class is -1. ``sampled``: in every step the class of the largest
        ``membrane + noise`` gets a vote; scores are votes.
    margin
        If positive: the scores are those of the first step in which the largest membrane is this
        much above the second (early exit). Not with ``sampled``.
    seed, noise
        Only with ``sampled``. For each class in each step, in order, a 32-bit xorshift generator
        advances from ``seed`` (1..2**32 - 1), anew for every image; its top eight bits choose
        among the 256 values of ``noise``. Scaled quantiles of the Gumbel distribution make votes
        samples of the softmax. Like ``margin``, they are whole numbers in a `FixedNetwork`.
    """

    mode: Literal["potential", "count", "sampled"] = "potential"
    margin: float = 0
    seed: int = 0
    noise: tuple[float, ...] = ()


@dataclass(frozen=True)
class Probe:
    """A first run of ``steps`` timesteps that tells how each neuron starts into the run proper.

    After the probe everything starts again: membranes, running maxima, readout. What it leaves
    behind is decided per neuron by the membrane v after its last step.

    Attributes
    ----------
    steps
        Timesteps of the probe, at least 1.
    rule
        ``mask``: neurons with v <= 0 stay silent, at their v_init. ``shift``: neurons that fired
        and have v < 0 start a threshold lower, those with v >= threshold start a threshold higher.
    """

    steps: int
    rule: Literal["mask", "shift"]


@dataclass(frozen=True, eq=False)
class SnnNetwork:
    """A spiking network with float64 parameters.

    Populations and projections stand in topological order; the last population is the readout.
    ``provenance`` is free-form JSON: source model, method, calibration, accuracies.
    """

    timesteps: int
    input: Input
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    readout: Readout = Readout()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    probe: Probe | None = None

    @property
    def total_steps(self) -> int:
        """Timesteps that are computed: T and those of the probe."""
        return self.timesteps + (0 if self.probe is None else self.probe.steps)

    def population(self, name: str) -> Population:
        """The population called ``name``."""
        return self._by_name[name]

    def shape_of(self, name: str) -> Shape:
        """Shape of a population, or of the input."""
        return self.input.shape if name == INPUT else self._by_name[name].shape

    def value_range(self, projection: Projection) -> tuple[int, int]:
        """Range of the integers that arrive over ``projection`` in one step (after pooling)."""
        if projection.source == INPUT:
            lo, hi = self.input.event_range
        else:
            source = self._by_name[projection.source]
            lo, hi = source.spike_min, source.spike_max
        if projection.pool is not None and projection.pool.mode == "sum":
            k = projection.pool.kernel[0] * projection.pool.kernel[1]
            lo, hi = lo * k, hi * k
        return lo, hi

    def into(self, name: str) -> tuple[Projection, ...]:
        """Projections that end at population ``name``, in file order."""
        return self._ends.get(name, ())

    def out_of(self, name: str) -> tuple[Projection, ...]:
        """Projections that start at population ``name`` (or the input), in file order."""
        return self._starts.get(name, ())

    @cached_property
    def _by_name(self) -> dict[str, Population]:
        return {p.name: p for p in self.populations}

    @cached_property
    def _ends(self) -> dict[str, tuple[Projection, ...]]:
        return _grouped((p.target, p) for p in self.projections)

    @cached_property
    def _starts(self) -> dict[str, tuple[Projection, ...]]:
        return _grouped((p.source, p) for p in self.projections)

    @property
    def dense_macs(self) -> int:
        """Multiply-accumulates of the same network run densely, per image and pass."""
        return sum(p.as_conv(self.shape_of(p.source)).macs for p in self.projections)


def _grouped(named: Iterable[tuple[str, Projection]]) -> dict[str, tuple[Projection, ...]]:
    found: dict[str, tuple[Projection, ...]] = {}
    for name, projection in named:
        found[name] = (*found.get(name, ()), projection)
    return found


@dataclass(frozen=True, eq=False)
class FixedNetwork(SnnNetwork):
    """A spiking network whose every parameter is an int64: what a ``.snn`` file holds."""
