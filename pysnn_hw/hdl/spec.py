# SPDX-License-Identifier: BSD-2-Clause
"""What one core needs to know, gathered from the network and the schedule."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Shape

from pysnn_hw.errors import PlanError
from pysnn_hw.hdl.accumulate import Synapses
from pysnn_hw.hdl.events import value_shape
from pysnn_hw.ir.snn import Array, FixedNetwork, Pool, Population
from pysnn_hw.ir.widths import PopulationWidths, clamps, population_widths, signed_bits
from pysnn_hw.plan.geometry import ScanGeometry
from pysnn_hw.plan.latency import port_value_range
from pysnn_hw.plan.schedule import (
    CorePlan,
    Schedule,
    keeps_current,
    outgoing_pool,
    port_geometry,
    reads_each_step,
    scan_geometry,
)

__all__ = ["CoreSpec"]


@dataclass(frozen=True, eq=False)
class CoreSpec:
    """One population as hardware; parameter arrays are int64 (groups, lanes).

    Raises
    ------
    PlanError
        If the core would have to keep a constant current and receive spikes as well.
    """

    net: FixedNetwork
    schedule: Schedule
    plan: CorePlan

    def __post_init__(self) -> None:
        sources = {p.source for p in self.net.into(self.plan.population)}
        if self.net.total_steps == 1 or not keeps_current(self.net, self.plan.population):
            return
        where, hint = f"population {self.plan.population}", "put a population between"
        if len(sources) > 1:
            problem = "it sees the constant input and spikes at more than one timestep"
            raise PlanError(where, problem, hint)
        if self.population.kind == "readout":
            raise PlanError(
                where, "the readout sees the constant input at more than one timestep", hint
            )

    @property
    def population(self) -> Population:
        """The population this core runs."""
        return self.net.population(self.plan.population)

    @cached_property
    def widths(self) -> PopulationWidths:
        """Proven intervals of its membranes."""
        return population_widths(self.net, self.plan.population)

    @property
    def bits(self) -> int:
        """Width of a membrane while events accumulate."""
        return self.widths.bits

    @property
    def held_bits(self) -> int:
        """Width of a membrane between timesteps."""
        return self.widths.after_bits

    @property
    def spike_max(self) -> int:
        """Largest spike value."""
        return self.population.spike_max

    @property
    def spike_shape(self) -> Shape:
        """Shape of one spike before pooling."""
        return value_shape((self.population.spike_min, self.spike_max))

    @property
    def emitted_bits(self) -> int:
        """Width of what a neuron has emitted in all, 0 if nobody asks."""
        if self.population.neuron.polarity != "memory":
            return 0
        return (self.net.timesteps * self.spike_max).bit_length()

    @cached_property
    def synapses(self) -> tuple[Synapses, ...]:
        """The projections that end here, in schedule order."""
        result = []
        for port in self.plan.inputs:
            projection = next(p for p in self.net.projections if p.name == port.projection)
            geometry = port_geometry(self.net, self.schedule, port.projection)
            values = port_value_range(self.net, self.schedule, projection)
            result.append(
                Synapses(port.projection, geometry, values, port.queue_depth, port.weight_memory)
            )
        return tuple(result)

    @cached_property
    def scan(self) -> ScanGeometry:
        """Firing order and membrane layout."""
        return scan_geometry(self.net, self.plan)

    @cached_property
    def pool(self) -> Pool | None:
        """Pooling of the outgoing spikes done by this core."""
        return outgoing_pool(self.net, self.plan)

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """Shape of the map that it sends."""
        shape = self.population.shape
        return shape if self.pool is None else self.pool.out_shape(shape)

    @property
    def out_range(self) -> tuple[int, int]:
        """Range of the values it sends."""
        low, high = self.population.spike_min, self.spike_max
        if self.pool is not None and self.pool.mode == "sum":
            window = self.pool.kernel[0] * self.pool.kernel[1]
            return low * window, high * window
        return low, high

    @property
    def repeats(self) -> int:
        """Timesteps that the core runs by itself: all of them if it keeps a constant current."""
        constant = keeps_current(self.net, self.plan.population)
        return self.net.total_steps if constant else 1

    @property
    def reads_each_step(self) -> bool:
        """Whether a readout sends its membranes after every timestep."""
        return reads_each_step(self.net)

    @property
    def clamp(self) -> tuple[int, int] | None:
        """Clamp after firing, where it can act at all."""
        if not clamps(self.net, self.plan.population):
            return None
        lo, hi = int(self.widths.after_min.min()), int(self.widths.after_max.max())
        low, high = self.population.v_min, self.population.v_max
        return (lo if low is None else low), (hi if high is None else high)

    def _words(self, values: Array) -> Array:
        return np.asarray(values, np.int64).reshape(-1, self.plan.lanes)

    @cached_property
    def thresholds(self) -> Array:
        """Thresholds."""
        return self._words(self.population.per_channel("threshold"))

    @cached_property
    def bias(self) -> Array:
        """Bias of one timestep."""
        return self._words(self.population.per_channel("bias"))

    @cached_property
    def start(self) -> Array:
        """What membranes hold before an image's first event, less what leaks before its first step.

        The bias of that step is in it already, unless a kept constant current holds it; a readout,
        which never fires, holds the biases of all steps, unless it is read in each of them. Where
        neurons of one channel differ it is int64 (words, lanes) in scan order.
        """
        shift = self.population.neuron.leak
        values = self.population.per_neuron("v_init").astype(np.int64)
        values = values - (values >> shift) if shift else values
        if self.population.kind == "readout":
            steps = 1 if self.reads_each_step else self.net.timesteps
            values = values + steps * self.population.per_neuron("bias")
        elif self.repeats == 1:
            values = values + self.population.per_neuron("bias")
        if (values == values[:, :1, :1]).all():
            return self._words(values[:, 0, 0])
        y, x, group = self.scan.order().T
        grouped = values.reshape(-1, self.plan.lanes, *values.shape[1:])
        return np.asarray(grouped[group, :, y, x], np.int64)

    @property
    def score_bits(self) -> int:
        """Width of a readout's scores."""
        return signed_bits(int(self.widths.total_min.min()), int(self.widths.total_max.max()))
