# SPDX-License-Identifier: BSD-2-Clause
import re
import tracemalloc
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel
from safetensors import safe_open
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from pysnn_hw.errors import FileFormatError, NetworkError
from pysnn_hw.ir import schema
from pysnn_hw.ir.check import check_fixed
from pysnn_hw.ir.file import MAX_FILE_BYTES, load, save
from tests.malformed import mutants, with_fields
from tests.networks import EXTRAS, random_network


@pytest.fixture
def net():
    return random_network(np.random.default_rng(5), depth=2, residual=True)


@pytest.fixture
def path(net, tmp_path):
    save(net, tmp_path / "net.snn")
    return tmp_path / "net.snn"


def assert_same(have, want):
    assert type(have) is type(want)
    for field in fields(want):
        a, b = getattr(have, field.name), getattr(want, field.name)
        if isinstance(b, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b, strict=True)
        elif field.name in ("populations", "projections"):
            for x, y in zip(a, b, strict=True):
                assert_same(x, y)
        elif field.name == "input":
            assert_same(a, b)
        else:
            assert a == b, field.name


@pytest.mark.parametrize("seed", range(20))
def test_round_trip_restores_every_field(seed, tmp_path):
    net = random_network(np.random.default_rng(seed), extras=EXTRAS)
    net = replace(net, provenance={"model": "ä/b.onnx", "accuracy": 0.25, "nested": [{"a": None}]})
    save(net, tmp_path / "a.snn")
    assert_same(load(tmp_path / "a.snn"), net)


def test_equal_networks_give_equal_bytes(net, path, tmp_path):
    save(load(path), tmp_path / "again.snn")
    assert (tmp_path / "again.snn").read_bytes() == path.read_bytes()


def test_tensors_are_small_integers(path):
    tensors = load_tensors(path.read_bytes())
    assert {str(x.dtype) for name, x in tensors.items() if name.startswith("p")} == {"int8"}
    assert {str(x.dtype) for name, x in tensors.items() if name.startswith("n")} == {"int32"}


def test_a_threshold_survives(net, tmp_path):
    entry = replace(net.input, zero_point=(0,) * net.input.shape[0], threshold=net.input.maximum)
    net = replace(net, input=entry)
    save(net, tmp_path / "a.snn")
    assert load(tmp_path / "a.snn").input.threshold == entry.threshold


def test_extreme_weights_survive(net, tmp_path):
    last = net.projections[-1]
    weight = np.resize(np.array([-128, 127, 0]), last.weight.shape)
    net = replace(net, projections=(*net.projections[:-1], replace(last, weight=weight)))
    save(net, tmp_path / "a.snn")
    np.testing.assert_array_equal(load(tmp_path / "a.snn").projections[-1].weight, weight)


def test_save_replaces_only_when_whole(net, path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        save(replace(net, timesteps=net.timesteps + 1), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_save_refuses_a_broken_network(net, tmp_path):
    with pytest.raises(NetworkError, match="timesteps"):
        save(replace(net, timesteps=0), tmp_path / "a.snn")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, np.int64(3)])
def test_save_refuses_provenance_that_is_not_json(net, tmp_path, value):
    with pytest.raises(NetworkError, match="provenance"):
        save(replace(net, provenance={"a": [value]}), tmp_path / "a.snn")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, r"format: 2 is unknown; this version reads format 1"),
        ({"timesteps": 10**9}, r"timesteps: .*4096, not 1000000000"),
        ({"timesteps": 2.0}, r"timesteps: .*integer"),
        ({"timesteps": True}, r"timesteps: .*integer"),
        ({"comment": 1}, r"comment: extra"),
        ({"input__encoding": "morse"}, r"input\.encoding: .*constant"),
        ({"input__encoding": "bernoulli"}, r"input\.seed: 0 is outside"),
        ({"input__seed": 3}, r"input\.seed: is 3, but nothing is random"),
        ({"input__encoding": "events", "input__zero_point": [1]}, r"input\.zero_point: events"),
        (
            {"input__threshold": 0, "input__zero_point": [0]},
            r"input\.threshold: 0 is outside 1\.\.",
        ),
        (
            {"input__threshold": 1, "input__zero_point": [1]},
            r"input\.threshold: is of raw integers",
        ),
        (
            {"input__threshold": 1, "input__encoding": "events", "input__zero_point": [0]},
            r"input\.threshold: the input is events",
        ),
        ({"readout__mode": "count"}, r"readout\.mode: a readout that counts"),
        ({"readout__mode": "sampled"}, r"readout\.seed: 0 is outside"),
        ({"readout__mode": "sampled", "readout__seed": 1}, r"readout\.noise: 0 values"),
        ({"readout__noise": [1]}, r"readout\.noise: 1 values, expected 0"),
        ({"readout__margin": -1}, r"readout\.margin"),
        ({"probe": {"steps": 0, "rule": "mask"}}, r"probe\.steps"),
        ({"probe": {"steps": 1, "rule": "guess"}}, r"probe\.rule"),
        ({"probe": {"steps": 1, "rule": "shift"}}, r"v_init: a threshold more or less"),
        ({"input__zero_point": [0] * 9}, r"input\.zero_point: 9 values for"),
        ({"populations__0__spike_max": 256}, r"populations\[0\]\.spike_max: .*255, not 256"),
        ({"populations__0__v_min": None}, r"'n0': v_min: is missing"),
        ({"populations__0__v_min": 1 << 31}, r"populations\[0\]\.v_min"),
        ({"populations__0__name": "readout"}, r"'readout': the name is used twice"),
        ({"populations__0__kind": "readout"}, r"tensor 'n0\.threshold': belongs to no"),
        (
            {"input__shape": [1, 1 << 12, 1 << 13], "input__zero_point": [0]},
            r"neurons are more than",
        ),
        ({"projections__0__source": "nowhere"}, r"source: 'nowhere' does not exist"),
        ({"projections__0__source": "readout"}, r"'n0' does not come after 'readout'"),
        ({"projections__0__groups": 0}, r"projections\[0\]\.groups"),
        ({"projections__0__padding": [9, 9, 9, 9]}, r"padding"),
        ({"provenance": float("nan")}, r"provenance"),
        ({"provenance": {"a": float("nan")}}, r"provenance: .*JSON"),
    ],
)
def test_load_names_the_field(path, change, message):
    path.write_bytes(with_fields(path.read_bytes(), **change))
    with pytest.raises(FileFormatError, match=message) as error:
        load(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("dtype", ["int16", "int64", "float32", "uint8", "bool"])
@pytest.mark.parametrize("name", ["p0.weight", "n0.bias", "n0.threshold", "n1.v_init"])
def test_load_refuses_another_dtype(path, name, dtype):
    content = path.read_bytes()
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    tensors = load_tensors(content)
    tensors[name] = tensors[name].astype(dtype)
    path.write_bytes(save_tensors(tensors, metadata))
    with pytest.raises(FileFormatError, match=f"tensor '{name}': has dtype .*, expected I"):
        load(path)


def test_load_refuses_what_is_no_file(tmp_path):
    with pytest.raises(FileFormatError, match="cannot be read"):
        load(tmp_path / "missing.snn")
    with pytest.raises(FileFormatError, match="cannot be read"):
        load(tmp_path)


def test_load_refuses_a_huge_file_unread(tmp_path):
    with (tmp_path / "huge.snn").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(FileFormatError, match="bytes are more than"):
        load(tmp_path / "huge.snn")


@pytest.mark.parametrize("seed", range(8))
def test_damaged_files_end_in_one_sentence(seed, tmp_path):
    """Each either loads as a network that passes every check, or is refused in one sentence."""
    rng = np.random.default_rng(seed)
    path = tmp_path / "damaged.snn"
    save(random_network(rng, depth=2), path)
    content = path.read_bytes()
    messages, count = [], 60
    tracemalloc.start()
    for _, damaged in mutants(content, rng, count):
        path.write_bytes(damaged)
        try:
            check_fixed(load(path))
        except FileFormatError as error:
            messages.append(str(error))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(messages) > 0.8 * count
    assert [m for m in messages if not re.fullmatch(r"[^\n]{10,400}", m)] == []
    assert peak < 1 << 27


def test_every_field_of_the_schema_is_documented():
    page = (Path(__file__).parents[3] / "docs" / "network_file.md").read_text()
    parts = [p for p in vars(schema).values() if isinstance(p, type) and issubclass(p, BaseModel)]
    names = {name for part in parts for name in part.model_fields}
    assert len(names) > 20
    assert [name for name in sorted(names) if f"| `{name}` |" not in page] == []
