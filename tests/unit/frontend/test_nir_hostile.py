# SPDX-License-Identifier: BSD-2-Clause
"""Damaged and hostile NIR files: one sentence, in little time and memory."""

import json
import time
import tracemalloc
import zlib

import h5py
import nir
import numpy as np
import pytest

from pysnn_hw.errors import ModelError, PysnnError
from pysnn_hw.frontend.nir import NirOptions, read_nir
from pysnn_hw.frontend.nir_export import write_nir
from pysnn_hw.ir.snn import Neuron
from tests.unit.frontend.nir_graphs import (
    chain,
    inputs,
    integrate,
    output,
    plain_network,
    pooled_cnn,
)
from tests.unit.frontend.test_hostile import flip, splice, truncate

OPTIONS = NirOptions(timesteps=5, reset="soft", strict=False, dt=1.0)
FORMS = ("foreign", "plain", "ours")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A graph of another tool, compressed and not, and one of ours."""
    folder = tmp_path_factory.mktemp("nir")
    rng = np.random.default_rng(0)
    paths = {form: folder / f"{form}.nir" for form in FORMS}
    nir.write(paths["foreign"], pooled_cnn(rng))
    nir.write(paths["plain"], pooled_cnn(rng), compression=None)
    write_nir(plain_network(rng, Neuron(reset="hard", strict=True, leak=3)), paths["ours"])
    return paths


def read_or_refuse(path, options=None):
    """The error that reading ``path`` raises, or None; anything but a PysnnError escapes."""
    start = time.monotonic()
    options = options or (NirOptions() if "ours" in path.name else OPTIONS)
    try:
        read_nir(path, options)
        error = None
    except PysnnError as caught:
        error = caught
        assert "\n" not in str(error)
        assert len(str(error)) < 600
    assert time.monotonic() - start < 20
    return error


def edited(source, folder, change, name="edited"):
    """A copy of ``source`` in which ``change`` was let loose."""
    path = folder / f"{name}_{source.name}"
    path.write_bytes(source.read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def put(name, value, **settings):
    """A change that replaces the dataset ``name`` (below the graph) by ``value``."""

    def change(file):
        where = f"node/{name}"
        if where in file:
            del file[where]
        file.create_dataset(where, data=value, **settings)

    return change


# --- damage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("damage", [flip, truncate, splice])
def test_damaged_files(damage, form, files, tmp_path):
    rng = np.random.default_rng(4)
    content = files[form].read_bytes()
    refused = 0
    for i in range(20):
        path = tmp_path / f"{i}_{form}.nir"
        path.write_bytes(damage(content, rng))
        refused += read_or_refuse(path) is not None
        path.unlink()
    # HDF5 leaves unused bytes between its parts, where flipped bits do not count.
    assert refused >= {flip: 1, truncate: 19, splice: 14}[damage]


@pytest.mark.parametrize("form", FORMS)
def test_damaged_headers(form, files, tmp_path):
    rng = np.random.default_rng(5)
    content = files[form].read_bytes()
    refused = 0
    for i in range(30):
        path = tmp_path / f"{i}_{form}.nir"
        path.write_bytes(flip(content[:6000], rng) + content[6000:])
        refused += read_or_refuse(path) is not None
    assert refused >= 3


HOSTILE = [0, -1, 2**62, 1e300, np.nan, np.inf, "x", "", "NIRGraph", True, np.uint64(2**64 - 1)]
HOSTILE += [np.zeros(0), np.zeros((1,) * 9), np.full((2, 2), -3), np.arange(7), [["a", "b"]]]
HOSTILE += [np.ones(3, np.complex64), np.zeros((3, 3, 3, 3)), np.full(2, 10**7), 1j]


@pytest.mark.parametrize("form", FORMS)
def test_hostile_fields(form, files, tmp_path):
    rng = np.random.default_rng(6)
    with h5py.File(files[form]) as file:
        names = []
        file["node"].visititems(lambda n, o: names.append(n) if hasattr(o, "shape") else None)
    refused = 0
    for i in range(50):
        name, value = rng.choice(names), HOSTILE[rng.integers(len(HOSTILE))]
        path = edited(files[form], tmp_path, put(name, value), str(i))
        refused += read_or_refuse(path) is not None
    assert refused >= 25


def places(part):
    """Every (container, key) below ``part``."""
    keys = part.keys() if isinstance(part, dict) else range(len(part))
    for key in keys:
        yield part, key
        if isinstance(part[key], dict | list):
            yield from places(part[key])


def test_hostile_metadata(files, tmp_path):
    rng = np.random.default_rng(7)
    name = "metadata/pysnn_hw/document"
    with h5py.File(files["ours"]) as file:
        text = file[f"node/{name}"][()].decode()
    values = [None, True, -1, 0, 2**40, 1e400, "", "first", "sum", [], {}, [1, 1], [2, 8, 8]]
    refused = 0
    for i in range(50):
        document = json.loads(text)
        found = list(places(document))
        container, key = found[rng.integers(len(found))]
        container[key] = values[rng.integers(len(values))]
        changed = put(name, json.dumps(document))
        refused += read_or_refuse(edited(files["ours"], tmp_path, changed, str(i))) is not None
    assert refused >= 37


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("metadata/pysnn_hw", 3, "metadata pysnn_hw: is malformed"),
        ("metadata/pysnn_hw/document", "{", "does not suit its schema"),
        ("metadata/pysnn_hw/document", "[" * 90_000, "does not suit its schema"),
        ("metadata/pysnn_hw/v_init/n0", np.zeros(3), "does not describe this graph"),
        ("metadata/pysnn_hw/v_init/n0", "zero", "does not describe this graph"),
        ("nodes/a/stride", np.array([2, 2]), "its tau has shape"),
        ("nodes/b.pool/kernel_size", np.array([1, 1]), "has another geometry"),
        ("nodes/first/tau", np.full((4, 8, 8), 4.0), "has another shape or leak"),
    ],
)
def test_metadata_of_another_graph(name, value, message, files, tmp_path):
    path = edited(files["ours"], tmp_path, put(name, value))
    with pytest.raises(ModelError, match=message):
        read_nir(path)


# --- what HDF5 can do -----------------------------------------------------------------------


def dataset(name, **settings):
    def change(file):
        del file[f"node/nodes/{name}"]
        file.create_dataset(f"node/nodes/{name}", **settings)

    return change


def soft_link(file):
    del file["node/nodes/n1/weight"]
    file["node/nodes/n1/weight"] = h5py.SoftLink("/node/nodes/n4/weight")


def external_link(file):
    file["node/nodes/n1/extra"] = h5py.ExternalLink("other.h5", "/node")


def external_data(file):
    del file["node/nodes/n2/r"]
    shape, place = (4, 5, 5), [("/etc/hostname", 0, 800)]
    file.create_dataset("node/nodes/n2/r", shape, np.float64, external=place)


def virtual_data(file):
    del file["node/nodes/n2/r"]
    layout = h5py.VirtualLayout((4, 5, 5), np.float64)
    layout[:] = h5py.VirtualSource("other.h5", "x", (4, 5, 5))
    file.create_virtual_dataset("node/nodes/n2/r", layout)


def loop_of_groups(file):
    file["node/nodes/n1/again"] = file["node"]


def long_texts(file):
    text = "x" * 200_000
    pairs = np.array([[text, text]] * 4, dtype=object)
    del file["node/edges"]
    file.create_dataset("node/edges", data=pairs, dtype=h5py.string_dtype())


def unpacked(file):
    """A chunk of 8 declared bytes that unpacks to 256 MiB."""
    del file["node/nodes/n5/scale"]
    made = file.create_dataset("node/nodes/n5/scale", (1,), np.float64, chunks=(1,), compression=1)
    made.id.write_direct_chunk((0,), zlib.compress(bytes(256 << 20), 1))


BOMBS = [
    (soft_link, "links to another place"),
    (external_link, "links to another place"),
    (external_data, "empty or stored elsewhere"),
    (virtual_data, "empty or stored elsewhere"),
    (loop_of_groups, "nests its groups too deeply"),
    (long_texts, "is too long"),
    (dataset("n5/scale", shape=(1 << 20, 1 << 20), dtype="f4"), "more than 33554432 values"),
    (dataset("n5/scale", shape=(1 << 20, 1 << 20), dtype="f4", chunks=(1 << 8, 1 << 8)),
     "more than 33554432 values"),
    (dataset("n5/scale", data=np.ones(1 << 16), chunks=(1,)), "is stored in 65536 pieces"),
    (dataset("n5/scale", data=np.ones((8, 5, 5)), compression="lzf"), "something other than gzip"),
    (dataset("n5/scale", data=np.ones((8, 5, 5)), shuffle=True, compression=1), "other than gzip"),
    (dataset("n5/scale", data=h5py.Empty("f8")), "empty or stored elsewhere"),
    (dataset("n5/scale", data=np.ones(3, [("a", "f8")])), "has element type"),
    (dataset("n5/scale", data=np.array(["a", "b"], "S")), "neither a text nor a plain list"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), BOMBS)
def test_what_hdf5_could_do(change, message, files, tmp_path):
    path = edited(files["plain"], tmp_path, change)
    tracemalloc.start()
    try:
        error = read_or_refuse(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert message in str(error)
    assert peak < 64 << 20


def test_chunks_unpack_to_their_declared_size(files, tmp_path):
    path = edited(files["plain"], tmp_path, unpacked)
    tracemalloc.start()
    try:
        read_or_refuse(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


def test_chunks_that_do_not_divide_the_data(files, tmp_path):
    rng = np.random.default_rng(0)
    scale = np.ones((8, 5, 5)) * rng.integers(1, 9, (8, 1, 1))

    def change(file):
        del file["node/nodes/n5/scale"]
        file.create_dataset("node/nodes/n5/scale", data=scale, chunks=(3, 2, 4), compression=4)

    before = read_nir(files["plain"], OPTIONS).projections[1].weight
    after = read_nir(edited(files["plain"], tmp_path, change), OPTIONS).projections[1].weight
    # The node multiplied by a half before.
    np.testing.assert_array_equal(after, 2 * before * scale[:, :1, :1, None])


def test_too_large_a_file(tmp_path):
    path = tmp_path / "large.nir"
    with path.open("wb") as file:
        file.truncate((128 << 20) + 1)
    with pytest.raises(ModelError, match="134217729 bytes are more than"):
        read_nir(path, OPTIONS)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89HDF\r\n\x1a\n" * 9])
def test_what_is_no_hdf5(content, tmp_path):
    path = tmp_path / "no.nir"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is not a readable HDF5 file"):
        read_nir(path, OPTIONS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.__delitem__("node"), "it is no NIR graph"),
        (put("type", "IF"), "no group of nodes"),
        (put("edges", 3), "holds no list of edges"),
        (put("edges", "n0"), "holds no list of edges"),
        (put("nodes/n1/type", 3), "'n1' has no type"),
        (put("nodes/n1/type", "Conv3d"), "is not supported"),
        (put("nodes/n1/weight", "x"), "its weight is not an array of numbers"),
        (put("nodes/n1/stride", 0.5), "its stride is not one or a few integers"),
        (put("nodes/n1/padding", np.zeros(3, int)), "is neither one nor two integers"),
        (put("nodes/n1/bias", np.zeros(3)), "has 3 biases for 4 outputs"),
        (lambda f: f["node/nodes/n1"].__delitem__("weight"), "its weight is missing"),
    ],
)
def test_malformed_graphs(change, message, files, tmp_path):
    with pytest.raises(ModelError, match=message):
        read_nir(edited(files["plain"], tmp_path, change), OPTIONS)


def test_the_network_as_a_whole_is_bounded():
    """Nodes that are cheap to write but wide: together they would not fit."""
    wide = 1 << 20
    scales = [nir.Scale(np.ones(1)) for _ in range(60)]
    graph = chain(inputs(wide), *scales, integrate((wide,)), output(wide))
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="with it the network is too large"):
            read_nir(graph, OPTIONS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 << 30
