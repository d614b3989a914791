# SPDX-License-Identifier: BSD-2-Clause
"""The whole accelerator in Verilator against golden, and the checks against broken hardware."""

from dataclasses import replace

import numpy as np
import pytest

from pysnn_hw.golden import simulate
from pysnn_hw.plan.schedule import simple_schedule
from pysnn_hw.verify import Pressure, run_dataset, verify
from pysnn_hw.verify.design import TOP, Design
from pysnn_hw.verify.harness import BUILD_FAST, build_harness, run_harness, write_vectors
from pysnn_hw.verify.lint import lint
from pysnn_hw.verify.verilator import find_verilator
from tests.networks import random_images, random_network

pytestmark = pytest.mark.cosim


@pytest.fixture(scope="module")
def setting():
    """A small network with pooling and a skip, its schedule and some images."""
    rng = np.random.default_rng(11)
    net = random_network(
        rng, timesteps=3, spike_max=3, depth=2, pools=("max",), overlap=False, residual=True,
        max_side=6,
    )  # fmt: skip
    return net, simple_schedule(net, lanes=2), random_images(rng, net, 12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all tests of this module, so that the model is compiled once."""
    return tmp_path_factory.mktemp("accelerator")


def test_verify_finds_nothing_to_complain_about(setting, folder):
    net, schedule, images = setting
    report = verify(net, schedule, images, folder)
    assert [check.complaint for check in report.checks] == [""] * report.tests
    assert report.tests == 8
    assert (report.failures, report.mismatches, report.first_mismatch) == (0, 0, "")
    fire = [p for p in net.populations if p.kind == "fire"]
    assert report.spikes_compared == 2 * 12 * 3 * sum(p.size for p in fire)
    assert report.membranes_compared == 2 * 12 * sum(p.size for p in fire)


def test_scores_cycles_and_utilisation_of_a_data_set(setting, folder):
    net, schedule, images = setting
    result = run_dataset(net, schedule, images, folder=folder)
    golden = simulate(net, images)
    assert (result.scores == golden.scores).all()
    assert (result.classes == golden.classes).all()
    assert result.run.tolist() == [0] * 6 + [1] * 6
    assert (result.latency >= np.prod(net.input.shape)).all()
    assert len(result.intervals) == 10
    # Pipelined over images: results follow each other faster than an image passes.
    assert np.median(result.intervals) < np.median(result.latency)
    assert 0.5 < max(result.utilisation.values()) <= 1


def test_broken_hardware_is_caught_at_its_first_wrong_spike(setting, folder, tmp_path):
    """One threshold off by one in one channel of the second population."""
    net, schedule, images = setting
    victim = net.populations[1]
    threshold = victim.per_channel("threshold").copy()
    threshold[-1] += 1
    wrong = replace(victim, threshold=threshold)
    other = replace(net, populations=(net.populations[0], wrong, *net.populations[2:]))
    design, tool = Design(other, schedule), find_verilator()
    executable = build_harness(tool, design, tmp_path, profile=BUILD_FAST)
    golden = simulate(net, images, trace=True)
    vectors = tmp_path / "images.bin"
    write_vectors(design, images, golden, vectors)
    run = run_harness(design, executable, vectors, len(images))

    from pysnn_hw.verify.compare import first_mismatch

    found = first_mismatch(design, golden, run.checks)
    truth = simulate(other, images, trace=True)
    differs = (
        (truth.trace.spikes[victim.name] != golden.trace.spikes[victim.name])
        .transpose(0, 1, 3, 4, 2)
        .any(axis=(2, 3, 4))
    )
    image, step = np.argwhere(differs)[0]
    where = (found.population, found.what, found.image, found.timestep, found.channel)
    assert where == (victim.name, "spike", image, step, victim.channels - 1)
    at = (image, step, found.channel, found.y, found.x)
    assert found.expected == golden.trace.spikes[victim.name][at]
    assert found.got == truth.trace.spikes[victim.name][at]


def test_a_mismatch_leaves_a_waveform(setting, folder, monkeypatch):
    """Golden is made to lie about one spike of one image."""
    import pysnn_hw.verify.dataset as dataset

    net, schedule, images = setting
    honest = dataset.simulate_batches

    def lying(*args, **options):
        for result in honest(*args, **options):
            result.trace.spikes[net.populations[0].name][1, 1, 0, 2, 3] ^= 1
            yield result

    monkeypatch.setattr(dataset, "simulate_batches", lying)
    result = run_dataset(net, schedule, images, folder=folder)
    where = (result.first.population, result.first.timestep, result.first.image)
    assert where == (net.populations[0].name, 1, 1)
    assert (result.first.channel, result.first.y, result.first.x) == (0, 2, 3)
    assert result.mismatches in (1, 2)  # of the two runs one or both were started
    assert not result.stalled
    assert result.wave.read_bytes()[0] == 0  # an FST file begins with its header block
    assert result.wave.stat().st_size > 10_000


def test_misplaced_last_is_reported_and_the_next_image_is_clean(setting, folder):
    """Images cut short and drawn long, between good ones."""
    net, schedule, images = setting
    design, tool = Design(net, schedule), find_verilator()
    executable = build_harness(tool, design, folder)
    words = np.stack(design.input_words(images))[..., 0]
    last = design.last_bit
    size = words.shape[1]
    sent, seen, errors = [], images.copy(), np.zeros(len(images), np.int64)
    flat = np.moveaxis(seen, 1, -1).reshape(len(images), -1)
    background = np.broadcast_to(np.array(net.input.zero_point), (size // len(
        net.input.zero_point), len(net.input.zero_point))).reshape(-1)  # fmt: skip
    for k, length in enumerate([size, 3, size, size + 5, 1, size, size - 1, size]):
        row = np.concatenate([words[k], words[k]])[:length] & ~np.uint32(last)
        row[-1] |= last
        sent.append(row)
        errors[k] = length != size
        flat[k, length:] = background[length:]
    count = len(sent)
    seen = np.moveaxis(flat.reshape(np.moveaxis(images, 1, -1).shape), -1, 1)[:count]
    golden = simulate(net, seen, trace=True)
    vectors = folder / "misplaced.bin"
    write_vectors(design, seen, golden, vectors, transfers=sent, errors=errors[:count])
    run = run_harness(design, executable, vectors, count, pressure=Pressure(0.7, 0.5, 0.4, seed=3))
    assert run.mismatches == 0
    assert not run.stalled


def test_generated_verilog_is_free_of_lint(setting, tmp_path):
    net, schedule, _ = setting
    path = tmp_path / f"{TOP}.v"
    Design(net, schedule).write_verilog(path)
    assert lint(find_verilator(), path, top=TOP) == ()
    broken = path.read_text().replace("endmodule", "wire [3:0] n = 9'd3; endmodule", 1)
    path.write_text(broken)
    assert any("WIDTHTRUNC" in line for line in lint(find_verilator(), path, top=TOP))
