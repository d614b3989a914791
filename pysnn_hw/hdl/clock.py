# SPDX-License-Identifier: BSD-2-Clause
"""Sources of clocks: which settings reach a wanted frequency, and the gates that make it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any

from amaranth.hdl import ClockSignal, Const, Elaboratable, Instance, Module, Signal
from amaranth.lib.cdc import ResetSynchronizer

__all__ = ["PLL_CELL_NAME", "ClockGenerator", "PllSettings", "best_pll"]

PLL_CELL_NAME = "pll"
"""Name of the one PLL cell in a netlist, by which its parameters are found again."""

# Limits of the loops, from the families' data sheets.
_ECP5_VCO_HZ = (400_000_000, 800_000_000)
_ECP5_DETECTOR_HZ = (10_000_000, 400_000_000)
_ECP5_OUTPUT_HZ = (3_125_000, 400_000_000)
_ICE40_VCO_HZ = (533_000_000, 1_066_000_000)
_ICE40_DETECTOR_HZ = (10_000_000, 133_000_000)
_ICE40_OUTPUT_HZ = (16_000_000, 275_000_000)
# What both GW1N and GW2A allow.
_GOWIN_VCO_HZ = (500_000_000, 1_200_000_000)
_GOWIN_DETECTOR_HZ = (3_000_000, 400_000_000)
_GOWIN_OUTPUT_HZ = (4_000_000, 600_000_000)
# The oscillator on the chip of Nexus devices, and how far it may be off, both as in LiteX (NXOSCA).
_NEXUS_OSCILLATOR_HZ = 450_000_000
_NEXUS_SPREAD = Fraction(15, 100)
# Artix-7 of speed grade -1 (DS181); whole dividers only.
_MMCM_VCO_HZ = (600_000_000, 1_200_000_000)
_MMCM_DETECTOR_HZ = (10_000_000, 450_000_000)
_MMCM_OUTPUT_HZ = (4_690_000, 800_000_000)
# Operating mode "economy", as in nextpnr's search for settings (pll.cc of himbaechel-gatemate): the
# oscillator, what N2 and M2 may get, and the output, whose lower limit is our choice.
_GATEMATE_DCO_HZ = (1_000_000_000, 2_000_000_000)
_GATEMATE_SECOND_HZ = 625_000_000
_GATEMATE_OUTPUT_HZ = (5_000_000, 312_500_000)
_GOWIN_OUTPUT_DIVS = (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)


@dataclass(frozen=True)
class PllSettings:
    """Settings of one PLL, or of an oscillator on the chip.

    Attributes
    ----------
    kind
        Cell type: ``EHXPLLL``, ``SB_PLL40_2_PAD``, ``SB_PLL40_CORE``, ``rPLL``, ``OSCA``,
        ``CC_PLL`` or ``MMCME2_BASE``.
    input_hz
        Frequency of the board's oscillator.
    output_hz
        Frequency of the clock made from it, exact; of an ``OSCA`` the nominal one.
    parameters
        Parameters of the cell that depend on the frequency.
    spread
        By what share the frequency may lie above ``output_hz``.
    """

    kind: str
    input_hz: int
    output_hz: Fraction
    parameters: Mapping[str, int]
    spread: Fraction = Fraction(0)

    @property
    def output_mhz(self) -> float:
        """The output frequency in MHz."""
        return float(self.output_hz / 1_000_000)


def best_pll(kind: str, input_hz: int, limit_hz: float) -> PllSettings:
    """The settings with the highest output frequency that is never above ``limit_hz``.

    Raises
    ------
    ValueError
        If the kind is unknown or no setting is that slow.
    """
    candidates = _CANDIDATES.get(kind)
    if candidates is None:
        raise ValueError(f"kind must be one of {', '.join(_CANDIDATES)}, not {kind!r}")
    best = max(
        (p for p in candidates(input_hz) if p.output_hz * (1 + p.spread) <= limit_hz),
        key=lambda pll: pll.output_hz,
        default=None,
    )
    if best is None:
        raise ValueError(f"{kind} makes no clock of {limit_hz / 1e6:g} MHz from {input_hz} Hz")
    return best


def _within(value: Fraction, limits: tuple[int, int]) -> bool:
    return limits[0] <= value <= limits[1]


def _ecp5_candidates(input_hz: int) -> Iterator[PllSettings]:
    # The loop is closed over CLKOP, and the design takes CLKOS: its divider is free of the
    # feedback, so the frequencies lie much closer than the oscillator's multiples.
    for input_div in range(1, 129):
        detector = Fraction(input_hz, input_div)
        if not _within(detector, _ECP5_DETECTOR_HZ):
            continue
        for multiple in range(1, 81):
            vco = detector * multiple * _ECP5_FEEDBACK_DIV
            if not _within(vco, _ECP5_VCO_HZ):
                continue
            for output_div in range(1, 129):
                output = vco / output_div
                if _within(output, _ECP5_OUTPUT_HZ):
                    yield PllSettings(
                        "EHXPLLL",
                        input_hz,
                        output,
                        {
                            "CLKI_DIV": input_div,
                            "CLKFB_DIV": multiple,
                            "CLKOS_DIV": output_div,
                            "CLKOS_CPHASE": output_div - 1,
                        },
                    )


_ECP5_FEEDBACK_DIV = 2


def _ice40_candidates(kind: str, input_hz: int) -> Iterator[PllSettings]:
    for input_div in range(16):
        detector = Fraction(input_hz, input_div + 1)
        if not _within(detector, _ICE40_DETECTOR_HZ):
            continue
        for multiple in range(128):
            vco = detector * (multiple + 1)
            if not _within(vco, _ICE40_VCO_HZ):
                continue
            for output_exponent in range(1, 7):
                output = vco / (1 << output_exponent)
                if _within(output, _ICE40_OUTPUT_HZ):
                    yield PllSettings(
                        kind,
                        input_hz,
                        output,
                        {
                            "DIVR": input_div,
                            "DIVF": multiple,
                            "DIVQ": output_exponent,
                            "FILTER_RANGE": _ice40_filter_range(detector),
                        },
                    )


def _ice40_filter_range(detector_hz: Fraction) -> int:
    limits_mhz = (17, 26, 44, 66, 101)
    return 1 + sum(detector_hz >= limit * 1_000_000 for limit in limits_mhz)


def _gowin_candidates(input_hz: int) -> Iterator[PllSettings]:
    for input_div in range(1, 65):
        detector = Fraction(input_hz, input_div)
        if not _within(detector, _GOWIN_DETECTOR_HZ):
            continue
        for multiple in range(1, 65):
            output = detector * multiple
            fitting = (d for d in _GOWIN_OUTPUT_DIVS if _within(output * d, _GOWIN_VCO_HZ))
            output_div = next(fitting, None)
            if output_div is not None and _within(output, _GOWIN_OUTPUT_HZ):
                parameters = {
                    "IDIV_SEL": input_div - 1,
                    "FBDIV_SEL": multiple - 1,
                    "ODIV_SEL": output_div,
                }
                yield PllSettings("rPLL", input_hz, output, parameters)


def _nexus_candidates(input_hz: int) -> Iterator[PllSettings]:
    for divider in range(2, 257):
        yield PllSettings(
            "OSCA",
            input_hz,
            Fraction(_NEXUS_OSCILLATOR_HZ, divider),
            {"HF_CLK_DIV": divider - 1},
            _NEXUS_SPREAD,
        )


def _mmcm_candidates(input_hz: int) -> Iterator[PllSettings]:
    for input_div in range(1, 107):
        detector = Fraction(input_hz, input_div)
        if not _within(detector, _MMCM_DETECTOR_HZ):
            continue
        for multiple in range(2, 65):
            vco = detector * multiple
            if not _within(vco, _MMCM_VCO_HZ):
                continue
            for output_div in range(1, 129):
                output = vco / output_div
                if _within(output, _MMCM_OUTPUT_HZ):
                    parameters = {
                        "DIVCLK_DIVIDE": input_div,
                        "CLKFBOUT_MULT_F": multiple,
                        "CLKOUT0_DIVIDE_F": output_div,
                    }
                    yield PllSettings("MMCME2_BASE", input_hz, output, parameters)


def _gatemate_candidates(input_hz: int) -> Iterator[PllSettings]:
    # The oscillator's clock, halved, goes through N1 and N2 to the detector, and through M1 and M2,
    # whose product is even, to the output, which halves it once more. A frequency that can be made
    # in several ways is made as nextpnr does, which prefers the middle of the oscillator's range:
    # best first.
    middle_hz = sum(_GATEMATE_DCO_HZ) // 2
    multiples: dict[int, tuple[int, int]] = {}
    for n1, n2 in product(range(1, 64), range(1, 1024)):
        if input_hz * n2 <= _GATEMATE_SECOND_HZ:
            have = multiples.get(n1 * n2)
            if have is None or n1 + n2 < sum(have):
                multiples[n1 * n2] = n1, n2

    def badness(multiple: int) -> int:
        dco_hz = input_hz * 2 * multiple
        return 24 * abs(dco_hz - middle_hz) + dco_hz

    for multiple in sorted(multiples, key=badness):
        half_hz = input_hz * multiple
        low, high = _GATEMATE_DCO_HZ
        if not low < 2 * half_hz <= high:
            continue
        m1 = 1 if half_hz <= _GATEMATE_SECOND_HZ else 2
        n1, n2 = multiples[multiple]
        for m2 in range(2 // m1, 1024, 2 // m1):
            output = Fraction(half_hz, 2 * m1 * m2)
            if _within(output, _GATEMATE_OUTPUT_HZ):
                parameters = {"CFG_A_N1": n1, "CFG_A_N2": n2, "CFG_A_M1": m1, "CFG_A_M2": m2}
                yield PllSettings("CC_PLL", input_hz, output, parameters)


_CANDIDATES: Mapping[str, Callable[[int], Iterator[PllSettings]]] = {
    "EHXPLLL": _ecp5_candidates,
    "SB_PLL40_2_PAD": partial(_ice40_candidates, "SB_PLL40_2_PAD"),
    "SB_PLL40_CORE": partial(_ice40_candidates, "SB_PLL40_CORE"),
    "rPLL": _gowin_candidates,
    "OSCA": _nexus_candidates,
    "CC_PLL": _gatemate_candidates,
    "MMCME2_BASE": _mmcm_candidates,
}


class ClockGenerator(Elaboratable):
    """Drives the domains ``board`` (the oscillator itself) and ``sync`` (from the PLL).

    The parent defines them; ``board`` has no reset.
    ``sync`` is in reset until the PLL has locked and `hold_cycles` of the oscillator have
    passed: block RAMs of the iCE40 read zeros in the first microseconds after configuration.

    Parameters
    ----------
    settings
        See `best_pll`.
    pin
        The oscillator's ``IOPort`` if ``settings.kind`` is ``SB_PLL40_2_PAD``, else the clock as a
        value.
    """

    hold_cycles = 256

    def __init__(self, settings: PllSettings, pin) -> None:
        self.settings, self.pin = settings, pin

    def elaborate(self, platform):
        m = Module()
        locked = Signal()
        kinds: dict[str, Callable[[Module, Signal], Instance]] = {
            "EHXPLLL": self._ecp5,
            "SB_PLL40_2_PAD": self._ice40_pad,
            "SB_PLL40_CORE": self._ice40_core,
            "rPLL": partial(self._gowin, platform),
            "OSCA": self._nexus,
            "CC_PLL": self._gatemate,
            "MMCME2_BASE": self._mmcm,
        }
        make = kinds[self.settings.kind]
        m.submodules[PLL_CELL_NAME] = make(m, locked)

        held = Signal(range(self.hold_cycles + 1), init=self.hold_cycles)
        with m.If(held != 0):
            m.d.board += held.eq(held - 1)
        ready = Signal()
        m.d.board += ready.eq(held == 0)
        m.submodules.reset = ResetSynchronizer(~(locked & ready), domain="sync")
        return m

    def _ecp5(self, m: Module, locked: Signal) -> Instance:
        m.d.comb += ClockSignal("board").eq(self.pin)
        feedback = Signal()
        return Instance(
            "EHXPLLL",
            # Charge pump and loop filter as the vendor's generator sets them.
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_FEEDBK_PATH="CLKOP",
            p_OUTDIVIDER_MUXA="DIVA",
            p_OUTDIVIDER_MUXB="DIVB",
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=_ECP5_FEEDBACK_DIV,
            p_CLKOP_CPHASE=_ECP5_FEEDBACK_DIV - 1,
            p_CLKOP_FPHASE=0,
            p_CLKOS_ENABLE="ENABLED",
            p_CLKOS_FPHASE=0,
            **{f"p_{name}": value for name, value in self.settings.parameters.items()},
            i_CLKI=ClockSignal("board"),
            i_CLKFB=feedback,
            i_RST=Const(0),
            i_STDBY=Const(0),
            i_PHASESEL0=Const(0),
            i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(0),
            i_PHASESTEP=Const(0),
            i_PHASELOADREG=Const(0),
            i_PLLWAKESYNC=Const(0),
            i_ENCLKOP=Const(0),
            i_ENCLKOS=Const(0),
            o_CLKOP=feedback,
            o_CLKOS=ClockSignal("sync"),
            o_LOCK=locked,
        )

    def _ice40_pad(self, m: Module, locked: Signal) -> Instance:
        # The oscillator's pin is the pad of the only PLL, so nothing else can read it: the
        # two-output PLL hands it on as well.
        return Instance(
            "SB_PLL40_2_PAD",
            p_FEEDBACK_PATH="SIMPLE",
            p_PLLOUT_SELECT_PORTB="GENCLK",
            **{f"p_{name}": value for name, value in self.settings.parameters.items()},
            i_PACKAGEPIN=self.pin,
            i_RESETB=Const(1),
            i_BYPASS=Const(0),
            o_PLLOUTGLOBALA=ClockSignal("board"),
            o_PLLOUTGLOBALB=ClockSignal("sync"),
            o_LOCK=locked,
        )

    def _ice40_core(self, m: Module, locked: Signal) -> Instance:
        m.d.comb += ClockSignal("board").eq(self.pin)
        return Instance(
            "SB_PLL40_CORE",
            p_FEEDBACK_PATH="SIMPLE",
            **{f"p_{name}": value for name, value in self.settings.parameters.items()},
            i_REFERENCECLK=self.pin,
            i_RESETB=Const(1),
            i_BYPASS=Const(0),
            o_PLLOUTGLOBAL=ClockSignal("sync"),
            o_LOCK=locked,
        )

    def _gowin(self, platform: Any, m: Module, locked: Signal) -> Instance:
        m.d.comb += ClockSignal("board").eq(self.pin)
        static = {f"p_DYN_{name}_SEL": "false" for name in ("IDIV", "FBDIV", "ODIV")}
        # CLKFB stays open: tied to zero, it has nextpnr look for a clock divider behind every input
        # of a GW2A's PLL that is zero, which takes longer than to place a small design.
        unused = ("RESET", "RESET_P")
        return Instance(
            "rPLL",
            p_FCLKIN=f"{self.settings.input_hz / 1e6:g}",
            p_DEVICE=platform.family,
            p_CLKFB_SEL="internal",
            **static,
            **{f"p_{name}": value for name, value in self.settings.parameters.items()},
            i_CLKIN=self.pin,
            **{f"i_{name}": Const(0) for name in unused},
            **{f"i_{name}": Const(0, 6) for name in ("FBDSEL", "IDSEL", "ODSEL")},
            **{f"i_{name}": Const(0, 4) for name in ("PSDA", "DUTYDA", "FDLY")},
            o_CLKOUT=ClockSignal("sync"),
            o_LOCK=locked,
        )

    def _nexus(self, m: Module, locked: Signal) -> Instance:
        # The PLL's loop filter would have to be computed anew for each frequency; the oscillator on
        # the chip has a divider and nothing else. There is no lock to wait for.
        m.d.comb += [ClockSignal("board").eq(self.pin), locked.eq(1)]
        return Instance(
            "OSCA",
            **{f"p_{name}": str(value) for name, value in self.settings.parameters.items()},
            p_HF_OSC_EN="ENABLED",
            i_HFOUTEN=Const(1),
            i_HFSDSCEN=Const(0),
            o_HFCLKOUT=ClockSignal("sync"),
        )

    def _gatemate(self, m: Module, locked: Signal) -> Instance:
        m.d.comb += ClockSignal("board").eq(self.pin)
        unused = ("CLK_FEEDBACK", "USR_CLK_REF", "USR_LOCKED_STDY_RST")
        return Instance(
            "CC_PLL",
            p_REF_CLK=f"{self.settings.input_hz / 1e6:.4f}",
            # nextpnr finds the dividers itself.
            p_OUT_CLK=f"{self.settings.output_mhz:.4f}",
            p_PERF_MD="ECONOMY",
            p_LOCK_REQ=1,
            p_LOW_JITTER=1,
            p_CI_FILTER_CONST=2,
            p_CP_FILTER_CONST=4,
            i_CLK_REF=self.pin,
            **{f"i_{name}": Const(0) for name in unused},
            o_CLK0=ClockSignal("sync"),
            o_USR_PLL_LOCKED=locked,
        )

    def _mmcm(self, m: Module, locked: Signal) -> Instance:
        feedback, output = Signal(), Signal()
        m.submodules.board_buffer = Instance("BUFG", i_I=self.pin, o_O=ClockSignal("board"))
        m.submodules.sync_buffer = Instance("BUFG", i_I=output, o_O=ClockSignal("sync"))
        divisors = dict(self.settings.parameters)
        return Instance(
            "MMCME2_BASE",
            p_CLKIN1_PERIOD=1e9 / self.settings.input_hz,  # in nanoseconds
            p_DIVCLK_DIVIDE=divisors.pop("DIVCLK_DIVIDE"),
            # Those that might be fractions are real numbers to Verilog.
            **{f"p_{name}": float(value) for name, value in divisors.items()},
            i_CLKIN1=ClockSignal("board"),
            i_CLKFBIN=feedback,
            i_RST=Const(0),
            i_PWRDWN=Const(0),
            o_CLKFBOUT=feedback,
            o_CLKOUT0=output,
            o_LOCKED=locked,
        )
