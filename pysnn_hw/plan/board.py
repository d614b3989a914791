# SPDX-License-Identifier: BSD-2-Clause
"""Boards: what a planner may spend and what a build must know, read from TOML files.

A board without a file in ``boards/`` is used by giving the path of a file of the same form.
"""

import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pysnn_hw.errors import BoardError
from pysnn_hw.resources import resource_dir

__all__ = [
    "Board",
    "Budget",
    "ClockInput",
    "Device",
    "Flash",
    "Link",
    "MemoryBudget",
    "Processor",
    "list_boards",
    "load_board",
]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Device(_Table):
    """The FPGA.

    Attributes
    ----------
    family
        Picks synthesis and place-and-route.
    name
        Part number without package and speed.
    package, speed
        As nextpnr spells them, or Vivado for Xilinx; ``speed`` is empty where a family has one
        grade, or where the name tells it. For Gowin ``package`` is the die, as the packer calls it.
    """

    family: Literal["ecp5", "gatemate", "gowin", "ice40", "nexus", "xilinx7"]
    name: str
    package: str
    speed: str


class MemoryBudget(_Table):
    """One kind of memory block.

    Attributes
    ----------
    cell
        Its name in a netlist.
    count
        Blocks on the chip.
    bits
        Bits of one block, parity bits included.
    """

    cell: str
    count: int = Field(gt=0)
    bits: int = Field(gt=0)


class Budget(_Table):
    """What the chip has: LUTs (6 inputs on Xilinx 7, else 4), flip-flops, multipliers, memories."""

    luts: int = Field(gt=0)
    ffs: int = Field(gt=0)
    dsps: int = Field(ge=0)
    bram: MemoryBudget
    spram: MemoryBudget | None = None


class ClockInput(_Table):
    """The oscillator and the PLL behind it.

    Attributes
    ----------
    resource
        Name of the pin in the platform, or of the processor's clock output.
    hz
        Frequency of the oscillator, or asked of the processor.
    pll
        Cell type; ``PS7`` for the PLL inside the processor of a Zynq.
    target_hz
        Clock that place-and-route strives for; the PLL is then set to what it reached. With a
        vendor's tool it is set to this, and that tool's script fails if timing does not close.
    enough_hz
        Below this, place-and-route tries again from other starting points.
    most_hz
        No clock above this is set, whatever place-and-route says of the timing; no limit if absent.
    """

    resource: str
    hz: int = Field(gt=0)
    pll: Literal[
        "EHXPLLL",
        "SB_PLL40_2_PAD",
        "SB_PLL40_CORE",
        "rPLL",
        "OSCA",
        "CC_PLL",
        "MMCME2_BASE",
        "PS7",
    ]
    target_hz: int = Field(gt=0)
    enough_hz: int = Field(gt=0)
    most_hz: int | None = Field(default=None, gt=0)


class Link(_Table):
    """The UART to the host: name of its pins in the platform, bits per second."""

    resource: str
    baud: int = Field(gt=0)


class Flash(_Table):
    """The configuration flash: its pins, and where the boot image lies in it, in bytes."""

    resource: str
    boot_offset: int = Field(ge=0)


class Processor(_Table):
    """The processing system of a Zynq, which the accelerator serves over AXI.

    Attributes
    ----------
    ip
        Its core in Vivado's catalogue, ``vendor:library:name``.
    board_part
        Vivado's name of the board, whose settings the processor takes where they are installed.
    """

    ip: str
    board_part: str


class Board(_Table):
    """A board; see ``boards/*.toml``. It has pins and a link to the host, or a processor.

    Attributes
    ----------
    name
        What the user calls it: the file name without ``.toml``.
    title
        What to call it in reports.
    platform
        ``module:class`` of its Amaranth platform; None with a processor, which has all pins.
    source
        The public documents that pins and budget come from.
    loader_name
        What openFPGALoader calls the board; empty if it has no name for it.
    link
        The UART; None with a processor.
    flash
        Present where memories are loaded from the flash at power-up.
    processor
        Present where the accelerator is a peripheral of one.
    """

    name: str
    title: str
    platform: str | None = Field(default=None, pattern=r"^[\w.]+:\w+$")
    source: str
    loader_name: str = ""
    device: Device
    budget: Budget
    clock: ClockInput
    link: Link | None = None
    flash: Flash | None = None
    processor: Processor | None = None

    @model_validator(mode="after")
    def _pins_or_processor(self) -> Self:
        pins = self.platform is not None, self.link is not None
        if pins != ((self.processor is None),) * 2:
            raise ValueError("needs platform and link, or a processor instead of both")
        return self


def list_boards() -> list[str]:
    """Names of the boards that come with the package, sorted."""
    return sorted(path.stem for path in resource_dir("boards").glob("*.toml"))


def load_board(name_or_path: str | Path) -> Board:
    """A board by name, or from a file of the user's own (anything that ends in ``.toml``).

    Raises
    ------
    BoardError
        If there is no such board or file, or a field of it is missing, unknown or out of range.
    """
    if str(name_or_path).endswith(".toml"):
        path = Path(name_or_path)
    elif (name := str(name_or_path)) in list_boards():
        path = resource_dir("boards") / f"{name}.toml"
    else:
        raise BoardError(
            f"board {name!r}", "unknown", f"use one of {', '.join(list_boards())}, or a .toml file"
        )
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BoardError(str(path), f"cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BoardError(str(path), f"is not TOML ({error})") from error
    try:
        return Board.model_validate({**fields, "name": path.stem})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BoardError(f"{path}: {field}" if field else str(path), first["msg"]) from error
