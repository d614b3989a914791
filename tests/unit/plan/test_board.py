# SPDX-License-Identifier: BSD-2-Clause
import importlib
import re
from pathlib import Path

import pytest

from pysnn_hw.errors import BoardError
from pysnn_hw.hdl.clock import best_pll
from pysnn_hw.plan.board import list_boards, load_board
from pysnn_hw.resources import resource


def test_boards_come_with_the_package():
    assert {"icebreaker", "hx8k", "orangecrab", "ulx3s-12f", "ulx3s-85f"} <= set(list_boards())


WITH_PINS = [name for name in list_boards() if load_board(name).processor is None]


@pytest.mark.parametrize("name", WITH_PINS)
def test_every_board_has_a_platform_with_its_pins_and_a_reachable_clock(name):
    board = load_board(name)
    module, cls = board.platform.split(":")
    platform = getattr(importlib.import_module(module), cls)()
    clock, _ = platform.lookup(board.clock.resource), platform.lookup(board.link.resource)
    assert clock.clock.frequency == board.clock.hz
    name = platform.part if board.device.family == "gowin" else platform.device
    # The platforms call every Artix of an Arty an industrial one (i), Digilent's files do not.
    suffix = "i" if board.device.family == "xilinx7" else ""
    assert name.removesuffix(suffix) == board.device.name.removesuffix(suffix)
    assert best_pll(board.clock.pll, board.clock.hz, board.clock.target_hz)
    if board.flash:
        platform.lookup(board.flash.resource)


@pytest.mark.parametrize("name", WITH_PINS)
def test_uart_bit_is_a_whole_number_of_oscillator_cycles(name):
    board = load_board(name)
    assert board.clock.hz % board.link.baud == 0


def test_unknown_board_names_the_known_ones():
    with pytest.raises(BoardError, match=r"^board 'icebraker': unknown; use one of .*icebreaker, "):
        load_board("icebraker")


def own_file(tmp_path: Path, pattern: str, replacement: str) -> Path:
    text = resource("boards", "icebreaker.toml").read_text()
    changed = re.sub(pattern, replacement, text)
    assert changed != text
    path = tmp_path / "mine.toml"
    path.write_text(changed)
    return path


def test_own_board_file(tmp_path):
    board = load_board(own_file(tmp_path, "baud = .*", "baud = 500_000"))
    assert (board.name, board.link.baud) == ("mine", 500_000)


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r"luts = 5280", "luts = -1", r"mine.toml: budget.luts: .*greater than 0"),
        (r"luts = 5280\n", "", r"mine.toml: budget.luts: Field required"),
        (r"luts = 5280", "luts = '5280'", r"mine.toml: budget.luts: .*integer"),
        (r"luts", "lutz", r"mine.toml: budget.lut[sz]: "),
        (
            r'"ice40"',
            '"spartan"',
            r"mine.toml: device.family: Input should be 'ecp5', 'gatemate', 'gowin', ",
        ),
        (r"title", "title = ", r"mine.toml: is not TOML"),
        (
            r"\[link\]\n.*\n.*\n",
            "",
            r"mine.toml: .*needs platform and link, or a processor instead of both",
        ),
        (
            r"\[link\]",
            "[processor]\nip = 'a:b:c'\nboard_part = ''\n\n[link]",
            r"mine.toml: .*needs platform and link, or a processor instead of both",
        ),
    ],
)
def test_malformed_file_is_refused_with_the_field_named(tmp_path, pattern, replacement, message):
    with pytest.raises(BoardError, match=message):
        load_board(own_file(tmp_path, pattern, replacement))


def test_missing_file(tmp_path):
    with pytest.raises(BoardError, match=r"none.toml: cannot be read \(No such file"):
        load_board(tmp_path / "none.toml")
