# SPDX-License-Identifier: BSD-2-Clause
"""Damaged and hostile Keras files: a `ModelError` of one sentence, in little time and memory."""

import json
import re
import shutil
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest

from tests.unit.frontend.keras_models import (
    L,
    edit_archive,
    edit_hdf5,
    residual_net,
    save,
    sequential,
    to_keras_2,
)
from tests.unit.frontend.test_hostile import MEASURE, flip, import_or_refuse, splice, truncate

FORMS = (".keras", ".h5", "keras2.h5")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """One file of each form."""
    folder = tmp_path_factory.mktemp("keras")
    model = residual_net()
    files = {suffix: save(model, folder, suffix) for suffix in (".keras", ".h5")}
    files["keras2.h5"] = to_keras_2(save(model, folder, ".h5", "keras2"))
    return files


def copy(source, folder, name="copy"):
    return shutil.copy(source, folder / f"{name}{source.suffix}")


# --- damage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("damage", [flip, truncate, splice])
def test_damaged_files(damage, form, saved, tmp_path):
    rng = np.random.default_rng(4)
    content = saved[form].read_bytes()
    refused = 0
    for i in range(60):
        path = tmp_path / f"{i}{saved[form].suffix}"
        path.write_bytes(damage(content, rng))
        refused += import_or_refuse(path) is not None
        path.unlink()
    # A flipped bit of a weight is a legal network; a cut file never is.
    assert refused >= {flip: 5, truncate: 59, splice: 40}[damage]


@pytest.mark.parametrize("form", FORMS)
def test_damaged_headers(form, saved, tmp_path):
    """As above, only where the file says what it holds: texts, and the first of the groups."""
    rng = np.random.default_rng(5)
    content = saved[form].read_bytes()
    start = content.index(b"\x89HDF")
    refused = 0
    for i in range(80):
        path = tmp_path / f"{i}{saved[form].suffix}"
        head = slice(start, start + 4096)
        path.write_bytes(content[:start] + flip(content[head], rng) + content[head.stop :])
        refused += import_or_refuse(path) is not None
    assert refused >= 10


HOSTILE = [None, True, -1, 0, 10**9, 2**63, 10**30, 1.5, float("nan"), "", "x", "../../x", [], {}]
HOSTILE += [[1], [10**9] * 2, [[1, 2], [3, 4]], {"class_name": "Lambda"}]


def edit_somewhere(config, rng):
    """Replace or delete one value anywhere in the architecture."""
    places = []

    def walk(part):
        for key in part if isinstance(part, dict) else range(len(part)):
            if "initializer" not in str(key):
                places.append((part, key))
                if isinstance(part[key], dict | list):
                    walk(part[key])

    walk(config)
    part, key = places[rng.integers(len(places))]
    choice = rng.integers(len(HOSTILE) + 1)
    if choice == len(HOSTILE):
        del part[key]
    else:
        part[key] = HOSTILE[choice]


@pytest.mark.parametrize("form", FORMS)
def test_edited_architectures(form, saved, tmp_path):
    rng = np.random.default_rng(6)
    edit = edit_archive if form == ".keras" else edit_hdf5
    refused = 0
    for _ in range(150):
        path = copy(saved[form], tmp_path)
        refused += import_or_refuse(edit(path, lambda c: edit_somewhere(c, rng))) is not None
    assert refused >= 50


# --- one thing wrong ------------------------------------------------------------------------


def layers_of(config):
    return {layer["config"]["name"]: layer for layer in config["config"]["layers"]}


def rewire(layer, *sources):
    history = {"class_name": "__keras_tensor__", "config": {}}
    nodes = [{**history, "config": {"keras_history": [name, 0, 0]}} for name in sources]
    layer["inbound_nodes"] = [{"args": nodes, "kwargs": {}}]


def cycle(c):
    rewire(layers_of(c)["first"], "act")


def reads_itself(c):
    rewire(layers_of(c)["act"], "act")


def unknown_source(c):
    rewire(layers_of(c)["act"], "nobody\n")


def no_source(c):
    layers_of(c)["act"]["inbound_nodes"] = []


def too_many_sources(c):
    rewire(layers_of(c)["norm"], "first", "first")


def second_output(c):
    layers_of(c)["act"]["inbound_nodes"][0]["args"][0]["config"]["keras_history"][2] = 1


def same_name(c):
    c["config"]["layers"].append(c["config"]["layers"][-1])


def many_layers(c):
    c["config"]["layers"] *= 2000


def vast_image(c):
    layers_of(c)["image"]["config"]["batch_shape"] = [None, 2**20, 2**20, 3]


def impossible_image(c):
    layers_of(c)["image"]["config"]["batch_shape"] = [None, -3, 2.5, 3]


def wrong_filters(c):
    layers_of(c)["first"]["config"]["filters"] = 7


def vast_padding(c):
    layers_of(c)["first"]["config"].update(kernel_size=[3, 3], strides=[-1, 2**40])


def negative_stride(c):
    layers_of(c)["first"]["config"]["strides"] = [2, -1]


def vast_window(c):
    layers_of(c)["pool"]["config"].update(strides=[10**30, 10**30])


def negative_epsilon(c):
    layers_of(c)["norm"]["config"]["epsilon"] = -5


def other_module(c):
    layers_of(c)["act"]["module"] = "os"


def registered_class(c):
    layers_of(c)["first"]["registered_name"] = "mine>Conv2D"


def training_by_position(c):
    layers_of(c)["drop"]["inbound_nodes"][0]["args"].append(True)


def module_of_an_activation(c):
    activation = {"module": "os", "class_name": "ReLU", "config": {"name": "x"}}
    layers_of(c)["depth"]["config"]["activation"] = activation


def deep(c):
    layers_of(c)["act"]["config"]["dtype"] = json.loads("[" * 400 + "]" * 400)
    layers_of(c)["act"]["inbound_nodes"] = json.loads("[" * 900 + "]" * 900)


def not_a_dictionary(c):
    c["config"]["layers"][2] = 5


EDITS = {
    cycle: "cycle",
    reads_itself: "cycle",
    unknown_source: r"act reads 'nobody\?', which does not exist",
    no_source: r"act \(Activation\): has 0 inputs",
    too_many_sources: r"norm \(BatchNormalization\): has 2 inputs",
    second_output: "malformed",
    same_name: "two layers are called 'scores'",
    many_layers: "at most 10000",
    vast_image: "larger than 16777216 values",
    impossible_image: "a side of -3",
    wrong_filters: r"first \(Conv2D\): its kernel has shape \(3, 3, 3, 6\)",
    vast_padding: "strides is not a pair of integers",
    negative_stride: "not all positive",
    vast_window: "strides is not a pair of integers",
    negative_epsilon: "not positive",
    other_module: r"act \(Activation\): is a custom object",
    registered_class: r"first \(Conv2D\): is a custom object",
    training_by_position: r"drop \(Dropout\): is called in training mode",
    module_of_an_activation: "custom object",
    deep: "malformed|has 0 inputs",
    not_a_dictionary: "malformed",
}


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_bad_architecture(edit, saved, tmp_path):
    error = import_or_refuse(edit_archive(copy(saved[".keras"], tmp_path), edit))
    assert error is not None
    assert re.search(EDITS[edit], str(error)), error


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["first/kernel", "norm/moving_mean", "scores/bias"])
def test_weights_that_are_not_finite(name, value, saved, tmp_path):
    path = copy(saved[".h5"], tmp_path)
    with h5py.File(path, "r+") as f:
        weight = f[f"model_weights/{name.split('/')[0]}/{name}"]
        weight[(0,) * weight.ndim] = value
    assert "NaN or infinity" in str(import_or_refuse(path))


KERNEL = "model_weights/first/first/kernel"


def external_link(f):
    f[KERNEL] = h5py.ExternalLink("other.h5", "/secret")


def soft_link(f):
    f[KERNEL] = h5py.SoftLink("/model_weights/depth/depth/kernel")


def external_storage(f):
    size = 3 * 3 * 3 * 6 * 4
    f.create_dataset(KERNEL, (3, 3, 3, 6), "f4", external=[("/etc/hostname", 0, size)])


def virtual(f):
    layout = h5py.VirtualLayout((3, 3, 3, 6), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "secret", (3, 3, 3, 6))
    f.create_virtual_dataset(KERNEL, layout)


def compressed(f):
    f.create_dataset(KERNEL, (4000, 4000), "f4", compression="gzip", data=np.zeros((4000, 4000)))


def vast(f):
    f.create_dataset(KERNEL, (1 << 20, 1 << 20), "f4")


def texts(f):
    f.create_dataset(KERNEL, data=[b"x"] * 9)


def group(f):
    f.create_group(KERNEL)


def absent(f):
    """Only removed."""


def no_names(f):
    del f["model_weights/first"].attrs["weight_names"]


def names_elsewhere(f):
    f["model_weights/first"].attrs["weight_names"] = [b"../depth/depth/kernel", b"first/bias"]


HDF5_EDITS = {
    external_link: "links to another place",
    soft_link: "links to another place",
    external_storage: "stored elsewhere",
    virtual: "stored elsewhere",
    compressed: "compressed",
    vast: "more than 33554432 weights",
    texts: "element type",
    group: "is missing",
    absent: "is missing",
    no_names: "holds 0 weights, but needs kernel, bias",
    names_elsewhere: "is missing",
}


@pytest.mark.parametrize("edit", HDF5_EDITS, ids=lambda edit: edit.__name__)
def test_bad_weights(edit, saved, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as f:
        f["secret"] = np.ones((3, 3, 3, 6), np.float32)
    path = copy(saved[".h5"], tmp_path)
    with h5py.File(path, "r+") as f:
        del f[KERNEL]
        edit(f)
    assert re.search(HDF5_EDITS[edit], str(import_or_refuse(path)))


def test_hard_links_do_not_multiply_the_memory(tmp_path):
    """Every layer names the same large weights."""
    path = save(sequential((1000,), L.Dense(1000, name="d")), tmp_path, ".h5")

    def repeat(c):
        first, dense = c["config"]["layers"]
        copies = [json.loads(json.dumps(dense).replace('"d"', f'"d{i}"')) for i in range(40)]
        c["config"]["layers"] = [first, *copies]

    edit_hdf5(path, repeat)
    with h5py.File(path, "r+") as f:
        for i in range(40):
            f[f"model_weights/d{i}"] = f["model_weights/d"]
    assert "d33 (Dense): with it the file declares more than" in str(import_or_refuse(path))


# --- archives -------------------------------------------------------------------------------


def repack(path, edit, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as z:
        members = {info.filename: z.read(info) for info in z.infolist()}
    edit(members)
    with zipfile.ZipFile(path, "w", compression) as z:
        for name, content in members.items():
            z.writestr(name, content)
    return path


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_archive_without_a_member(member, saved, tmp_path):
    path = repack(copy(saved[".keras"], tmp_path), lambda m: m.pop(member))
    assert "holds no config.json or no model.weights.h5" in str(import_or_refuse(path))


def test_zip_bomb_is_refused(saved, tmp_path):
    def inflate(members):
        members["config.json"] = b" " * 10**7

    path = repack(copy(saved[".keras"], tmp_path), inflate, zipfile.ZIP_DEFLATED)
    assert "compressed" in str(import_or_refuse(path))


@pytest.mark.parametrize("config", [b"", b"[]", b"5", b"{", b'{"a":' * 200_000, b" " * (17 << 20)])
def test_architecture_that_is_none(config, saved, tmp_path):
    path = copy(saved[".keras"], tmp_path)
    repack(path, lambda m: m.update({"config.json": config}))
    assert "architecture" in str(import_or_refuse(path)) or len(config) > 1 << 24


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("content", [b"", b"\0" * 1000, b"hello\n" * 99, b"PK\3\4", b"\x89HDF\r\n"])
def test_wrong_kinds_of_file(suffix, content, tmp_path):
    (tmp_path / f"a{suffix}").write_bytes(content)
    assert import_or_refuse(tmp_path / f"a{suffix}") is not None


def test_oversized_file_is_not_read(tmp_path):
    with (tmp_path / "a.h5").open("wb") as stream:
        stream.truncate(1 << 40)  # sparse
    assert "larger than" in str(import_or_refuse(tmp_path / "a.h5"))


def test_code_in_a_file_is_never_run(tmp_path):
    canary = tmp_path / "canary"
    model = sequential((4,), L.Lambda(lambda x: x, name="code"), L.Dense(2))
    path = save(model, tmp_path)

    def plant(c):
        evil = {"module": "builtins", "class_name": "open", "config": {"file": str(canary)}}
        c["config"]["layers"][-1]["config"]["kernel_initializer"] = evil
        c["build_config"] = evil
        c["compile_config"] = evil

    assert r"code (Lambda): is not supported; it holds Python code" in str(
        import_or_refuse(edit_archive(path, plant))
    )
    assert not canary.exists()


# --- sizes ----------------------------------------------------------------------------------


def test_hostile_sizes_take_little_time_and_memory(tmp_path):
    def conv(name, shape, kernel):
        path = save(sequential((8, 8, shape[-1]), L.Conv2D(1, 3, padding="same", name="c"),
                               L.GlobalAveragePooling2D()), tmp_path, name=name)  # fmt: skip

        def edit(c):
            c["config"]["layers"][0]["config"]["batch_shape"] = [None, *shape]
            c["config"]["layers"][1]["config"].update(kernel)

        return edit_archive(path, edit)

    def padded(name, sides):
        model = sequential((8, 8, 1), L.ZeroPadding2D(1, name="p"), L.GlobalAveragePooling2D())
        path = save(model, tmp_path, name=name)
        return edit_archive(
            path, lambda c: c["config"]["layers"][1]["config"].update({"padding": sides})
        )

    paths = [
        conv("large patches", (300, 300, 64), {}),
        conv("huge image", (2**20, 2**20, 1), {}),
        conv("largest accepted", (96, 96, 64), {}),
        padded("huge padding", [[2**40, 0], [0, 2**40]]),
        padded("padding", [[1000, 0], [0, 1000]]),
    ]
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env={"OMP_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)},
    )
    lines = [line.split("|", 2) for line in run.stdout.splitlines()]
    assert len(lines) == len(paths)
    report = "\n".join(f"{p.stem}: {line}" for p, line in zip(paths, lines, strict=True))
    assert all(float(seconds) < 60 and int(peak) < 2048 for seconds, peak, _ in lines), report
    imported = {p.stem for p, line in zip(paths, lines, strict=True) if line[2] == "imported"}
    assert imported == {"largest accepted", "padding"}, report
