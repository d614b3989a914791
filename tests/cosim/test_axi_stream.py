# SPDX-License-Identifier: BSD-2-Clause
import json

import numpy as np
import pytest
from amaranth.back import verilog

from pysnn_hw.golden import simulate
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.hdl.axi_stream import AxiStreamTop
from pysnn_hw.hdl.events import event_layout
from pysnn_hw.plan.schedule import simple_schedule
from pysnn_hw.verify.cosim import build_cosim, run_cosim
from pysnn_hw.verify.design import Design
from pysnn_hw.verify.verilator import find_verilator
from tests.configurations import configuration
from tests.networks import random_network

TOP = "axi_top"


def words(values, bits):
    return [int(v) & ((1 << bits) - 1) for v in values]


def vectors(net, data_bits, rng):
    """Good images, and between them one too short and one too long."""
    low, high = net.input.minimum, net.input.maximum
    images = rng.integers(low, high + 1, (7, *net.input.shape))
    wire = [np.moveaxis(image, 0, -1).ravel() for image in images]
    errors = [0] * len(wire)
    # What is missing of a short image counts as zero point; of a long one the excess is dropped.
    cut = wire[2].size // 2
    channels, height, width = net.input.shape
    zeros = np.tile(net.input.zero_point, height * width)
    short = np.concatenate([wire[2][:cut], zeros[cut:]])
    images[2] = np.moveaxis(short.reshape(height, width, channels), -1, 0)
    sent = [words(w, data_bits) for w in wire]
    sent[2], errors[2] = sent[2][:cut], 1
    sent[4], errors[4] = sent[4] + sent[4][:3], 1
    golden = simulate(net, images)
    users = [int(c) << 1 | e for c, e in zip(golden.classes, errors, strict=True)]
    return {
        "images": sent,
        "scores": [words(row, 32) for row in golden.scores],
        "users": users,
    }


def event_vectors():
    """Images of events, one with an event outside the map, which must not matter."""
    found = configuration("events")
    golden = simulate(found.net, found.images)
    sent = [words.reshape(-1).tolist() for words in Design(found.net, found.schedule).input_words(
        found.images)]  # fmt: skip
    layout = event_layout(found.net.input.shape, found.net.input.range)
    sent[1].insert(2, 7 << layout["y"].offset | 1 << layout["value"].offset)
    return found, {
        "images": sent,
        "scores": [words(row, 32) for row in golden.scores],
        "users": [int(c) << 1 | (k == 1) for k, c in enumerate(golden.classes)],
    }


@pytest.mark.cosim
@pytest.mark.parametrize("seed", [5, 8, None])
def test_axi_stream_models_get_golden_scores(seed, tmp_path):
    if seed is None:
        found, document = event_vectors()
        dut = AxiStreamTop(Accelerator(found.net, found.schedule))
    else:
        rng = np.random.default_rng(seed)
        net = random_network(rng, overlap=False, max_side=6)
        dut = AxiStreamTop(Accelerator(net, simple_schedule(net)))
        document = vectors(net, len(dut.s_axis_tdata), rng)
    source, path = tmp_path / "top.v", tmp_path / "vectors.json"
    path.write_text(json.dumps(document))
    source.write_text(verilog.convert(dut, name=TOP))
    executable = build_cosim(find_verilator(), source, tmp_path / "build", top=TOP)
    outcomes = run_cosim(executable, "sim.tb_axi_stream", {"PYSNN_VECTORS": str(path)}, top=TOP)
    assert [(o.name, o.complaint) for o in outcomes] == [
        ("full_speed", ""),
        ("slow_source", ""),
        ("slow_sink", ""),
    ]


def test_port_names_and_widths():
    net = random_network(np.random.default_rng(5), overlap=False)
    text = verilog.convert(AxiStreamTop(Accelerator(net, simple_schedule(net))), name=TOP)
    header = text[text.index(f"module {TOP}(") :].split(";")[0]
    for name in ("tdata", "tvalid", "tready", "tlast"):
        assert f"s_axis_{name}" in header
        assert f"m_axis_{name}" in header
    assert "m_axis_tuser" in header
