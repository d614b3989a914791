# SPDX-License-Identifier: BSD-2-Clause
"""Where hardware and golden part ways, in the words of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pysnn_hw.golden import Result
from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.verify.design import Design, Probe, winners
from pysnn_hw.verify.words import unpack


@dataclass(frozen=True, order=True)
class Mismatch:
    """One value that differs; sorts by what happens first.

    Attributes
    ----------
    image, timestep, depth
        Image (0-based in the data set), timestep, and index of the population.
    population
        Its name.
    what
        ``spike``, ``membrane`` (after the last timestep), ``score``, ``winner`` or ``steps`` (that
        count after an early exit); ``order`` if a word came out of turn or more came than should,
        ``missing`` if the run ended without it.
    channel, y, x
        The neuron.
    expected, got
        The integers; None where there is nothing to compare.
    cycle
        Clock cycle of the run in which it showed.
    """

    image: int
    timestep: int
    depth: int
    what: str
    population: str
    channel: int
    y: int
    x: int
    expected: int | None
    got: int | None
    cycle: int

    def __str__(self) -> str:
        return (
            f"population {self.population}, timestep {self.timestep}, image {self.image}: "
            f"{self.what} at (c {self.channel}, y {self.y}, x {self.x}) "
            f"expected {self.expected}, got {self.got}"
        )


def first_mismatch(
    design: Design, result: Result, checks: Sequence[Mapping[str, Any]], first_image: int = 0
) -> Mismatch | None:
    """The first divergence of a run, or None.

    ``checks`` are the harness's findings per stream of words, ``result`` the golden result (with
    trace) of the same images, ``first_image`` the number of the first of them in the data set.
    """
    probes = {probe.population: probe for probe in design.probes}
    found = []
    for check in checks:
        missing = check["seen"] < check["items"]
        if not check["mismatches"] and not missing:
            continue
        position = check["first"] if check["mismatches"] else check["seen"]
        if check["stream"] == "scores":
            found.append(_score_mismatch(design, result, check, position))
        elif check["stream"] == "steps":
            found.append(_steps_mismatch(design, result, check, position))
        else:
            probe = probes[check["population"]]
            found.append(_probe_mismatch(design.net, probe, result, check, position))
    if not found:
        return None
    first = min(found, key=lambda m: (m.image, m.timestep, m.depth, m.what != "spike"))
    return replace(first, image=first.image + first_image)


def _probe_mismatch(
    net: FixedNetwork, probe: Probe, result: Result, check: Mapping[str, Any], position: int
) -> Mismatch:
    trace = result.trace
    spikes = check["stream"] == "spikes"
    per_image = probe.words * (net.total_steps if spikes else 1)
    image, rest = divmod(position, per_image)
    timestep, index = divmod(rest, probe.words)
    timestep = timestep if spikes else net.total_steps - 1
    y, x, group = (int(n) for n in probe.order[index])
    where = (image, timestep, probe.population)
    if not check["mismatches"]:
        return Mismatch(
            *where, "missing", probe.name, group * probe.lanes, y, x, index, None, check["cycle"]
        )
    if trace is None or image >= len(result.scores) or check["index"] != index:
        return Mismatch(
            *where, "order", probe.name, group * probe.lanes, y, x, index, check["index"],
            check["cycle"],
        )  # fmt: skip
    bits = probe.spike_bits if spikes else probe.membrane_bits
    words = np.array(check["got"], "<u4")
    got = unpack(words, probe.lanes, bits, signed=not spikes)
    channels = slice(group * probe.lanes, (group + 1) * probe.lanes)
    expected = (
        trace.spikes[probe.name][image, timestep, channels, y, x]
        if spikes
        else trace.membranes[probe.name][image, channels, y, x]
    ).astype(np.int64)
    lane = int(np.flatnonzero(got != expected)[0])
    return Mismatch(
        *where, "spike" if spikes else "membrane", probe.name, group * probe.lanes + lane, y, x,
        int(expected[lane]), int(got[lane]), check["cycle"],
    )  # fmt: skip


def _steps_mismatch(
    design: Design, result: Result, check: Mapping[str, Any], image: int
) -> Mismatch:
    depth, last = len(design.net.populations) - 1, design.net.populations[-1].name
    expected = int(result.steps[image]) if image < len(result.steps) else None
    what, got = "missing", None
    if check["mismatches"]:
        what, got = "steps", int(check["got"][0])
    where = (image, design.net.total_steps - 1, depth, what, last, 0, 0, 0)
    return Mismatch(*where, expected, got, check["cycle"])


def _score_mismatch(
    design: Design, result: Result, check: Mapping[str, Any], position: int
) -> Mismatch:
    net = design.net
    image, label = divmod(position, design.classes)
    where = (image, net.total_steps - 1, len(net.populations) - 1)
    name = net.populations[-1].name
    if not check["mismatches"] or image >= len(result.scores):
        return Mismatch(
            *where,
            "order" if check["mismatches"] else "missing",
            name,
            label,
            0,
            0,
            None,
            None,
            check["cycle"],
        )
    words = np.array(check["got"], "<u4").reshape(1, 1, -1)
    score, winner = design.scores(words)
    expected, got, what = int(result.scores[image, label]), int(score[0, 0]), "score"
    if expected == got:
        expected, got, what = int(winners(result)[image]), int(winner[0]), "winner"
    return Mismatch(*where, what, name, label, 0, 0, expected, got, check["cycle"])
