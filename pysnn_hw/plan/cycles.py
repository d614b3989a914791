# SPDX-License-Identifier: BSD-2-Clause
"""Cycle-exact timing of a schedule from spike trains alone.

The model mirrors every register that decides when something moves (queues, tap walkers, phases,
the fire pipeline, pooling, serializers, encoder, readout) and nothing of what is computed, so an
image takes microseconds. It equals the Verilated design cycle for cycle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pysnn_hw.ir.snn import INPUT, Array, FixedNetwork
from pysnn_hw.ir.widths import clamps, longest_run
from pysnn_hw.plan.activity import Activity
from pysnn_hw.plan.cycles_kernel import EARLY_EXIT, NO_JUDGE, SAMPLER, run
from pysnn_hw.plan.latency import (
    core_value_range,
    fire_latency,
    lane_latency,
    membrane_hazard,
    scanned_below,
    shared_scan_depth,
    value_bits,
)
from pysnn_hw.plan.layer_cycles import NO_RUNS, Runs, shared_runs
from pysnn_hw.plan.layers import layer_program
from pysnn_hw.plan.schedule import (
    CorePlan,
    Schedule,
    Stream,
    outgoing_pool,
    reread_words,
    scan_geometry,
)
from pysnn_hw.plan.tokens import (
    PortTokens,
    collector_tokens,
    input_tokens,
    port_tokens,
    repeats,
    word_tokens,
)

SCAN_READ = 5
"""Advances from counting a word to having read it: `Scan.latency` + `Accumulate.scan_latency`."""

ENCODER_DEPTH = {"constant": 3, "bernoulli": 5, "events": 2}
"""Stages of each encoder."""

WEIGHT_AND_HAZARD = 2 + membrane_hazard()
"""`WeightMemory.latency` + that of `MembraneBank`."""


@dataclass(frozen=True, eq=False)
class Timing:
    """When images enter and leave, in cycles after reset; int64 (images,).

    Attributes
    ----------
    accepted
        Cycle in which the first integer of each image is taken.
    finished
        Cycle in which the last score of each image is handed over.
    """

    accepted: Array
    finished: Array

    @property
    def latency(self) -> Array:
        """Cycles from first integer to last score, both included."""
        return self.finished - self.accepted + 1

    @property
    def interval(self) -> Array:
        """Cycles between consecutive results, int64 (images - 1,)."""
        return np.diff(self.finished)


@dataclass(frozen=True, eq=False)
class _Chain:
    """Everything that the kernel needs, as flat int64 arrays."""

    sends: Array  # what the encoder does with each input: see `InputTokens`
    first_input: Array
    last_input: Array  # only where results may wait for an image's end
    encoder_depth: int
    # Per port.
    source: Array  # -1: the encoder, else a core
    core: Array
    room: Array  # words in the queue's memory
    split: Array
    first_token: Array
    steps: Array
    splits: Array
    # Per core.
    fires: Array
    repeats: Array
    words: Array
    scan_depth: Array
    pool_depth: Array
    reread: Array  # words that pooling reads again; 0: windows tile the map
    two_stages: Array
    settle: Array
    first_word: Array
    sent: Array  # (all words, parts), padded with zeros
    lanes: Array
    # Of the readout: how scores of all steps are judged, at which step each image's leave.
    judge: int
    exits: Array
    probes: bool
    # Of shared cores: a run is a layer in one timestep of one image.
    shared: Array
    below: Array  # words waiting to leave
    clears: Array
    first_run: Array
    runs: Array  # of an image
    run_first: Array  # row in ``sent`` of its first word
    run_cycles: Array
    run_words: Array
    run_sends: Array
    run_keeps: Array
    collector_words: Array  # per port
    timesteps: int


def chain_timing(net: FixedNetwork, schedule: Schedule, activity: Activity) -> Timing:
    """Timing of the sample images sent one after another, the result taken at once."""
    chain = _chain(net, schedule, activity)
    images = activity.images
    accepted, finished = np.zeros(images, np.int64), np.zeros(images, np.int64)
    done = run(
        chain.sends,
        chain.first_input,
        chain.last_input,
        chain.encoder_depth,
        chain.source,
        chain.core,
        chain.room,
        chain.split,
        chain.first_token,
        chain.steps,
        chain.splits,
        chain.fires,
        chain.repeats,
        chain.words,
        chain.scan_depth,
        chain.pool_depth,
        chain.reread,
        chain.two_stages,
        chain.settle,
        chain.first_word,
        chain.sent,
        chain.lanes,
        chain.judge,
        chain.exits,
        chain.probes,
        chain.shared,
        chain.below,
        chain.clears,
        chain.first_run,
        chain.runs,
        chain.run_first,
        chain.run_cycles,
        chain.run_words,
        chain.run_sends,
        chain.run_keeps,
        chain.collector_words,
        chain.timesteps,
        accepted,
        finished,
    )
    if not done:
        raise RuntimeError("the timing model does not come to an end")
    return Timing(accepted, finished)


def _chain(net: FixedNetwork, schedule: Schedule, activity: Activity) -> _Chain:
    units = [_unit(net, schedule, activity, core) for core in schedule.cores]
    ports = [_port(net, schedule, activity, stream) for stream in schedule.streams(net)]
    # The kernel grants ports of a core in this order.
    ports.sort(key=lambda p: (p.core, p.place))
    inputs = input_tokens(net, activity)
    parts = max((u.sent.shape[1] for u in units), default=1)
    rows = [np.pad(u.sent, ((0, 0), (0, parts - u.sent.shape[1]))) for u in units]
    # Words of a readout are counted from 0.
    first_word = _starts([len(u.sent) for u in units])[:-1] * [u.fires for u in units]
    first_run = _starts([len(u.runs.cycles) for u in units])[:-1]
    return _Chain(
        sends=inputs.sends,
        first_input=inputs.first,
        last_input=inputs.last if net.input.encoding == "events" else inputs.last[:0],
        encoder_depth=ENCODER_DEPTH[net.input.encoding],
        source=np.array([p.source for p in ports]),
        core=np.array([p.core for p in ports]),
        room=np.array([p.room for p in ports]),
        split=np.array([p.split for p in ports]),
        first_token=_starts([len(p.tokens.steps) for p in ports]),
        steps=np.concatenate([p.tokens.steps for p in ports]),
        splits=np.concatenate([p.tokens.splits for p in ports]),
        fires=np.array([u.fires for u in units]),
        repeats=np.array([u.repeats for u in units]),
        words=np.array([u.words for u in units]),
        scan_depth=np.array([u.scan_depth for u in units]),
        pool_depth=np.array([u.pool_depth for u in units]),
        reread=np.array([u.reread for u in units]),
        two_stages=np.array([int(u.sent.shape[1] > 1) for u in units]),
        settle=np.array([u.settle for u in units]),
        first_word=first_word,
        sent=np.concatenate([*rows, np.zeros((1, parts), np.int64)]),
        lanes=np.array([core.lanes for core in schedule.cores]),
        judge=_judge(net),
        exits=np.full(activity.images, net.timesteps) if activity.steps is None else activity.steps,
        probes=net.probe is not None,
        shared=np.array([core.shared for core in schedule.cores]),
        below=np.array([u.below for u in units]),
        clears=np.array([u.clears for u in units]),
        first_run=first_run,
        runs=np.array([max(1, len(u.runs.cycles) // activity.images) for u in units]),
        run_first=np.concatenate(
            [u.runs.first + start for u, start in zip(units, first_word, strict=True)]
        ),
        run_cycles=np.concatenate([u.runs.cycles for u in units]),
        run_words=np.concatenate([u.runs.words for u in units]),
        run_sends=np.concatenate([u.runs.sends for u in units]),
        run_keeps=np.concatenate([u.runs.keeps for u in units]),
        collector_words=np.array([p.collector_words for p in ports]),
        timesteps=net.timesteps,
    )


@dataclass(frozen=True, eq=False)
class _Unit:
    """A core as the kernel sees it."""

    fires: int
    repeats: int
    words: int
    scan_depth: int
    pool_depth: int
    reread: int
    settle: int
    sent: Array
    runs: Runs
    below: int = 0
    clears: int = 0


@dataclass(frozen=True, eq=False)
class _Port:
    """A stream as the kernel sees it; ``place`` among those of its core."""

    source: int
    core: int
    place: int
    room: int
    split: int
    tokens: PortTokens
    collector_words: int = 0


def _unit(net: FixedNetwork, schedule: Schedule, activity: Activity, core: CorePlan) -> _Unit:
    if core.shared:
        program = layer_program(net, core)
        runs = shared_runs(program, activity, core.lane_kind)
        depth = shared_scan_depth(program)
        below, clears = scanned_below(program), program.bank_words
        return _Unit(1, 1, 0, depth, 0, 0, 0, runs.sent, runs, below, clears)
    population = net.population(core.population)
    fires = population.kind == "fire"
    sent = word_tokens(net, activity, core).sent if fires else np.zeros((0, 1), np.int64)
    return _Unit(
        fires=int(fires),
        repeats=repeats(net, population),
        words=scan_geometry(net, core).words,
        scan_depth=_scan_depth(net, core),
        pool_depth=_pool_depth(net, core),
        reread=reread_words(net, core) if fires else 0,
        settle=_settle(net, schedule, core),
        sent=sent,
        runs=NO_RUNS,
    )


def _port(net: FixedNetwork, schedule: Schedule, activity: Activity, stream: Stream) -> _Port:
    source = -1 if stream.source == INPUT else schedule.index_of(stream.source)
    core = schedule.cores[stream.core]
    if core.shared:
        words = net.population(stream.source)
        tokens = collector_tokens(activity.spikes[stream.source], core.lanes)
        channels, height, width = words.shape
        return _Port(source, stream.core, 0, 0, 0, tokens, channels // core.lanes * height * width)
    names = [port.projection for port in core.inputs]
    place = names.index(str(stream.projection))
    tokens = port_tokens(net, schedule, activity, core, str(stream.projection))
    room = core.inputs[place].queue_depth - 2
    return _Port(source, stream.core, place, room, int(core.lane_kind == "shift"), tokens)


def _judge(net: FixedNetwork) -> int:
    if net.readout.mode == "sampled":
        return SAMPLER
    return EARLY_EXIT if net.readout.margin > 0 else NO_JUDGE


def _starts(lengths: list[int]) -> Array:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _scan_depth(net: FixedNetwork, core: CorePlan) -> int:
    population = net.population(core.population)
    if population.kind == "readout":
        return SCAN_READ
    held = int(repeats(net, population) > 1)
    fire = fire_latency(population, clamp=clamps(net, population.name))
    return SCAN_READ + held + fire + 1


def _pool_depth(net: FixedNetwork, core: CorePlan) -> int:
    if net.population(core.population).kind == "readout":
        return 0
    pool = outgoing_pool(net, core)
    if pool is None:
        return 0
    if longest_run(net) == 1:
        return 2
    return {"sum": 2, "max": 4, "gate": 3}[pool.mode]


def _settle(net: FixedNetwork, schedule: Schedule, core: CorePlan) -> int:
    bits = value_bits(core_value_range(net, schedule, core))
    several = int(len(core.inputs) > 1)
    return WEIGHT_AND_HAZARD + several + lane_latency(core.lane_kind, bits)
