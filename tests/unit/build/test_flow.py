# SPDX-License-Identifier: BSD-2-Clause
"""Which try of the placer is taken, and what a device that is too small is called."""

from pathlib import Path

import pytest

from pysnn_hw.build.families import FAMILIES
from pysnn_hw.build.flow import MAX_TRIES, _Build, _explained, _Routed, clock_limit_hz
from pysnn_hw.build.reports import Report
from pysnn_hw.errors import PlanError, ToolError
from pysnn_hw.plan.board import load_board

FULL = PlanError("board", "the design does not fit")


class Tries(_Build):
    """Places with outcomes that are known: a clock in MHz, or an error."""

    def __init__(self, *outcomes):
        object.__setattr__(self, "seed", 1)
        object.__setattr__(self, "outcomes", outcomes)
        object.__setattr__(self, "seeds", [])

    def route(self, netlist, seed):
        self.seeds.append(seed)
        outcome = self.outcomes[seed - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return _Routed(seed, Report({"clk": outcome}, {}))


@pytest.mark.parametrize(
    ("outcomes", "taken", "seeds"),
    [
        ((120.0,), 1, [1]),
        ((90.0, 100.0), 2, [1, 2]),
        ((90.0, 98.0, 95.0), 2, [1, 2, 3]),
        ((FULL, 99.0, 101.0), 3, [1, 2, 3]),
        ((FULL, FULL, 50.0), 3, [1, 2, 3]),
    ],
)
def test_the_first_good_try_or_the_best(outcomes, taken, seeds):
    build = Tries(*outcomes)
    assert build.route_until(Path(), 100.0).seed == taken
    assert build.seeds == seeds


def test_a_design_that_never_fits_is_an_error():
    with pytest.raises(PlanError, match="does not fit"):
        Tries(*[FULL] * MAX_TRIES).route_until(Path(), 100.0)


def test_faults_of_the_tool_are_not_retried():
    build = Tries(ToolError("nextpnr", "crashed", ""), 100.0)
    with pytest.raises(ToolError, match="crashed"):
        build.route_until(Path(), 100.0)
    assert build.seeds == [1]


@pytest.mark.parametrize(
    "words",
    [
        "ERROR: Unable to place cell 'x', no Bels remaining of type 'ICESTORM_LC'",
        "ERROR: Unable to find legal placement for all cells, design is probably at its limit.",
    ],
)
def test_a_full_device_is_named(words):
    board = load_board("icebreaker")
    error = _explained(ToolError("nextpnr-ice40", words, "its log is x.log"), board)
    assert isinstance(error, PlanError)
    assert board.title in str(error)
    assert "does not fit" in str(error)


def test_a_design_without_a_way_for_every_wire_is_tried_again():
    words = "ERROR: Failed to route arc 2.0 of net 'n', from X141Y63/OUT to X137Y61/IN."
    board = load_board("gatemate-evb")
    error = _explained(ToolError("nextpnr-himbaechel-gatemate", words, "its log is x.log"), board)
    assert isinstance(error, PlanError)  # what `route_until` tries again
    assert "could be placed but not routed" in str(error)


def test_other_last_words_stay_what_they_are():
    board = load_board("icebreaker")
    other = ToolError("nextpnr-ice40", "out of memory", "")
    assert _explained(other, board) is other


def built_for(name, **fmax_mhz):
    """What is known of a design once it is routed."""
    board = load_board(name)
    family = FAMILIES[board.device.family]
    report = Report({clock: float(mhz) for clock, mhz in fmax_mhz.items()}, {})
    return _Build(board, family, None, Path(), "top", 1, None), _Routed(1, report)


@pytest.mark.parametrize(("name", "mhz"), [("ulx3s-12f", 100), ("tang-nano-9k", 80)])
def test_frequencies_are_believed_as_far_as_they_are_known_to_hold(name, mhz):
    build, routed = built_for(name, clk=100)
    assert build.fmax_mhz(routed) == mhz


def test_oscillator_domain_is_held_to_the_same():
    build, routed = built_for("tang-nano-9k", clk=100, board_clk=34)
    build.check_oscillator_domain(routed)
    build, routed = built_for("tang-nano-9k", clk=100, board_clk=33)
    with pytest.raises(ToolError, match=r"the link reaches 26.4 MHz, the oscillator has 27 MHz"):
        build.check_oscillator_domain(routed)


def test_lower_limit_of_user_and_board():
    board = load_board("tang-nano-9k")
    limited = board.model_copy(
        update={"clock": board.clock.model_copy(update={"most_hz": 48_000_000})}
    )
    assert clock_limit_hz(board, None) == float("inf")
    assert clock_limit_hz(board, 50e6) == 50e6
    assert clock_limit_hz(limited, None) == 48e6
    assert clock_limit_hz(limited, 30e6) == 30e6
