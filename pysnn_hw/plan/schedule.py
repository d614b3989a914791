# SPDX-License-Identifier: BSD-2-Clause
"""The schedule: which core runs which populations, with how many lanes, from which memories.

It is data (JSON in and out), so that a planner, a user or a test can write one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pysnn_hw.errors import PlanError
from pysnn_hw.ir.snn import INPUT, Pool, SnnNetwork
from pysnn_hw.plan.geometry import (
    ProjectionGeometry,
    ScanGeometry,
    fits_lanes,
    projection_geometry,
)
from pysnn_hw.plan.memory import Family

LaneKind = Literal["add", "shift", "lut", "dsp"]
"""``add``: values are 0 or 1. ``shift``: one cycle per set bit of the value. ``lut``: a multiplier
of adders. ``dsp``: a hardware multiplier."""
MemoryKind = Literal["lut", "block", "spram"]


@dataclass(frozen=True)
class InputPort:
    """How a core receives one projection.

    Attributes
    ----------
    projection
        Its name.
    queue_depth
        Events that wait in front of the core.
    weight_memory
        ``lut`` (logic), ``block`` (initialised block RAM), ``spram`` (loaded at boot).
    """

    projection: str
    queue_depth: int = 64
    weight_memory: MemoryKind = "block"


@dataclass(frozen=True)
class CorePlan:
    """One core: dedicated to one population, or shared by several, which it runs in turn.

    Attributes
    ----------
    populations
        In topological order; more than one makes a shared core (`plan.layers`).
    inputs
        Of a dedicated core, all projections that end there. A shared core has none of its own.
    lanes
        Output channels side by side; divides the channels of every projection's groups.
    banks
        Interleaved membrane banks (y, x): kernel taps side by side.
    lane_kind
        See `LaneKind`.
    membrane_memory
        ``lut`` or ``block``.
    pool_at_sender
        Sum pooling of the outgoing spikes happens here rather than by re-addressing at the
        receiver (maximum pooling always happens here).
    """

    populations: tuple[str, ...]
    inputs: tuple[InputPort, ...]
    lanes: int
    banks: tuple[int, int] = (1, 1)
    lane_kind: LaneKind = "lut"
    membrane_memory: MemoryKind = "block"
    pool_at_sender: bool = True

    @property
    def shared(self) -> bool:
        """Whether it runs several populations in turn."""
        return len(self.populations) > 1

    @property
    def population(self) -> str:
        """The population of a dedicated core."""
        return self.populations[0]

    @property
    def name(self) -> str:
        """What to call it: its population, or the first and the last of several."""
        return " .. ".join(dict.fromkeys((self.populations[0], self.populations[-1])))

    @property
    def total_lanes(self) -> int:
        """SOPs per cycle at full width."""
        return self.lanes * self.banks[0] * self.banks[1]


@dataclass(frozen=True)
class Stream:
    """Events on their way: from a population (or the input) to the core of that index.

    ``projection`` is the one that a dedicated core takes them for.
    """

    source: str
    core: int
    projection: str | None


@dataclass(frozen=True)
class Schedule:
    """A chain of cores, in topological order of their populations.

    ``family`` is the device family whose memory blocks the memories are cut for.
    """

    cores: tuple[CorePlan, ...]
    family: Family = "ecp5"

    def core_of(self, population: str) -> CorePlan:
        """The core that runs ``population``; a shared one as it is while it does."""
        core = self.cores[self.index_of(population)]
        if not core.shared:
            return core
        return replace(core, populations=(population,), pool_at_sender=False)

    def index_of(self, population: str) -> int:
        """Index in ``cores`` of the core that runs ``population``."""
        for index, core in enumerate(self.cores):
            if population in core.populations:
                return index
        raise PlanError(f"population {population}", "no core of the schedule runs it")

    def streams(self, net: SnnNetwork) -> tuple[Stream, ...]:
        """All streams between encoder, cores and readout, by their sources, in topological order.

        A dedicated core takes one per projection, a shared core one per population outside it.
        """
        found: list[Stream] = []
        for source in (INPUT, *(p.name for p in net.populations[:-1])):
            home = None if source == INPUT else self.index_of(source)
            reached: set[int] = set()
            for projection in net.out_of(source):
                index = self.index_of(projection.target)
                if not self.cores[index].shared:
                    found.append(Stream(source, index, projection.name))
                elif index not in reached and index != home:
                    reached.add(index)
                    found.append(Stream(source, index, None))
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """A JSON document."""
        return asdict(self)

    @staticmethod
    def from_json(document: dict[str, Any]) -> Schedule:
        """Inverse of `to_json`.

        Raises
        ------
        PlanError
            If a field is missing or unknown.
        """
        try:
            cores = []
            for entry in document["cores"]:
                fields = dict(entry)
                fields["populations"] = tuple(fields["populations"])
                fields["inputs"] = tuple(InputPort(**port) for port in fields["inputs"])
                fields["banks"] = tuple(fields["banks"])
                cores.append(CorePlan(**fields))
        except (KeyError, TypeError) as error:
            raise PlanError("schedule", f"malformed: {error}") from error
        return Schedule(tuple(cores), document.get("family", "ecp5"))


def outgoing_pool(net: SnnNetwork, core: CorePlan) -> Pool | None:
    """The pooling that ``core`` applies to its spikes before it sends them.

    Raises
    ------
    PlanError
        If its consumers want different pooling.
    """
    pools = {p.pool for p in net.out_of(core.population)}
    if not any(pool is not None and (pool.mode != "sum" or core.pool_at_sender) for pool in pools):
        return None
    if len(pools) != 1:
        raise PlanError(
            f"population {core.population}", "its consumers see different poolings of its spikes"
        )
    return pools.pop()


def keeps_current(net: SnnNetwork, population: str) -> bool:
    """Whether a core gets the input once per image and keeps the current that it causes."""
    return net.input.encoding == "constant" and any(p.source == INPUT for p in net.into(population))


def reads_each_step(net: SnnNetwork) -> bool:
    """Whether the readout looks at the scores after every timestep, not just the last."""
    return net.readout.margin > 0 or net.readout.mode == "sampled"


def port_geometry(net: SnnNetwork, schedule: Schedule, projection: str) -> ProjectionGeometry:
    """Tables of one projection under a schedule."""
    entry = next(p for p in net.projections if p.name == projection)
    core = schedule.core_of(entry.target)
    at_sender = False
    if entry.source != INPUT:
        at_sender = outgoing_pool(net, schedule.core_of(entry.source)) is not None
    return projection_geometry(
        net,
        entry,
        lanes=core.lanes,
        banks=core.banks,
        pool_at_sender=at_sender and entry.pool is not None,
    )


def overlaps(pool: Pool) -> bool:
    """Whether a spike may belong to several windows."""
    return any(s < k for s, k in zip(pool.stride, pool.kernel, strict=True))


def reread_words(net: SnnNetwork, core: CorePlan) -> int:
    """Words that the pooling of a core reads again per timestep, as its windows do not tile."""
    pool = outgoing_pool(net, core)
    if pool is None or pool.tiles:
        return 0
    channels, height, width = pool.out_shape(net.shape_of(core.population))
    return channels // core.lanes * height * width * pool.kernel[0] * pool.kernel[1]


def scan_geometry(net: SnnNetwork, core: CorePlan) -> ScanGeometry:
    """Firing order of a core: by windows of its pooling, if these tile the map."""
    pool = outgoing_pool(net, core)
    window = pool.kernel if pool is not None and pool.tiles else (1, 1)
    return ScanGeometry(net.shape_of(core.population), core.lanes, core.banks, window)


def simple_schedule(
    net: SnnNetwork,
    *,
    lanes: int = 1,
    banked: bool = False,
    lane_kind: LaneKind = "lut",
    pool_at_sender: bool = True,
) -> Schedule:
    """One dedicated core per population with at most ``lanes`` channels side by side.

    Used by tests and as the planner's starting point: lanes fall to the largest divisor that
    fits; with ``banked`` both axes get as many banks as their largest kernel reaches.
    """
    cores = []
    for population in net.populations:
        incoming = net.into(population.name)
        views = [p.as_conv(net.shape_of(p.source)) for p in incoming]
        fit = max(n for n in range(1, lanes + 1) if all(fits_lanes(v, n) for v in views))
        core = CorePlan(
            populations=(population.name,),
            inputs=tuple(InputPort(p.name) for p in incoming),
            lanes=fit,
            lane_kind=lane_kind,
            pool_at_sender=pool_at_sender,
        )
        cores.append(replace(core, banks=full_banks(net, population.name)) if banked else core)
    schedule = Schedule(tuple(cores))
    return _with_sender_pools(net, schedule)


def full_banks(net: SnnNetwork, population: str) -> tuple[int, int]:
    """Banks per axis with which every event finishes all its taps in one cycle per group."""
    views = [p.as_conv(net.shape_of(p.source)) for p in net.into(population)]
    reach = [
        max(min(-(-v.weight.shape[2 + a] // v.stride[a]), v.out_shape[1 + a]) for v in views)
        for a in (0, 1)
    ]
    return reach[0], reach[1]


def _with_sender_pools(net: SnnNetwork, schedule: Schedule) -> Schedule:
    """Turn sender pooling off where consumers disagree or windows leave gaps."""
    cores = []
    for core in schedule.cores:
        pools = {p.pool for p in net.out_of(core.population)}
        only = next(iter(pools)) if len(pools) == 1 else None
        fits = only is not None and (only.tiles or overlaps(only))
        cores.append(replace(core, pool_at_sender=core.pool_at_sender and fits))
    return Schedule(tuple(cores))
