# SPDX-License-Identifier: BSD-2-Clause
"""The comparison with other accelerators: figures from elsewhere, what is counted, what is said."""

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pysnn_hw.convert import Preprocessing, convert, quantize
from pysnn_hw.data import load_dataset
from pysnn_hw.errors import DataError, ToolError
from pysnn_hw.frontend import import_model
from pysnn_hw.golden import simulate
from pysnn_hw.plan.schedule import simple_schedule
from pysnn_hw.resources import resource

SCRIPTS = Path(__file__).parents[2] / "scripts"
NAMES = ("bench_accelerators", "designs", "peers")


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import bench_accelerators
    import designs
    import peers

    yield bench_accelerators, designs, peers
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def net():
    data = load_dataset("mnist")
    graph = import_model(resource("bundled", "mnist_mlp.onnx")).graph
    preprocessing = Preprocessing(threshold=192)
    spiking = convert(graph, data.x_train[:100], levels=3, preprocessing=preprocessing)
    return quantize(spiking, 4)


@pytest.fixture
def measured(scripts):
    _, designs, _ = scripts
    return designs.Measured(
        designs.CASES[0],
        golden={"images": 10_000, "accuracy": 98.0, "sops": 9_000.0, "dense_macs": 90_000},
        rtl={"images": 10, "cycles": 1_000.0, "spikes": 1_280, "mismatches": 0},
        dense={"cycles": 10_500.0},
        lanes=9,
        macs=((80_000, 8), (10_000, 1)),
        xilinx={"lut": 2_000, "ff": 900, "bram36": 17.5, "dsp": 0, "tool": "yosys 1"},
        alone={"cells": 2_500, "bram": 34, "dsp": 0, "tool": "yosys 1, nextpnr 2"},
        board={
            **{"cells": 4_000, "bram": 35, "dsp": 0, "fmax_mhz": 121.0, "clock_mhz": 120.0},
            **{"tool": "yosys 1, nextpnr 2", "bitstream": "a.bit"},
        },
    )


def test_every_peer_names_its_source(scripts):
    *_, peers = scripts
    found = peers.load_peers()
    assert {p.basis for p in found.peer} > {"measured", "paper"}
    assert any(not p.spiking for p in found.peer)
    assert all(len(p.source) > 20 for p in (*found.peer, *found.placed))
    for peer in found.peer:  # arithmetic on a clock that is not named would be a guess
        assert "cycles" not in peer.derived or peer.clock_mhz is not None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('lut_is = "LUT6"\n', "", r"peer\.0: .*lut and lut_is go together"),
        ("accuracy = 93.85", "accuracy = 193.85", r"peer\.0\.accuracy: .*less than or equal"),
        ("spiking = true", "spikes = true", r"peer\.0\.spiking: .*required"),
        ('basis = "measured"', 'basis = "memory"', r"peer\.0\.basis"),
        ('derived = ["cycles"]', 'derived = ["ff"]', "derived names 'ff'"),
        ("[[peer]]", "[[peer", "cannot be read"),
    ],
)
def test_a_wrong_figure_is_named(scripts, tmp_path, old, new, message):
    *_, peers = scripts
    text = peers.PEERS.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "peers.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        peers.load_peers(tmp_path / "peers.toml")


def test_cells_of_the_7_series(scripts):
    _, designs, _ = scripts
    cells = {"LUT6": 5, "LUT2": 3, "RAM32M": 2, "SRL16E": 1, "INV": 1, "FDRE": 7, "FDSE": 1}
    blocks = {"RAMB36E1": 2, "RAMB18E1": 3, "DSP48E1": 4, "CARRY4": 9, "MUXF7": 2}
    found = designs.xilinx_resources(Counter(cells | blocks))
    assert found == {"lut": 18, "ff": 8, "bram36": 3.5, "dsp": 4}
    with pytest.raises(ToolError, match="RAM64X8SW"):
        designs.xilinx_resources(Counter({"RAM64X8SW": 1}))


def test_what_nextpnr_packed(scripts):
    _, designs, _ = scripts
    log = "Info: Device utilisation:\nInfo: \t        DP16KD:      35/    208    16%\n"
    log += "Info: \t  TRELLIS_COMB:    3822/  83640     4%\nInfo: Placed 4 cells\n"
    assert designs.packed(log) == {"DP16KD": 35, "TRELLIS_COMB": 3822}


def test_nothing_is_skipped_where_no_value_is_zero(scripts, net):
    _, designs, _ = scripts
    schedule = simple_schedule(net, lanes=8)
    busy, images = designs.all_nonzero(net), designs.nonzero_images(net)
    assert simulate(busy, images).sops["fc1_Gemm"].tolist() == [784 * 128] * len(images)
    lanes = [core.total_lanes for core in schedule.cores]
    cycles = designs.dense_figures(net, schedule)["cycles"]
    least = 784 * 128 / lanes[0]
    assert least <= cycles < 1.02 * least
    plain = replace(net, input=replace(net.input, zero_point=(7,), threshold=None))
    assert (designs.nonzero_images(plain) == 8).all()
    assert designs.nonzero_images(plain).shape[1:] == (1, 28, 28)


def test_a_figure_is_measured_once(scripts, tmp_path):
    _, designs, _ = scripts
    made = []

    def make():
        made.append(1)
        return {"value": np.float64(len(made)).item()}

    file = tmp_path / "a.json"
    assert designs._stage(file, "a", make)["value"] == 1
    assert designs._stage(file, "a", make)["value"] == 1
    assert designs._stage(file, "b", make)["value"] == 2


def test_rows_of_a_design(scripts, measured):
    bench, *_ = scripts
    ours, busy, array, pipeline = bench.own_rows(measured)
    assert ours.per_klut == pytest.approx(100e6 / 1_000 / 2)
    assert ours.sop_per_cycle_lane == pytest.approx(1.0)
    assert (busy.cycles, busy.lut) == (10_500, 2_000)
    assert (array.cycles, array.lut, array.per_klut) == (10_000, None, None)
    assert array.basis.startswith("computed")
    assert pipeline.cycles == 10_000
    alone, whole = bench.placed_rows(measured)
    assert (alone.cells, whole.cells) == (2_500, 4_000)
    assert whole.per_kcell_own_clock == pytest.approx(1.2 * 100e6 / 1_000 / 4)


def test_targets_and_verdict(scripts, measured):
    bench, _, peers = scripts
    found = peers.load_peers()
    goals = bench.targets(measured, found.placed[0])
    assert [goal.met for goal in goals] == [True] * 6
    assert goals[4].value == pytest.approx(92_566 / 1_000 * 14_661 / 4_000)
    assert goals[5].value == pytest.approx(goals[4].value * 120 / 44.2)
    slow = replace(measured, rtl={**measured.rtl, "cycles": 20_000.0})
    assert [g.what for g in bench.targets(slow, found.placed[0]) if not g.met] == [
        "cycles per image",
        "images/s per cell against Spiker+, one clock",
        "images/s per cell against Spiker+, own clocks",
    ]
    rows = [bench.peer_row(p) for p in found.peer]
    pays, ahead = bench.verdicts([measured], rows)
    assert "skipping zeros pays: 1,000 cycles" in pays
    assert "FINN SFC-max" in ahead
    assert "Spiker+" not in ahead
    assert "does not pay" in bench.verdicts([slow], rows)[0]


def test_tables_say_what_rows_rest_on(scripts, measured):
    bench, _, peers = scripts
    rows = [*bench.own_rows(measured), *map(bench.peer_row, peers.load_peers().peer)]
    heading, lines = bench.large_table(rows)
    assert all(len(line) == len(heading) for line in lines)
    assert all(line[-1] for line in lines)
    for row, line in zip(rows, lines, strict=True):
        assert (row.lut is None) == (line[heading.index("LUTs are")] == "-")
    text = bench.as_markdown("All", heading, lines)
    assert len(text.splitlines()) == 4 + len(lines)
    assert bench.as_table("All", heading, lines).row_count == len(lines)
