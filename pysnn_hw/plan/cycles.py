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
from pysnn_hw.plan.latency import core_value_range, fire_latency, lane_latency, value_bits
from pysnn_hw.plan.schedule import (
    CorePlan,
    Schedule,
    outgoing_pool,
    reread_words,
    scan_geometry,
)
from pysnn_hw.plan.tokens import input_tokens, port_tokens, repeats, word_tokens

SCAN_READ = 5
"""Advances from counting a word to having read it: `Scan.latency` + `Accumulate.scan_latency`."""

ENCODER_DEPTH = {"constant": 3, "bernoulli": 5, "events": 2}
"""Stages of each encoder."""

WEIGHT_AND_HAZARD = 6
"""`WeightMemory.latency` + `MembraneBank.hazard`."""


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
        accepted,
        finished,
    )
    if not done:
        raise RuntimeError("the timing model does not come to an end")
    return Timing(accepted, finished)


def _chain(net: FixedNetwork, schedule: Schedule, activity: Activity) -> _Chain:
    order = [p.name for p in net.populations]
    cores = [schedule.core_of(name) for name in order]
    ports = [(k, port) for k, core in enumerate(cores) for port in core.inputs]
    by_name = {p.name: p for p in net.projections}
    sources = [by_name[port.projection].source for _, port in ports]
    tokens = [port_tokens(net, schedule, activity, cores[k], p.projection) for k, p in ports]
    inputs = input_tokens(net, activity)
    fire = cores[:-1]
    words = [word_tokens(net, activity, core).sent for core in fire]
    parts = max((w.shape[1] for w in words), default=1)
    padded = [np.pad(w, ((0, 0), (0, parts - w.shape[1]))) for w in words]
    return _Chain(
        sends=inputs.sends,
        first_input=inputs.first,
        last_input=inputs.last if net.input.encoding == "events" else inputs.last[:0],
        encoder_depth=ENCODER_DEPTH[net.input.encoding],
        source=np.array([-1 if s == INPUT else order.index(s) for s in sources]),
        core=np.array([k for k, _ in ports]),
        room=np.array([port.queue_depth - 2 for _, port in ports]),
        split=np.array([int(cores[k].lane_kind == "shift") for k, _ in ports]),
        first_token=_starts([len(t.steps) for t in tokens]),
        steps=np.concatenate([t.steps for t in tokens]),
        splits=np.concatenate([t.splits for t in tokens]),
        fires=np.array([1] * len(fire) + [0]),
        repeats=np.array([repeats(net, p) for p in net.populations]),
        words=np.array([scan_geometry(net, core).words for core in cores]),
        scan_depth=np.array([_scan_depth(net, core) for core in cores]),
        pool_depth=np.array([_pool_depth(net, core) for core in cores]),
        reread=np.array([reread_words(net, core) for core in fire] + [0]),
        two_stages=np.array([int(w.shape[1] > 1) for w in words] + [0]),
        settle=np.array([_settle(net, schedule, core) for core in cores]),
        first_word=np.append(_starts([len(w) for w in words])[:-1], 0),
        sent=np.concatenate([*padded, np.zeros((1, parts), np.int64)]),
        lanes=np.array([core.lanes for core in cores]),
        judge=_judge(net),
        exits=np.full(activity.images, net.timesteps) if activity.steps is None else activity.steps,
        probes=net.probe is not None,
    )


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
