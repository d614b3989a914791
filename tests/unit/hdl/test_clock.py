# SPDX-License-Identifier: BSD-2-Clause
from fractions import Fraction

import pytest
from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Module, Signal
from hypothesis import given, settings
from hypothesis import strategies as st

from pysnn_hw.hdl.clock import ClockGenerator, best_pll


@settings(deadline=None, max_examples=60)
@given(st.integers(4_000_000, 350_000_000), st.sampled_from([25_000_000, 48_000_000]))
def test_ecp5_clock_follows_from_its_dividers_within_the_loop_limits(limit_hz, input_hz):
    pll = best_pll("EHXPLLL", input_hz, limit_hz)
    p = pll.parameters
    vco = Fraction(input_hz, p["CLKI_DIV"]) * p["CLKFB_DIV"] * 2  # CLKOP divides by 2
    assert pll.output_hz == vco / p["CLKOS_DIV"]
    assert pll.output_hz <= limit_hz
    assert 400_000_000 <= vco <= 800_000_000
    assert input_hz / p["CLKI_DIV"] >= 10_000_000
    assert pll.output_hz > 0.93 * limit_hz


@settings(deadline=None, max_examples=60)
@given(st.integers(16_200_000, 200_000_000), st.sampled_from([12_000_000, 16_000_000]))
def test_ice40_clock_follows_from_its_dividers_within_the_loop_limits(limit_hz, input_hz):
    pll = best_pll("SB_PLL40_2_PAD", input_hz, limit_hz)
    p = pll.parameters
    vco = Fraction(input_hz, p["DIVR"] + 1) * (p["DIVF"] + 1)
    assert pll.output_hz == vco / 2 ** p["DIVQ"]
    assert pll.output_hz <= limit_hz
    assert 533_000_000 <= vco <= 1_066_000_000
    assert pll.output_hz > 0.95 * limit_hz
    assert p["FILTER_RANGE"] == 1


@settings(deadline=None, max_examples=60)
@given(st.integers(20_000_000, 400_000_000), st.sampled_from([24_000_000, 27_000_000]))
def test_gowin_clock_follows_from_its_dividers_within_the_loop_limits(limit_hz, input_hz):
    pll = best_pll("rPLL", input_hz, limit_hz)
    p = pll.parameters
    assert pll.output_hz == Fraction(input_hz, p["IDIV_SEL"] + 1) * (p["FBDIV_SEL"] + 1)
    assert pll.output_hz <= limit_hz
    assert 500_000_000 <= pll.output_hz * p["ODIV_SEL"] <= 1_200_000_000
    assert input_hz / (p["IDIV_SEL"] + 1) >= 3_000_000
    # The widest gap: of 24 MHz it can make 21 and 24 and nothing between.
    assert pll.output_hz > 0.87 * limit_hz


@settings(deadline=None, max_examples=60)
@given(st.integers(5_000_000, 400_000_000), st.sampled_from([100_000_000, 125_000_000]))
def test_mmcm_clock_follows_from_its_dividers_within_the_loop_limits(limit_hz, input_hz):
    pll = best_pll("MMCME2_BASE", input_hz, limit_hz)
    p = pll.parameters
    vco = Fraction(input_hz, p["DIVCLK_DIVIDE"]) * p["CLKFBOUT_MULT_F"]
    assert pll.output_hz == vco / p["CLKOUT0_DIVIDE_F"]
    assert pll.output_hz <= limit_hz
    assert 600_000_000 <= vco <= 1_200_000_000
    assert input_hz / p["DIVCLK_DIVIDE"] >= 10_000_000
    assert pll.output_hz > 0.95 * limit_hz


@settings(deadline=None, max_examples=60)
@given(st.integers(4_000_000, 250_000_000))
def test_nexus_clock_stays_below_the_limit_even_if_the_oscillator_is_fast(limit_hz):
    pll = best_pll("OSCA", 12_000_000, limit_hz)
    divider = pll.parameters["HF_CLK_DIV"] + 1
    assert pll.output_hz == Fraction(450_000_000, divider)
    assert pll.output_hz * Fraction(115, 100) <= limit_hz
    # The next faster one might exceed it.
    assert divider == 2 or Fraction(450_000_000, divider - 1) * Fraction(115, 100) > limit_hz


@settings(deadline=None, max_examples=40)
@given(st.integers(5_300_000, 250_000_000), st.sampled_from([10_000_000, 25_000_000]))
def test_gatemate_clock_follows_from_its_dividers_within_the_loop_limits(limit_hz, input_hz):
    pll = best_pll("CC_PLL", input_hz, limit_hz)
    p = {name.removeprefix("CFG_A_"): value for name, value in pll.parameters.items()}
    half = input_hz * p["N1"] * p["N2"]  # of the oscillator's
    assert pll.output_hz == Fraction(half, 2 * p["M1"] * p["M2"])
    assert pll.output_hz <= limit_hz
    assert 500_000_000 < half <= 1_000_000_000
    assert max(half // p["N1"], half // p["M1"]) <= 625_000_000
    # Else the outputs of other phases have none.
    assert p["M1"] * p["M2"] % 2 == 0
    assert max(p["N1"], p["M1"]) < 64
    assert pll.output_hz > 0.93 * limit_hz


@pytest.mark.parametrize(
    ("mhz", "dividers"),
    [
        (7.3, (7, 10, 2, 24)),
        (25, (7, 10, 2, 7)),
        (39.2, (2, 47, 2, 6)),
        (45.84, (5, 11, 1, 6)),
        (50, (8, 10, 2, 4)),
        (60, (8, 9, 2, 3)),
        (80, (8, 8, 2, 2)),
        (187.5, (5, 15, 2, 1)),
    ],
)
def test_gatemate_dividers_are_those_that_nextpnr_finds(mhz, dividers):
    """As in its textual bitstreams of a PLL told the frequency of the settings."""
    pll = best_pll("CC_PLL", 10_000_000, mhz * 1e6)
    assert tuple(pll.parameters[f"CFG_A_{name}"] for name in ("N1", "N2", "M1", "M2")) == dividers


def test_typical_clocks():
    assert best_pll("MMCME2_BASE", 100_000_000, 87.6e6).output_mhz == 87.5
    assert best_pll("EHXPLLL", 25_000_000, 100e6).output_mhz == 100
    assert best_pll("SB_PLL40_2_PAD", 12_000_000, 36.7e6).output_mhz == 36
    assert best_pll("SB_PLL40_2_PAD", 12_000_000, 36.75e6).output_mhz == 36.75
    assert best_pll("SB_PLL40_CORE", 12_000_000, 36.75e6).output_mhz == 36.75
    assert best_pll("rPLL", 27_000_000, 55e6).output_mhz == 54
    assert best_pll("OSCA", 12_000_000, 100e6).output_mhz == 75
    assert best_pll("CC_PLL", 10_000_000, 39.2e6).output_hz == Fraction(117_500_000, 3)


def test_out_of_range():
    with pytest.raises(ValueError, match="makes no clock of 10 MHz from 12000000 Hz"):
        best_pll("SB_PLL40_2_PAD", 12_000_000, 10e6)
    with pytest.raises(ValueError, match="kind must be one of EHXPLLL"):
        best_pll("DCM", 12_000_000, 10e6)


class Gowin:
    """As much of a platform as a PLL asks for."""

    family = "GW2A-18C"


def gates(kind, input_hz, platform=None):
    """RTLIL of a clock generator."""
    m, pin = Module(), Signal()
    m.domains.board = ClockDomain(reset_less=True)
    m.domains.sync = ClockDomain()
    m.submodules.clocks = ClockGenerator(best_pll(kind, input_hz, 50e6), pin)
    return rtlil.convert(m, ports=[pin], platform=platform)


def test_gowin_feedback_is_open():
    text = gates("rPLL", 27_000_000, Gowin())
    assert "connect \\RESET_P 1'0" in text
    assert "connect \\CLKIN" in text
    assert "\\CLKFB " not in text


def test_gatemate_pll_is_told_frequencies_in_mhz():
    text = gates("CC_PLL", 10_000_000)
    for name, value in (("REF_CLK", "10.0000"), ("OUT_CLK", "50.0000"), ("PERF_MD", "ECONOMY")):
        assert f'parameter \\{name} "{value}"' in text
    assert "connect \\CLK_FEEDBACK 1'0" in text
