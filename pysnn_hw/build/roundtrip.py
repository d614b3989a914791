# SPDX-License-Identifier: BSD-2-Clause
"""Takes a bitstream apart again and compares it with what it was made of."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pysnn_hw.build.families import FAMILIES
from pysnn_hw.build.toolchain import find_toolchain, find_unpacker
from pysnn_hw.errors import ToolError
from pysnn_hw.plan.board import Device

__all__ = ["RoundTrip", "check_bitstream", "memory_words", "netlist_words"]

Sections = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class RoundTrip:
    """What was compared and found equal.

    Attributes
    ----------
    tiles
        Of the textual bitstream that nextpnr wrote, word by word. 0 for an ECP5: there one setting
        has several names, so that texts differ where bits do not.
    memories
        Blocks of RAM with contents other than zero, the same in netlist and bitstream.
    size
        Bytes of the bitstream, which packing the unpacked text gave again, every one.
    """

    tiles: int
    memories: int
    size: int


def check_bitstream(out_dir: Path, device: Device, *, name: str = "accelerator") -> RoundTrip:
    """Unpack the bitstream that `build_bitstream` left in ``out_dir``, compare, and pack it again.

    Raises
    ------
    ToolError
        If a tool is missing or fails, or anything differs; the message names what.
    """
    family = FAMILIES[device.family]
    unpacker = find_unpacker(device.family)
    if unpacker is None or family.textual is None:
        raise ToolError(
            "unpacking", f"there is no tool for bitstreams of {device.family}", "use ecp5 or ice40"
        )
    text, binary = family.textual[0], family.bitstream
    bitstream, unpacked = f"{name}.{binary}", f"{name}.unpacked.{text}"
    again = f"{name}.again.{binary}"
    unpacker.run([bitstream, unpacked], folder=out_dir, log=out_dir / f"{name}.unpack.log")
    find_toolchain(device.family).packer.run(
        family.pack(device, unpacked, again), folder=out_dir, log=out_dir / f"{name}.again.log"
    )
    packed = (out_dir / bitstream).read_bytes()
    if (out_dir / again).read_bytes() != packed:
        raise ToolError(unpacker.name, f"{bitstream} comes out changed when it is packed again")

    made = sections((out_dir / f"{name}.{text}").read_text(encoding="utf-8"))
    found = sections((out_dir / unpacked).read_text(encoding="utf-8"))
    netlist = json.loads((out_dir / f"{name}.json").read_text(encoding="utf-8"))
    memories = _same(
        f"memories of {bitstream}",
        netlist_words(netlist, device.family),
        memory_words(found, device.family),
    )
    tiles = _same_tiles(made, found) if device.family == "ice40" else 0
    return RoundTrip(tiles, memories, len(packed))


def sections(text: str) -> Sections:
    """The lines of each section of a textual bitstream, by the line that begins it."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("."):
            lines = found.setdefault(line.strip(), [])
        elif line.strip():
            lines.append(line.strip())
    return {title: tuple(body) for title, body in found.items()}


def _same_tiles(made: Sections, found: Sections) -> int:
    """How many tiles there are, all of them equal."""
    tiles = {k: v for k, v in made.items() if _TILE.match(k)}
    others = {k: v for k, v in found.items() if _TILE.match(k)}
    for title in (*tiles, *others):
        if tiles.get(title) != others.get(title):
            raise ToolError("iceunpack", f"tile {title[1:]} is not as nextpnr wrote it")
    return len(tiles)


_TILE = re.compile(r"\.\w+_tile \d+ \d+$")


def _same(what: str, wanted: Counter[int], found: Counter[int]) -> int:
    """How many contents there are, in any order."""
    if wanted != found:
        missing, surplus = (wanted - found).total(), (found - wanted).total()
        raise ToolError(
            "round trip", f"{what}: {missing} of the netlist's are not there, {surplus} others are"
        )
    return wanted.total()


def memory_words(found: Sections, family: str) -> Counter[int]:
    """Contents of the blocks of RAM in an unpacked bitstream, those of zeros left out.

    Each is one integer, first word lowest: 16 x 256 bits of an iCE40 (lines of ``.ram_data``),
    2,048 words of nine bits of an ECP5 (``.bram_init``).
    """
    title, bits = {"ice40": (".ram_data ", 256), "ecp5": (".bram_init ", 9)}[family]
    blocks = []
    for key, body in found.items():
        if key.startswith(title):
            blocks.append(([int(word, 16) for line in body for word in line.split()], bits))
    return _contents(blocks)


def netlist_words(netlist: Mapping[str, Any], family: str) -> Counter[int]:
    """Contents of the blocks of RAM in a netlist of yosys, as `memory_words` gives them."""
    kind, prefix, numbers, bits, cut = _BLOCKS[family]
    blocks = []
    for cell in netlist["modules"]["top"]["cells"].values():
        if cell["type"] == kind:
            rows = [str(cell["parameters"].get(f"{prefix}{number}", "0")) for number in numbers]
            values = [int(re.sub("[xz]", "0", row), 2) for row in rows]
            blocks.append(([word for value in values for word in cut(value)], bits))
    return _contents(blocks)


def _halves(value: int) -> list[int]:
    """Nine-bit words of one parameter of a DP16KD: 16 words of 18 bits, each padded to 20."""
    words = ((value >> 20 * k) & 0x3FFFF for k in range(16))
    return [half for word in words for half in (word & 0x1FF, word >> 9)]


_Cut = Callable[[int], list[int]]
_BLOCKS: Mapping[str, tuple[str, str, tuple[str, ...], int, _Cut]] = {
    "ice40": ("SB_RAM40_4K", "INIT_", tuple("0123456789ABCDEF"), 256, lambda value: [value]),
    "ecp5": ("DP16KD", "INITVAL_", tuple(f"{k:02X}" for k in range(64)), 9, _halves),
}


def _contents(blocks: list[tuple[list[int], int]]) -> Counter[int]:
    packed = (
        sum(word << bits * place for place, word in enumerate(words)) for words, bits in blocks
    )
    return Counter(content for content in packed if content)
