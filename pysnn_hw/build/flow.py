# SPDX-License-Identifier: BSD-2-Clause
"""From a design to a bitstream for a board, at the best clock that its timing closes at."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pysnn_hw.build.families import FAMILIES, Family, retune_netlist
from pysnn_hw.build.flash import flash_image
from pysnn_hw.build.platforms import platform_of
from pysnn_hw.build.reports import Report, Usage, count_cells, read_report
from pysnn_hw.build.stage import run_stage, write
from pysnn_hw.build.toolchain import Progress, Tool, Toolchain, find_toolchain
from pysnn_hw.build.top import BoardTop, linked
from pysnn_hw.errors import PlanError, ToolError
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.hdl.block_memory import NO_CHECK
from pysnn_hw.hdl.clock import PllSettings, best_pll
from pysnn_hw.hdl.delay import COPIED
from pysnn_hw.plan.board import Board, Device

__all__ = [
    "BuildResult",
    "build_accelerator",
    "build_bitstream",
    "clock_limit_hz",
    "reading_script",
    "synthesis_script",
    "without_brackets",
]

MAX_TRIES = 3
"""Most seeds of the placer that are tried."""

_GIVEN_UP = {
    "does not fit": (
        "unable to place cell",
        "failed to place",
        "no bels remaining",
        "unable to find",
    ),
    "could be placed but not routed": ("failed to route arc", "failed to find a route for arc"),
}
"""What nextpnr's last words say of a design."""

_YOSYS_PROGRESS = r"^\d+\.\d+\. (Executing \w+ pass.*)\.$"
_NEXTPNR_PROGRESS = (
    r"^Info: (Packing .*|Running .* placer.*|Creating initial.*|Routing\.\.|Running router.*"
    r"|Routing globals.*|Max frequency for clock.*)"
)


@dataclass(frozen=True)
class BuildResult:
    """A bitstream and what nextpnr says of it.

    Attributes
    ----------
    bitstream
        The file.
    flash_image
        The same file followed by the boot image, to be written to the flash instead; None if
        no memory is loaded from there.
    fmax_mhz
        Highest clock at which timing closes; where nextpnr's figures are known to be too high, so
        much less than it says.
    clock_mhz
        What the PLL is set to; not above ``fmax_mhz``.
    lut, ff, bram, dsp, spram
        Used and available.
    versions
        Of the tools, by name.
    logs
        What the tools said.
    """

    bitstream: Path
    flash_image: Path | None
    fmax_mhz: float
    clock_mhz: float
    lut: Usage
    ff: Usage
    bram: Usage
    dsp: Usage
    spram: Usage
    versions: dict[str, str]
    logs: tuple[Path, ...]


def build_bitstream(
    design: Any,
    board: Board,
    out_dir: Path,
    *,
    name: str = "top",
    clock_hz: float | None = None,
    seed: int = 1,
    contents: bytes = b"",
    progress: Progress | None = None,
) -> BuildResult:
    """Synthesises, places and routes, then sets the PLL to the best clock reached.

    Placement is a matter of luck: if it fails, or the clock stays below what the board file calls
    enough, other seeds are tried, `MAX_TRIES` in all, and the best is taken. The same design,
    board, settings and tools give the same bitstream. Stages whose inputs have not changed since
    the last call are not repeated; an interrupted call leaves no half-written product.

    Parameters
    ----------
    design
        See `BoardTop`.
    board
        The board.
    out_dir
        Folder of all products, created if needed.
    name
        Stem of their names.
    clock_hz
        Upper limit of the clock; by default what the timing allows.
    seed
        Of the placer's first try.
    contents
        What the boot image must hold, if the design reads one from the board's flash.
    progress
        Called with what happens.

    Raises
    ------
    PlanError
        If the design does not fit the device.
    ToolError
        If a tool is missing or fails.
    """
    tools = find_toolchain(board.device.family)
    out_dir.mkdir(parents=True, exist_ok=True)
    build = _Build(board, FAMILIES[board.device.family], tools, out_dir, name, seed, progress)
    # A limit below the usual goal leaves netlist and placement as they are.
    goal_hz = max(clock_hz or 0, board.clock.target_hz)
    goal = best_pll(board.clock.pll, board.clock.hz, goal_hz)
    netlist = build.synthesise(BoardTop(design, board, goal))
    limit_hz = clock_limit_hz(board, clock_hz)
    enough_mhz = min(limit_hz, board.clock.enough_hz) / 1e6
    routed = build.route_until(netlist, enough_mhz / build.family.believed)
    build.check_oscillator_domain(routed)
    reached_hz = build.fmax_mhz(routed) * 1e6
    pll = best_pll(board.clock.pll, board.clock.hz, min(limit_hz, reached_hz))
    bitstream = build.pack(routed, pll)
    return build.result(routed, netlist, pll, bitstream, build.flash_image(bitstream, contents))


def build_accelerator(
    accelerator: Accelerator,
    board: Board,
    out_dir: Path,
    *,
    name: str = "accelerator",
    clock_hz: float | None = None,
    seed: int = 1,
    progress: Progress | None = None,
) -> BuildResult:
    """`build_bitstream` of an accelerator behind the link of its board."""
    return build_bitstream(
        linked(accelerator, board),
        board,
        out_dir,
        name=name,
        clock_hz=clock_hz,
        seed=seed,
        contents=accelerator.boot_contents() if board.flash else b"",
        progress=progress,
    )


def clock_limit_hz(board: Board, clock_hz: float | None) -> float:
    """The lower one of a user's limit and the board's, infinite if there is neither."""
    return min(clock_hz or math.inf, board.clock.most_hz or math.inf)


def synthesis_script(device: Device, source: str, netlist: str) -> str:
    """Commands of yosys that make a JSON netlist from a design with top module ``top``."""
    family = FAMILIES[device.family]
    before = after = ""
    if family.constants_apart:
        # Where ABC sees the whole design, it saves tables on every path that looks shorter than
        # the longest carry chain, so that a bit of a word comes through seven tables, each a long
        # wire away from the one before.
        before = (
            "select -set constants a:rom_style=logic t:$mem_v2 %i %m; "
            "setattr -mod -set keep_hierarchy 1 @constants; "
        )
        after = "setattr -mod -unset keep_hierarchy *; flatten; clean; autoname; "
    return f"{reading_script(source)}; {before}{family.synth(device)}; {after}write_json {netlist}"


def reading_script(source: str) -> str:
    """Commands of yosys that read a design with top module ``top``, up to its synthesis."""
    # SPRAM has no initial contents, and yosys maps only memories that ask for none. A word that is
    # read as it is written comes out old unless the memory says that nobody cares. Registers that
    # are copies on purpose would be merged.
    return (
        f"read_rtlil {source}; hierarchy -top top; proc; memory_collect; "
        "setparam -set INIT 1'x a:ram_style=huge t:$mem_v2 %i; "
        f"setparam -set RD_COLLISION_X_MASK 1'1 a:{NO_CHECK} t:$mem_v2 %i r:WR_PORTS=1 %i; "
        f"setattr -set keep 1 a:{COPIED} %ci1:+[Q] t:$dff %i"
    )


@dataclass(frozen=True)
class _Routed:
    """What one run of nextpnr came to; its products are named after the seed."""

    seed: int
    report: Report


@dataclass(frozen=True)
class _Build:
    board: Board
    family: Family
    tools: Toolchain
    out_dir: Path
    name: str
    seed: int
    progress: Progress | None

    def path(self, suffix: str) -> Path:
        return self.out_dir / f"{self.name}.{suffix}"

    def synthesise(self, top: BoardTop) -> Path:
        platform = platform_of(self.board)
        # Without source locations, so that the folder of a checkout is nowhere in the products.
        plan = platform.build(top, name="top", do_build=False, emit_src=False)
        constraints = self.family.constraints[0]
        write(self.path("il"), without_brackets(_text(plan.files["top.il"])))
        write(self.path(constraints), _text(plan.files[f"top.{constraints}"]))
        script = synthesis_script(
            self.board.device, f"{self.name}.il", f"{self.name}.part.mapped.json"
        )
        self._stage(
            "yosys",
            self.tools.yosys,
            ["-p", script],
            inputs=[self.path("il")],
            products=["mapped.json"],
            interesting=_YOSYS_PROGRESS,
        )
        netlist = json.loads(self.path("mapped.json").read_text(encoding="utf-8"))
        self.family.refine(netlist)
        write(self.path("json"), json.dumps(netlist))
        return self.path("json")

    def route_until(self, netlist: Path, enough_mhz: float) -> _Routed:
        """The first try that reaches ``enough_mhz``, or else the best of `MAX_TRIES`."""
        done: list[_Routed] = []
        failure: Exception | None = None
        for seed in range(self.seed, self.seed + MAX_TRIES):
            try:
                done.append(self.route(netlist, seed))
            except PlanError as error:
                # Too full or too tangled from here: another start may place and route it.
                failure = failure or error
                continue
            if done[-1].report.fmax_of("clk") >= enough_mhz:
                break
        if not done and failure:
            raise failure
        return max(done, key=lambda routed: routed.report.fmax_of("clk"))

    def route(self, netlist: Path, seed: int) -> _Routed:
        constraints, constraint_arguments = self.family.constraints
        part = f"{self.name}.part.seed{seed}"
        arguments = [
            *self.family.device_arguments(self.board.device),
            *("--json", netlist.name, *constraint_arguments(f"{self.name}.{constraints}")),
            *("--seed", str(seed), "--timing-allow-fail", *self._goal()),
            *("--report", f"{part}.report.json", "--write", f"{part}.routed.json"),
        ]
        products = ["report.json", "routed.json"]
        if self.family.textual is not None:
            text, text_arguments = self.family.textual
            arguments += text_arguments(f"{part}.routed.{text}")
            products.append(f"routed.{text}")
        self._stage(
            f"seed{seed}.nextpnr",
            self.tools.nextpnr,
            arguments,
            inputs=[netlist, self.path(constraints)],
            products=[f"seed{seed}.{product}" for product in products],
            interesting=_NEXTPNR_PROGRESS,
        )
        return _Routed(seed, read_report(self.path(f"seed{seed}.report.json")))

    def _goal(self) -> tuple[str, ...]:
        if not self.family.goal:
            return ()
        return (self.family.goal, f"{self.board.clock.target_hz / 1e6:g}")

    def fmax_mhz(self, routed: _Routed) -> float:
        """The highest clock of the accelerator in MHz that is believed."""
        return routed.report.fmax_of("clk") * self.family.believed

    def pack(self, routed: _Routed, pll: PllSettings) -> Path:
        suffix = self._retuned(routed, pll)
        binary = self.family.bitstream
        self._stage(
            "pack",
            self.tools.packer,
            self.family.pack(
                self.board.device, f"{self.name}.{suffix}", f"{self.name}.part.{binary}"
            ),
            inputs=[self.path(suffix)],
            products=[binary],
        )
        return self.path(binary)

    def _retuned(self, routed: _Routed, pll: PllSettings) -> str:
        """Suffix of what the packer reads: the routed design with its PLL set."""
        stem, textual = f"seed{routed.seed}.routed", self.family.textual
        if textual is not None and self.family.retune is not None:
            configuration = self.path(f"{stem}.{textual[0]}").read_text(encoding="utf-8")
            write(self.path(textual[0]), self.family.retune(configuration, pll))
            return textual[0]
        netlist = json.loads(self.path(f"{stem}.json").read_text(encoding="utf-8"))
        retune_netlist(netlist, pll)
        write(self.path("retuned.json"), json.dumps(netlist))
        if textual is None:
            return "retuned.json"
        text, text_arguments = textual
        arguments = [
            *self.family.device_arguments(self.board.device),
            *("--json", f"{self.name}.retuned.json", *text_arguments(f"{self.name}.part.{text}")),
            *("--no-pack", "--no-place", "--no-route"),
        ]
        self._stage(
            "retune",
            self.tools.nextpnr,
            arguments,
            inputs=[self.path("retuned.json")],
            products=[text],
        )
        return text

    def flash_image(self, bitstream: Path, contents: bytes) -> Path | None:
        if not contents:
            return None
        path = bitstream.with_name(f"{bitstream.stem}_flash{bitstream.suffix}")
        write(path, flash_image(bitstream.read_bytes(), contents, self.board))
        return path

    def check_oscillator_domain(self, routed: _Routed) -> None:
        needed_mhz = self.board.clock.hz / 1e6
        reached = routed.report.fmax_mhz.items()
        slow = min((mhz for name, mhz in reached if name != "clk"), default=math.inf)
        slow *= self.family.believed
        if slow < needed_mhz:
            raise ToolError(
                "nextpnr",
                f"the link reaches {slow:.1f} MHz, the oscillator has {needed_mhz:g} MHz",
                f"its log is {self.path(f'seed{routed.seed}.nextpnr.log')}",
            )

    def result(
        self,
        routed: _Routed,
        netlist: Path,
        pll: PllSettings,
        bitstream: Path,
        flash_image: Path | None,
    ) -> BuildResult:
        family, nothing = self.family, Usage(0, 0)
        report = routed.report
        used = report.utilisation
        lut, bram = report.usage(family.lut), used[family.bram]
        cells = count_cells(json.loads(netlist.read_text(encoding="utf-8")))
        if family.bram_cells:
            blocks = sum(cells[cell] * count for cell, count in family.bram_cells.items())
            bram = Usage(blocks, bram.available)
        if family.ff:
            ff = used[family.ff]
        else:
            count = sum(n for cell, n in cells.items() if cell.startswith(family.ff_cells))
            ff = Usage(count, lut.available)
        return BuildResult(
            bitstream=bitstream,
            flash_image=flash_image,
            fmax_mhz=self.fmax_mhz(routed),
            clock_mhz=pll.output_mhz,
            lut=lut,
            ff=ff,
            bram=bram,
            dsp=report.usage(family.dsp),
            spram=used.get(family.spram, nothing),
            versions=self.tools.versions,
            logs=tuple(
                self.path(f"{stage}.log")
                for stage in ("yosys", f"seed{routed.seed}.nextpnr", "pack")
            ),
        )

    def _stage(
        self,
        stage: str,
        tool: Tool,
        arguments: Sequence[str],
        *,
        inputs: Sequence[Path],
        products: Sequence[str],
        interesting: str = r"(?!)",
    ) -> None:
        try:
            run_stage(
                tool,
                arguments,
                stem=self.path(stage),
                inputs=inputs,
                products={self.path(f"part.{p}"): self.path(p) for p in products},
                progress=self.progress,
                interesting=interesting,
            )
        except ToolError as error:
            raise _explained(error, self.board) from error


def _explained(error: ToolError, board: Board) -> Exception:
    for outcome, signs in _GIVEN_UP.items():
        if any(sign in error.problem.lower() for sign in signs):
            return PlanError(board.title, f"the design {outcome} ({error.problem})", error.hint)
    return error


def without_brackets(netlist: str) -> str:
    """RTLIL whose names hold no ``[ ]``: Amaranth calls the fields of an array ``name[0]``.

    ABC9 splits buses into bits of just such names, and yosys stops where the two meet.
    """
    return re.sub(r"\\\S*\[\S*", lambda name: name[0].replace("[", "<").replace("]", ">"), netlist)


def _text(content: str | bytes) -> str:
    return content if isinstance(content, str) else content.decode()
