# SPDX-License-Identifier: BSD-2-Clause
"""The core with AXI ports in Verilator, its masters those of cocotbext-axi."""

import json

import numpy as np
import pytest

from pysnn_hw.build.verilog import to_verilog
from pysnn_hw.golden import simulate
from pysnn_hw.hdl.accelerator import Accelerator
from pysnn_hw.hdl.axi_core import AxiCore
from pysnn_hw.hdl.axi_registers import IDENTIFICATION, VERSION, offset_of
from pysnn_hw.hdl.link.network import fingerprint
from pysnn_hw.plan.schedule import simple_schedule
from pysnn_hw.verify.cosim import build_cosim, run_cosim
from pysnn_hw.verify.design import Design
from pysnn_hw.verify.lint import lint
from pysnn_hw.verify.verilator import find_verilator
from tests.configurations import configuration
from tests.networks import random_images, random_network

TOP = "pysnn_accelerator"
pytestmark = pytest.mark.cosim


def words(values):
    return [int(v) & 0xFFFFFFFF for v in values]


def results(golden, errors):
    """Words of each image: scores, then class and error."""
    return [
        [*words(row), int(c) << 1 | e]
        for row, c, e in zip(golden.scores, golden.classes, errors, strict=True)
    ]


def joined(lists, sizes):
    """Lists of images as packets of so many."""
    ends = np.cumsum(sizes)
    parts = zip(ends - sizes, ends, strict=True)
    return [[v for image in lists[a:b] for v in image] for a, b in parts]


def image_vectors(core, net):
    """Packets of one and of several images, the last image of one cut short."""
    rng = np.random.default_rng(1)
    images = random_images(rng, net, 7)
    wire = [np.moveaxis(image, 0, -1).ravel() for image in images]
    sizes, errors = np.array([1, 3, 2, 1]), [0, 0, 0, 1, 0, 0, 0]
    cut = wire[3].size // 2
    sent = [[int(v) % (1 << core.packets.port_bits) for v in w] for w in wire]
    sent[3] = sent[3][:cut]
    channels, height, width = net.input.shape
    zeros = np.tile(net.input.zero_point, height * width)
    short = np.concatenate([wire[3][:cut], zeros[cut:]])
    images[3] = np.moveaxis(short.reshape(height, width, channels), -1, 0)
    return joined(sent, sizes), joined(results(simulate(net, images), errors), sizes), sum(errors)


def event_vectors(found):
    golden = simulate(found.net, found.images)
    sent = [w.reshape(-1).tolist() for w in Design(found.net, found.schedule).input_words(
        found.images)]  # fmt: skip
    sizes = np.array([1, len(sent) - 1])
    return joined(sent, sizes), joined(results(golden, [0] * len(sent)), sizes), 0


@pytest.mark.parametrize("kind", ["images", "events"])
def test_axi_models_get_golden_results(kind, tmp_path):
    if kind == "images":
        net = random_network(np.random.default_rng(5), overlap=False, max_side=6)
        core = AxiCore(Accelerator(net, simple_schedule(net)))
        packets, expected, malformed = image_vectors(core, net)
    else:
        found = configuration("events")
        net = found.net
        core = AxiCore(Accelerator(net, found.schedule))
        packets, expected, malformed = event_vectors(found)
    classes = net.populations[-1].size
    document = {
        "lane_bits": core.packets.port_bits,
        "packets": packets,
        "results": expected,
        "count": sum(map(len, expected)) // (classes + 1),
        "malformed": malformed,
        "registers": [
            (offset_of("IDENTIFICATION"), IDENTIFICATION),
            (offset_of("VERSION"), VERSION),
            (offset_of("FINGERPRINT"), fingerprint(net)),
            (offset_of("LENGTH"), core.length or 0),
            (offset_of("MINIMUM"), net.input.minimum & 0xFFFFFFFF),
            (offset_of("MAXIMUM"), net.input.maximum & 0xFFFFFFFF),
            (offset_of("CLASSES"), classes),
            (0x34, 0),
            (0xFFC, 0),
        ],
        **{name.lower(): offset_of(name) for name in ("CONTROL", "STATUS", "IMAGES", "ERRORS")},
    }
    source, path = tmp_path / "top.v", tmp_path / "vectors.json"
    path.write_text(json.dumps(document))
    source.write_text(to_verilog(core, TOP, {}))
    tool = find_verilator()
    assert lint(tool, source, top=TOP) == ()
    executable = build_cosim(tool, source, tmp_path / "build", top=TOP)
    outcomes = run_cosim(executable, "sim.tb_axi_core", {"PYSNN_VECTORS": str(path)}, top=TOP)
    assert [(o.name, o.complaint) for o in outcomes] == [
        ("full_speed", ""),
        ("slow_both", ""),
        ("reset_by_register", ""),
    ]
