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
        Of the textual bitstream that nextpnr wrote, word by word; of a GateMate also the settings
        of memories and clocks, but no words of zeros, which its unpacker leaves out. 0 for an
        ECP5: there one setting has several names, so that texts differ where bits do not.
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
            "unpacking",
            f"there is no tool for bitstreams of {device.family}",
            "use ecp5, gatemate or ice40",
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
    compared = _TILES.get(device.family)
    tiles = 0 if compared is None else _same_tiles(unpacker.name, *map(compared, (made, found)))
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


def _same_tiles(tool: str, tiles: Sections, others: Sections) -> int:
    """How many tiles there are, all of them equal."""
    for title in (*tiles, *others):
        if tiles.get(title) != others.get(title):
            raise ToolError(tool, f"tile {title[1:]} is not as nextpnr wrote it")
    return len(tiles)


def _ice40_tiles(text: Sections) -> Sections:
    return {k: v for k, v in text.items() if re.match(r"\.\w+_tile \d+ \d+$", k)}


def _gatemate_tiles(text: Sections) -> Sections:
    found = {}
    for title, lines in text.items():
        words = tuple(sorted(line for line in lines if "1" in line.split()[-1]))
        if words and re.match(r"\.(tile|bram|config) ", title):
            found[title] = words
    return found


_TILES: Mapping[str, Callable[[Sections], Sections]] = {
    "gatemate": _gatemate_tiles,
    "ice40": _ice40_tiles,
}


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
    2,048 words of nine bits of an ECP5 (``.bram_init``), 2,560 bytes of half a block of a GateMate.
    """
    title, bits, halves = _TITLES[family]
    blocks = []
    for key, body in found.items():
        if key.startswith(title):
            words = [int(word, 16) for line in body for word in line.split()]
            blocks += [(part, bits) for part in _parts(words, halves)]
    return _contents(blocks)


_TITLES = {
    "ice40": (".ram_data ", 256, 1),
    "ecp5": (".bram_init ", 9, 1),
    "gatemate": (".bram_init ", 8, 2),
}
"""What the name of a section with contents begins with, bits of a word, halves of a block."""


def netlist_words(netlist: Mapping[str, Any], family: str) -> Counter[int]:
    """Contents of the blocks of RAM in a netlist of yosys, as `memory_words` gives them."""
    blocks = []
    for cell in netlist["modules"]["top"]["cells"].values():
        if (kind := _BLOCKS[family].get(cell["type"])) is not None:
            names = [f"{kind.prefix}{k:0{kind.digits}X}" for k in range(kind.rows)]
            rows = [str(cell["parameters"].get(name, "0")) for name in names]
            values = [int(re.sub("[xz]", "0", row), 2) for row in rows]
            words = [word for value in values for word in kind.cut(value)]
            blocks += [(part, kind.bits) for part in _parts(words, kind.halves)]
    return _contents(blocks)


def _halves(value: int) -> list[int]:
    """Nine-bit words of one parameter of a DP16KD: 16 words of 18 bits, each padded to 20."""
    words = ((value >> 20 * k) & 0x3FFFF for k in range(16))
    return [half for word in words for half in (word & 0x1FF, word >> 9)]


def _bytes(value: int) -> list[int]:
    """Bytes of one parameter of a CC_BRAM_20K or CC_BRAM_40K."""
    return list(value.to_bytes(40, "little"))


def _parts(words: list[int], halves: int) -> list[list[int]]:
    """Contents of the halves of a GateMate's block: five bytes of the one, five of the other."""
    return [[w for k, w in enumerate(words) if k // 5 % halves == half] for half in range(halves)]


@dataclass(frozen=True)
class _Block:
    """How a cell holds contents: parameters of so many digits, cut into words of so many bits."""

    prefix: str
    digits: int
    rows: int
    bits: int
    cut: Callable[[int], list[int]]
    halves: int = 1


_BLOCKS: Mapping[str, Mapping[str, _Block]] = {
    "ice40": {"SB_RAM40_4K": _Block("INIT_", 1, 16, 256, lambda value: [value])},
    "ecp5": {"DP16KD": _Block("INITVAL_", 2, 64, 9, _halves)},
    "gatemate": {
        "CC_BRAM_20K": _Block("INIT_", 2, 64, 8, _bytes),
        "CC_BRAM_40K": _Block("INIT_", 2, 128, 8, _bytes, halves=2),
    },
}


def _contents(blocks: list[tuple[list[int], int]]) -> Counter[int]:
    packed = (
        sum(word << bits * place for place, word in enumerate(words)) for words, bits in blocks
    )
    return Counter(content for content in packed if content)
