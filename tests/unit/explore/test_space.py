# SPDX-License-Identifier: BSD-2-Clause
"""Which candidates there are."""

from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.convert import METHODS
from pysnn_hw.errors import ModelError
from pysnn_hw.explore import TRAINED, Candidate, Limits, Space


class Drawn:
    """A trial that gives what it was told, or anything."""

    def __init__(self, parameters=None, seed=0):
        self.parameters, self.rng = parameters, np.random.default_rng(seed)
        self.names = []

    def _value(self, name, choices):
        self.names.append(name)
        if self.parameters is None:
            return choices[self.rng.integers(len(choices))]
        assert self.parameters[name] in choices
        return self.parameters[name]

    def suggest_categorical(self, name, choices):
        return self._value(name, choices)


def test_every_draw_is_a_candidate_and_every_candidate_can_be_drawn():
    space = Space.of(Limits(timesteps=4, levels=3, weight_bits=4), training=True)
    known = space.candidates()
    assert len(set(known)) == len(known)
    for seed in range(100):
        assert space.draw(Drawn(seed=seed)) in known
    for candidate in known:
        drawn = Drawn(space.parameters(candidate))
        assert space.draw(drawn) == candidate
        assert set(drawn.names) == set(drawn.parameters)


def test_limits_hold():
    space = Space.of(Limits(timesteps=5, levels=3, weight_bits=6))
    assert {c.timesteps for c in space.candidates()} == {1, 2, 4}
    assert max(c.levels for c in space.candidates()) == 3
    assert {c.weight_bits for c in space.candidates()} == {3, 4, 5, 6}
    assert min(c.timesteps * (2**c.levels - 1) for c in space.candidates()) >= 3


def test_methods_where_they_make_a_difference():
    space = Space.of(Limits(), training=True)
    assert {c.method for c in space.candidates()} == set(METHODS)
    assert min(c.timesteps for c in space.candidates() if c.method == "signed") == 2
    assert {c.timesteps for c in space.candidates() if c.method == "qcfs"} == {1}
    assert {c.levels for c in space.candidates() if c.method == "hybrid"} == {1}
    assert {c.method for c in Space.of(Limits()).candidates()} == set(METHODS) - set(TRAINED)


@pytest.mark.parametrize("levels", [2, 4, 6])
@pytest.mark.parametrize("timesteps", [1, 8])
def test_starters_are_candidates(timesteps, levels):
    space = Space.of(Limits(timesteps=timesteps, levels=levels, weight_bits=4))
    starters = space.starters()
    assert starters[0] == Candidate("rate", 1, min(4, levels), 4, "p99.9")
    assert len(set(starters)) == len(starters)
    assert set(starters) <= set(space.candidates())


@pytest.mark.parametrize(
    ("limits", "methods", "said"),
    [
        (Limits(timesteps=0), None, "max timesteps"),
        (Limits(levels=9), None, "max levels"),
        (Limits(weight_bits=2), None, "max weight bits"),
        (Limits(cycles=0), None, "max cycles"),
        (Limits(sops=-1), None, "max SOPs"),
        (Limits(), ("best",), "'best' is unknown"),
        (Limits(), ("qcfs",), "needs training"),
        (Limits(timesteps=1), ("signed",), "no method works within them"),
        (Limits(timesteps=1, levels=1), None, "no method works within them"),
    ],
)
def test_refused(limits, methods, said):
    with pytest.raises(ModelError, match=said):
        Space.of(limits, methods)


def test_a_candidate_is_json():
    candidate = Candidate("signed", 4, 3, 6, "max", 0.4, False)
    assert Candidate.from_json(candidate.to_json()) == candidate
    assert str(candidate) == (
        "signed, T = 4, n = 3, 6-bit weights, thresholds by max, tau = 0.4, biases as they are"
    )


def test_boards_are_begun_with_few_bits_too():
    space = Space.of(Limits(timesteps=1), ("rate",))
    found = space.starters_for_boards()
    assert found[:2] == [space.starters()[0], replace(space.starters()[0], weight_bits=4)]
    assert set(space.starters()) <= set(found) <= set(space.candidates())
    assert len(set(found)) == len(found)
    three = Space.of(Limits(timesteps=1, weight_bits=3), ("rate",))
    assert three.starters_for_boards() == three.starters()
