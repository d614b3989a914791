# SPDX-License-Identifier: BSD-2-Clause
"""The command line as a user meets it: answers, errors, exit codes."""

import json
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest

from pysnn_hw.cli import main
from pysnn_hw.cli.options import CONVERSION
from pysnn_hw.config import ConvertOptions
from pysnn_hw.errors import NetworkError
from pysnn_hw.ir.file import load, save
from pysnn_hw.ir.snn import Probe, Readout
from pysnn_hw.plan import Schedule
from tests.networks import random_images, random_network

VERBS = (
    *("auto", "boards", "build", "check", "compare", "compile", "convert", "demo"),
    *(
        "explore",
        "export-nir",
        "flash",
        "generate",
        "import-nir",
        "inspect",
        "plan",
        "run",
        "simulate",
        "verify",
    ),
)

FACTORY = """
import torch

class Tiny(torch.nn.Sequential):
    input_shape = (1, 6, 6)

def make():
    torch.manual_seed(1)
    return Tiny(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(64, 3)
    )
"""


@pytest.fixture
def cli(capfd):
    """Runs a command line; gives (exit status, stdout, stderr)."""

    def run(*argv):
        status = main([str(a) for a in argv])
        out, err = capfd.readouterr()
        return status, out, err

    return run


@pytest.fixture
def network(tmp_path):
    """A network file and a data set that suits it."""
    rng = np.random.default_rng(3)
    net = random_network(rng, timesteps=2, pools=(), max_side=6)
    images = random_images(rng, net, 12)
    pixels = np.clip(images, 0, 255).transpose(0, 2, 3, 1).astype(np.uint8)
    save(net, tmp_path / "net.snn")
    np.savez(tmp_path / "data.npz", x_test=pixels, y_test=np.zeros(len(pixels), np.int64))
    return tmp_path / "net.snn", tmp_path / "data.npz"


@pytest.fixture
def model(tmp_path):
    """A torch factory and a data set of 6 x 6 images."""
    (tmp_path / "tiny.py").write_text(FACTORY)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, 6, 6), np.uint8)
    y = rng.integers(0, 3, 40)
    np.savez(tmp_path / "data.npz", x_test=x, y_test=y, x_train=x, y_train=y)
    return f"{tmp_path / 'tiny.py'}:make", tmp_path / "data.npz"


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example_and_json(cli, verb):
    status, out, _ = cli(verb, "--help")
    assert status == 0
    assert f"Example: pysnn-hw {verb}" in out
    assert "--json" in out


def test_help_names_every_verb(cli):
    status, out, _ = cli("--help")
    assert status == 0
    assert all(f" {verb} " in out for verb in VERBS)


def test_help_loads_nothing_heavy():
    """What makes start-up slow is kept out of it: measured by name, because clocks vary."""
    code = (
        "import sys; from pysnn_hw.cli import main; main(['--help']); "
        "print([m for m in ('numpy', 'torch', 'pydantic_core', 'amaranth', 'numba') "
        "if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "[]"


def test_version(cli):
    status, out, _ = cli("--version")
    assert (status, out.split()[0]) == (0, "pysnn-hw")


def test_boards(cli):
    status, out, _ = cli("boards", "--json")
    assert status == 0
    boards = {b["name"]: b for b in json.loads(out)["boards"]}
    assert boards["ulx3s-85f"]["lut"] == 83640
    assert (boards["icebreaker"]["bram"], boards["icebreaker"]["spram_kbit"]) == (30, 1024)
    assert all(name in cli("boards")[1] for name in boards)


def test_inspect(cli, network):
    status, out, _ = cli("inspect", network[0], "--json")
    assert status == 0
    found = json.loads(out)
    assert found["timesteps"] == 2
    assert found["populations"][-1]["kind"] == "readout"
    assert found["populations"][-1]["threshold"] is None
    assert found["dense_macs"] == sum(p["dense_macs"] for p in found["projections"]) > 0
    text = cli("inspect", network[0])[1]
    assert all(p["name"] in text for p in found["populations"] + found["projections"])


def test_simulate(cli, network):
    status, out, _ = cli("simulate", *("--data", network[1]), network[0], "--limit", 8, "--json")
    assert status == 0
    found = json.loads(out)
    assert found["images"] == 8
    assert 0 <= found["accuracy"] <= 1
    assert found["images_per_s"] > 0
    assert found["sops_per_image"] == pytest.approx(sum(found["sops"].values()))
    assert found["spikes_per_image"] == pytest.approx(sum(found["spikes"].values()))
    assert "images" in cli("simulate", network[0], "--data", network[1])[1]


def test_plan(cli, network):
    args = ("plan", network[0], "--board", "ulx3s-85f", "--data", network[1])
    status, out, _ = cli(*args, "--json")
    assert status == 0
    found = json.loads(out)
    assert found["fits"]
    assert all(found[key] > 0 for key in ("cycles_per_image", "lut", "bram"))
    layers = [core["layers"] for core in found["cores"]]
    contents = json.loads(cli("inspect", network[0], "--json")[1])
    assert layers == [[p["name"]] for p in contents["populations"]]
    assert all(core["lanes"] * core["taps"] >= 1 for core in found["cores"])
    # The interval is exact; a core alone is an estimate that fills and drains every phase.
    assert found["cycles_per_image"] >= 0.7 * max(c["predicted_cycles"] for c in found["cores"])
    assert layers[0][0] in cli(*args)[1]


def test_plan_without_fitting_images_says_so(cli, network):
    found = json.loads(cli("plan", network[0], "--board", "ulx3s-85f", "--json")[1])
    assert found["sample"] == "random images"


def test_generate(cli, network, tmp_path):
    args = ("generate", network[0], "--board", "ulx3s-12f")
    status, out, _ = cli(*args, "-o", tmp_path / "rtl", "--json")
    assert status == 0
    found = json.loads(out)
    text = (tmp_path / "rtl" / "accelerator.v").read_text()
    assert text.count("\n") == found["lines"]
    assert "module accelerator(" in text
    assert "// timesteps T: 2\n" in text
    assert "probe_0" not in text
    again = (*args, "--schedule", found["schedule"], "--ports", "axi", "-o", tmp_path / "axi")
    assert cli(*again)[0] == 0
    assert "s_axis_tvalid" in (tmp_path / "axi" / "accelerator.v").read_text()


@pytest.mark.parametrize(("text", "part"), [("{", "JSON"), ("{}", "malformed"), (None, "s.json")])
def test_generate_refuses_a_broken_schedule(cli, network, tmp_path, text, part):
    if text is not None:
        (tmp_path / "s.json").write_text(text)
    args = ("generate", network[0], "--board", "ulx3s-12f", "--schedule", tmp_path / "s.json")
    status, out, err = cli(*args, "-o", tmp_path / "rtl")
    assert (status, out) == (2, "")
    assert part in err


@pytest.mark.cosim
def test_verify(cli, network):
    args = ("verify", network[0], "--board", "ulx3s-12f", "--data", network[1], "--json")
    status, out, _ = cli(*args)
    assert status == 0
    found = json.loads(out)
    assert (found["failures"], found["mismatches"]) == (0, 0)
    assert found["tests"] == len(found["checks"]) > 3
    assert found["spikes_compared"] > 0
    assert network[0].with_suffix(".verify").is_dir()


def test_check_of_a_good_model(cli, model):
    args = ("check", model[0], "--board", "ulx3s-85f", "--data", model[1])
    status, out, _ = cli(*args, "--json")
    assert status == 0
    found = json.loads(out)
    assert found["ok"]
    assert found["unsupported"] == []
    assert found["plan"]["fits"]
    assert 0 <= found["accuracy"]["fixed_accuracy"] <= 1
    assert sum(layer["lut"] for layer in found["layers"]) <= found["plan"]["lut"]
    assert "fits" in cli(*args)[1]


def test_check_names_every_unsupported_layer(cli, tmp_path):
    layers = "torch.nn.Conv2d(1, 2, 3), torch.nn.GELU(), torch.nn.Conv2d(2, 2, 3), torch.nn.Tanh()"
    (tmp_path / "odd.py").write_text(
        f"import torch\n\ndef make():\n    return torch.nn.Sequential({layers})\n"
    )
    args = ("check", f"{tmp_path / 'odd.py'}:make", "--board", "icebreaker")
    status, out, _ = cli(*args, "--input-shape", "1,6,6", "--json")
    assert status == 2
    found = json.loads(out)
    assert not found["ok"]
    ops = " ".join(node["op"].lower() for node in found["unsupported"])
    assert "gelu" in ops
    assert "tanh" in ops
    assert all(node["remedy"] for node in found["unsupported"])


def test_check_of_a_model_that_does_not_fit(cli, tmp_path):
    (tmp_path / "big.py").write_text(
        "import torch\n\ndef make():\n    return torch.nn.Sequential(\n"
        "        torch.nn.Flatten(), torch.nn.Linear(36, 4000), torch.nn.ReLU(),\n"
        "        torch.nn.Linear(4000, 10))\n"
    )
    args = ("check", f"{tmp_path / 'big.py'}:make", "--board", "icebreaker")
    status, out, _ = cli(*args, "--input-shape", "1,6,6")
    assert status == 2
    assert "does not fit: needs" in out


def test_flash_without_a_programmer_says_how_to_get_one(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "top.bit").write_bytes(b"bits")
    status, out, err = cli("flash", tmp_path / "top.bit", "--board", "ulx3s-85f")
    assert (status, out) == (2, "")
    assert "install" in err


@pytest.mark.parametrize(
    ("argv", "part"),
    [((), "port"), (("--board", "icebreaker"), "--port"), (("--port", "/nowhere"), "/nowhere")],
)
def test_run_needs_a_device(cli, network, argv, part):
    status, out, err = cli("run", *network, *argv)
    assert (status, out) == (2, "")
    assert part in err


@pytest.mark.cosim
def test_run_on_the_virtual_board(cli, network):
    args = ("run", *network, "--board", "virtual", "--limit", 3, "--json")
    status, out, _ = cli(*args)
    assert status == 0
    found = json.loads(out)
    assert found["images"] == 3
    golden = json.loads(
        cli("simulate", network[0], "--data", network[1], "--limit", 3, "--json")[1]
    )
    assert found["accuracy"] == golden["accuracy"]
    assert all(row["cycles"] > 0 for row in found["results"])


@pytest.mark.cosim
def test_simulate_the_hardware(cli, network):
    args = ("simulate", network[0], "--data", network[1], "--backend", "verilator", "--json")
    status, out, _ = cli(*args)
    assert status == 0
    found = json.loads(out)
    assert (found["images"], found["mismatches"]) == (12, 0)
    assert 0 < found["cycles_per_image"]["median"] <= found["cycles_per_image"]["max"]
    assert all(0 < busy <= 1 for busy in found["utilisation"].values())


def test_convert_then_inspect(cli, model, tmp_path):
    out_file = tmp_path / "out" / "net.snn"
    status, out, _ = cli(
        *("convert", model[0], "--data", model[1], "--timesteps", 2, "--levels", 3),
        *("--weight-bits", 5, "--calibration", "max", "--mean", 0.5, "--std", 0.25),
        *("-o", out_file, "--json"),
    )
    assert status == 0
    found = json.loads(out)
    assert found["images"] == 40
    assert all(0 <= found[f"{k}_accuracy"] <= 1 for k in ("ann", "snn", "fixed"))
    inside = json.loads(cli("inspect", out_file, "--json")[1])
    assert inside["timesteps"] == 2
    assert inside["populations"][0]["spike_max"] == 7
    assert max(p["weight_bits"] for p in inside["projections"]) <= 5
    # Every option says what it gave to the network, so the same accuracy comes from the file.
    again = json.loads(cli("simulate", out_file, "--data", model[1], "--json")[1])
    assert again["accuracy"] == found["fixed_accuracy"]
    assert "correlation" in cli("convert", model[0], "--data", model[1], "-o", out_file)[1]


def test_layers_get_weight_bits_of_their_own(cli, model, tmp_path):
    out_file = tmp_path / "net.snn"
    given = ("convert", model[0], "--data", model[1], "-o", out_file, "--json")
    assert cli(*given)[0] == 0
    first, *_, last = json.loads(cli("inspect", out_file, "--json")[1])["projections"]
    narrow = f"{first['target']}=3, {last['target']}=5"
    assert cli(*given, "--weight-bits", 7, "--layer-bits", narrow)[0] == 0
    projections = json.loads(cli("inspect", out_file, "--json")[1])["projections"]
    assert [p["weight_bits"] for p in projections] == [3, *[7] * (len(projections) - 2), 5]
    status, _, err = cli(*given, "--layer-bits", "nowhere=4")
    assert status == 2
    assert f"there is no population 'nowhere'; use {first['target']}" in " ".join(err.split())
    for wrong in ("3", "=3", "first=", "first=x", "first=-3"):
        status, _, err = cli(*given, "--layer-bits", wrong)
        assert status == 2
        assert "pairs such as conv1=8,fc=4" in " ".join(err.split())
    status, _, err = cli(*given, "--layer-bits", "first=3,first=4")
    assert status == 2
    assert "names 'first' twice" in " ".join(err.split())
    assert "must be 2..8, not 9" in cli(*given, "--layer-bits", f"{first['target']}=9")[2]


def test_an_input_threshold_reaches_file_and_accuracy(cli, model, tmp_path):
    out_file = tmp_path / "net.snn"
    plainly = ("convert", model[0], "--data", model[1], "-o", out_file, "--json")
    grey = json.loads(cli(*plainly)[1])
    status, out, _ = cli(*plainly, "--input-threshold", 128)
    assert status == 0
    found, net = json.loads(out), load(out_file)
    assert (net.input.threshold, net.input.event_range) == (128, (0, 1))
    # The model itself is measured on what it sees, so what is left is lost by rounding alone.
    assert found["populations"][0]["snn_correlation"] > 0.95
    assert found["populations"] != grey["populations"]
    assert json.loads(cli("inspect", out_file, "--json")[1])["input_threshold"] == 128
    assert "one spike from 128 on" in cli("inspect", out_file)[1]
    refused = cli(*plainly, "--input-threshold", 128, "--mean", 0.5)
    assert refused[0] == 2
    assert "needs a mean of 0" in refused[2]


def test_simulate_follows_a_schedule(cli, network, tmp_path, monkeypatch):
    file, seen = tmp_path / "schedule.json", []
    board = ("--board", "ulx3s-85f")
    assert cli("plan", network[0], *board, "--objective", "smallest", "-o", file)[0] == 0

    def stop(net, schedule, *_):
        seen.append(schedule)
        raise NetworkError("here", "enough is known")

    monkeypatch.setattr("pysnn_hw.api.simulation.run_verilated", stop)
    arguments = ("simulate", network[0], *board, "--data", network[1], "--backend", "verilator")
    assert cli(*arguments)[0] == 2
    assert cli(*arguments, "--schedule", file)[0] == 2
    planned, followed = seen
    assert followed == Schedule.from_json(json.loads(file.read_text())) != planned


CONVERSIONS = {
    "--method ecc --counts 16 --tau 0.25": lambda net: (
        net.populations[0].spike_max == 16
        and (net.populations[0].v_init == net.populations[0].threshold // 4).all()
    ),
    "--method cos --probe 3 --timesteps 4 --levels 1": lambda net: net.probe == Probe(3, "shift"),
    "--method srp --timesteps 4 --per-layer": lambda net: net.probe == Probe(4, "mask"),
    "--encoding bernoulli --seed 9 --timesteps 4": lambda net: net.input.seed == 9,
    "--readout count": lambda net: net.readout == Readout("count"),
    "--readout first --timesteps 4": lambda net: net.populations[-2].name.endswith("latch"),
    "--readout sampled --timesteps 4": lambda net: len(net.readout.noise) == 256,
    "--early-exit 0.9 --timesteps 4 --levels 2": lambda net: net.readout.margin >= 1,
}


@pytest.mark.parametrize("arguments", CONVERSIONS)
def test_options_of_the_conversion_reach_the_file(cli, model, tmp_path, arguments):
    out_file = tmp_path / "net.snn"
    arguments_of = ("convert", model[0], "--data", model[1], *arguments.split(), "-o", out_file)
    status, out, err = cli(*arguments_of, "--json")
    assert status == 0, err
    assert CONVERSIONS[arguments](load(out_file))
    again = json.loads(cli("simulate", out_file, "--data", model[1], "--json")[1])
    assert again["accuracy"] == json.loads(out)["fixed_accuracy"]


def test_options_that_do_not_go_together(cli, model, tmp_path):
    arguments = ("convert", model[0], "--data", model[1], "-o", tmp_path / "net.snn")
    status, _, err = cli(*arguments, "--method", "cos", "--encoding", "bernoulli")
    assert status == 2
    assert err.strip().endswith("encoding: must be constant for cos, which runs it twice")


def test_progress_and_chatter_stay_off_stdout(cli, model, tmp_path, monkeypatch):
    from pysnn_hw.api import conversion

    def chatty(*args, **kwargs):
        sys.stdout.write("chatter of a library\n")
        subprocess.run([sys.executable, "-c", "print('chatter of a child')"], check=True)
        return real(*args, **kwargs)

    real = conversion.import_model
    monkeypatch.setattr(conversion, "import_model", chatty)
    monkeypatch.setattr(sys, "stdout", sys.__stdout__)
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    args = ("convert", model[0], "--data", model[1], "-o", tmp_path / "n.snn", "--json")
    status, out, err = cli(*args)
    assert status == 0
    json.loads(out)
    assert "chatter of a child" in err
    assert "original beside spiking networks" in err


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (("inspect", "missing.snn"), "missing.snn"),
        (("simulate", "missing.snn", "--data", "mnist"), "missing.snn"),
        (("convert", "missing.onnx", "--data", "mnist", "-o", "x.snn"), "missing.onnx"),
        (("convert", "missing.onnx", "--data", "nowhere", "-o", "x.snn"), "nowhere"),
        (("convert", "m.onnx", "--data", "mnist", "-o", "x", "--mean", "a,b"), "--mean"),
        (("convert", "m.onnx", "--data", "mnist", "-o", "x", "--levels", "0"), "--levels"),
        (("convert", "m.onnx", "--data", "mnist"), "--output"),
        (("frobnicate",), "frobnicate"),
    ],
)
def test_user_errors_say_what_and_exit_2(cli, argv, part):
    status, out, err = cli(*argv)
    assert status == 2
    assert out == ""
    assert part in err
    assert "Traceback" not in err


def test_error_is_one_line(cli):
    _, _, err = cli("inspect", "missing.snn")
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def fail_with(monkeypatch, error):
    def fail(*args):
        raise error

    monkeypatch.setattr("pysnn_hw.api.inspection.load", fail)


def test_internal_error_is_owned(cli, monkeypatch):
    fail_with(monkeypatch, ZeroDivisionError("by\nzero"))
    status, out, err = cli("inspect", "any.snn")
    assert (status, out) == (1, "")
    assert "ZeroDivisionError: by zero" in err
    assert "report" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), NetworkError("layer", "bad")])
def test_debug_shows_the_traceback(cli, monkeypatch, error):
    fail_with(monkeypatch, error)
    with pytest.raises(type(error)):
        cli("inspect", "any.snn", "--debug")


def test_interrupt_is_quiet(cli, monkeypatch):
    fail_with(monkeypatch, KeyboardInterrupt())
    status, out, err = cli("inspect", "any.snn")
    assert (status, out) == (130, "")
    assert "Traceback" not in err


def test_as_module():
    done = subprocess.run(
        [sys.executable, "-m", "pysnn_hw.cli", "boards", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["boards"]


@pytest.mark.parametrize("verb", ["check", "compile", "convert"])
def test_every_knob_of_the_conversion_is_an_option(cli, verb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = cli(verb, "--help")
    assert set(CONVERSION) == {f.name for f in fields(ConvertOptions)}
    assert [name for name in CONVERSION if "--" + name.replace("_", "-") not in out] == []
