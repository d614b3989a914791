# SPDX-License-Identifier: BSD-2-Clause
"""Damaged and hostile files: a `ModelError` of one sentence, in little time and memory."""

import io
import json
import pickle
import subprocess
import sys
import time
import zipfile
from collections import Counter

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend import import_model
from tests.unit.frontend.models import (
    export_pt2,
    node,
    onnx,
    onnx_model,
    save_onnx,
    small_net,
    small_onnx,
)

HUGE = (0, -1, 2, 7, 255, 2**20, 2**31 - 1, 2**40, 2**63 - 1, -(2**63))


def import_or_refuse(path):
    """The error that importing ``path`` raises, or None; anything but a ModelError escapes."""
    start = time.monotonic()
    try:
        import_model(path)
        error = None
    except ModelError as caught:
        error = caught
        assert "\n" not in str(error)
        assert len(str(error)) < 600
    assert time.monotonic() - start < 20
    return error


# --- damage to ONNX files -------------------------------------------------------------------


def flip(content, rng):
    damaged = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
    return bytes(damaged)


def truncate(content, rng):
    return content[: rng.integers(len(content))]


def splice(content, rng):
    a, b = sorted(rng.integers(len(content), size=2))
    return content[:a] + rng.bytes(rng.integers(8)) + content[b:]


def edit_proto(content, rng):
    """Change one field of the message into something hostile."""
    model = onnx.load_model_from_string(content)
    graph = model.graph
    tensor = graph.initializer[rng.integers(len(graph.initializer))]
    layer = graph.node[rng.integers(len(graph.node))]
    value = int(rng.choice(HUGE))

    def dims():
        tensor.dims[rng.integers(len(tensor.dims))] = value

    def more_dims():
        tensor.dims.extend([1] * 70)

    def dtype():
        tensor.data_type = int(rng.integers(-1, 30))

    def not_finite():
        array = numpy_helper.to_array(tensor).copy()
        array.reshape(-1)[0] = rng.choice([np.nan, np.inf]) if array.dtype.kind == "f" else value
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    def external():
        tensor.data_location = TensorProto.EXTERNAL
        location = str(rng.choice(["/etc/passwd", "../x", "", ".", "\0", "model.onnx"]))
        tensor.external_data.add(key="location", value=location)

    def input_dim():
        shape = graph.input[0].type.tensor_type.shape
        shape.dim[rng.integers(len(shape.dim))].dim_value = value

    def cycle():
        graph.node[0].input[0] = graph.node[-1].output[0]

    def order():
        nodes = [graph.node[i] for i in rng.permutation(len(graph.node))]
        copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
        del graph.node[:]
        graph.node.extend(copies)

    def rewire():
        names = [*(n.output[0] for n in graph.node), "x", "w", "", "nothing"]
        layer.input[rng.integers(len(layer.input))] = str(rng.choice(names))

    def inputs():
        del layer.input[rng.integers(len(layer.input)) :]

    def outputs():
        del layer.output[:]

    def op():
        layer.op_type = str(rng.choice(["Loop", "Relu", "Conv", "Shape", "Concat", "Pad", "Gemm"]))

    def attribute():
        names = ["kernel_shape", "strides", "pads", "dilations", "group", "axis", "auto_pad", "to"]
        values = [[value] * 2, [value] * 4, value, "SAME_UPPER", 1.5, [1.5], [1, value]]
        del layer.attribute[:]
        chosen = values[rng.integers(len(values))]
        layer.attribute.append(helper.make_attribute(str(rng.choice(names)), chosen))

    def opset():
        model.opset_import[0].version = value

    def no_type():
        graph.input[0].ClearField("type")

    def duplicate():
        graph.node.append(graph.node[0])
        graph.node[-1].name = "again\n" * 9

    edits = [dims, more_dims, dtype, not_finite, external, input_dim, cycle, order, rewire]
    edits += [inputs, outputs, op, attribute, attribute, attribute, opset, no_type, duplicate]
    edits[rng.integers(len(edits))]()
    return model.SerializeToString()


@pytest.mark.parametrize("damage", [flip, truncate, splice, edit_proto])
def test_damaged_onnx_files(damage, tmp_path):
    rng = np.random.default_rng(4)
    content = small_onnx().SerializeToString()
    refused = Counter()
    for i in range(100):
        path = tmp_path / f"{i}.onnx"
        path.write_bytes(damage(content, rng))
        refused[import_or_refuse(path) is not None] += 1
    # A flipped bit of a weight is a legal network; a cut file never is.
    assert refused[True] >= {flip: 20, truncate: 99, splice: 90, edit_proto: 60}[damage]


# --- damage to exported programs ------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = export_pt2(small_net(), (1, 8, 8), tmp_path_factory.mktemp("pt2") / "net.pt2")
    with zipfile.ZipFile(path) as z:
        return {info.filename: z.read(info) for info in z.infolist()}


def pack(members, path):
    with zipfile.ZipFile(path, "w") as z:
        for name, content in members.items():
            z.writestr(name, content)
    return path


def member(members, suffix):
    return next(name for name in members if name.endswith(suffix))


def edit_json(members, rng):
    """Replace or delete one value anywhere in the graph or in the list of weights."""
    suffix = rng.choice(["model.json", "weights_config.json"])
    name = member(members, suffix)
    document = json.loads(members[name])
    for key in ("module_call_graph", "metadata"):
        document.get("graph_module", {}).pop(key, None)
    places = []

    def walk(part):
        for key in part if isinstance(part, dict) else range(len(part)):
            if key not in ("metadata", "stack_trace"):
                places.append((part, key))
                if isinstance(part[key], dict | list):
                    walk(part[key])

    walk(document)
    part, key = places[rng.integers(len(places))]
    hostile = [
        None,
        True,
        -1,
        0,
        10**9,
        2**63,
        10**30,
        1.5,
        "",
        "x",
        "../../x",
        [],
        {},
        [1],
        [10**9] * 2,
    ]
    choice = rng.integers(len(hostile) + 1)
    if choice == len(hostile):
        del part[key]
    else:
        part[key] = hostile[choice]
    return {**members, name: json.dumps(document).encode()}


def damage_member(members, rng):
    name = list(members)[rng.integers(len(members))]
    content = members[name]
    kind = rng.integers(3) if content else 2
    if kind == 0:
        return {**members, name: flip(content, rng)}
    if kind == 1:
        return {**members, name: truncate(content, rng)}
    return {k: v for k, v in members.items() if k != name}


@pytest.mark.parametrize("damage", [edit_json, damage_member])
def test_damaged_programs(damage, archive, tmp_path):
    rng = np.random.default_rng(5)
    refused = sum(
        import_or_refuse(pack(damage(archive, rng), tmp_path / f"{i}.pt2")) is not None
        for i in range(120)
    )
    assert refused >= 30


@pytest.mark.parametrize("damage", [flip, truncate])
def test_damaged_archives(damage, archive, tmp_path):
    rng = np.random.default_rng(6)
    content = pack(archive, tmp_path / "good.pt2").read_bytes()
    for i in range(60):
        path = tmp_path / f"{i}.pt2"
        path.write_bytes(damage(content, rng))
        error = import_or_refuse(path)
        assert damage is flip or error is not None


class Canary:
    """Unpickling one of these creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return io.open, (str(self.path), "w")


@pytest.fixture
def canary(tmp_path):
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "a model file ran code"


def test_the_canary_sings(tmp_path):
    pickle.loads(pickle.dumps(Canary(tmp_path / "canary"))).close()
    assert (tmp_path / "canary").exists()


def test_pickles_in_a_program_are_never_opened(archive, canary, tmp_path):
    evil = pickle.dumps(Canary(canary))
    samples = member(archive, "sample_inputs/model.pt")
    assert import_or_refuse(pack({**archive, samples: evil}, tmp_path / "a.pt2")) is None

    config = member(archive, "weights_config.json")
    document = json.loads(archive[config])
    entry = document["config"]["fc.weight"]
    entry["use_pickle"] = True
    weights = member(archive, "weights/" + entry["path_name"])
    members = {**archive, config: json.dumps(document).encode(), weights: evil}
    assert "pickle" in str(import_or_refuse(pack(members, tmp_path / "b.pt2")))


def test_expressions_in_a_program_are_never_evaluated(archive, canary, tmp_path):
    expression = f"open({str(canary)!r}, 'w')"
    name = member(archive, "model.json")
    text = archive[name].decode()
    sizes = {"as_expr": {"expr_str": expression, "hint": None}}
    document = json.loads(text)
    graph = document["graph_module"]["graph"]
    for values in graph["tensor_values"].values():
        if values["sizes"]:
            values["sizes"][0] = sizes
    document["range_constraints"] = {expression: {"min_val": 0, "max_val": 9}}
    document["guards_code"] = [expression]
    import_or_refuse(pack({**archive, name: json.dumps(document).encode()}, tmp_path / "a.pt2"))


@pytest.mark.parametrize(
    "target",
    ["torch.ops.aten.from_file.default", "os.system", "torch.ops.aten", "builtins.eval.x.y"],
)
def test_operators_outside_the_table_are_never_called(target, archive, tmp_path):
    name = member(archive, "model.json")
    members = {
        **archive,
        name: archive[name].replace(b"torch.ops.aten.max_pool2d.default", target.encode()),
    }
    assert "is not supported" in str(import_or_refuse(pack(members, tmp_path / "a.pt2")))


def test_zip_bomb_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt2", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("a/models/model.json", " " * 10**7)
    assert "compressed" in str(import_or_refuse(tmp_path / "a.pt2"))


def test_deeply_nested_json_is_refused(archive, tmp_path):
    members = {**archive, member(archive, "model.json"): b'{"a":' * 200_000}
    assert import_or_refuse(pack(members, tmp_path / "a.pt2")) is not None


# --- other files, and sizes -----------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 1000, b"hello\n" * 100, b"PK\x03\x04", pickle.dumps({"a": 1})]
)
def test_wrong_kinds_of_file(suffix, content, tmp_path):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    assert import_or_refuse(path) is not None


@pytest.mark.parametrize(
    "name", ["model.h5", "model.txt", "missing.onnx", "missing.pt2", "a.py:f", ""]
)
def test_wrong_names(name, tmp_path):
    assert import_or_refuse(str(tmp_path / name)) is not None


def test_folder_instead_of_a_file(tmp_path):
    (tmp_path / "a.onnx").mkdir()
    assert "no such file" in str(import_or_refuse(tmp_path / "a.onnx"))


def test_oversized_file_is_not_read(tmp_path):
    for suffix in (".onnx", ".pt2"):
        path = tmp_path / f"a{suffix}"
        with path.open("wb") as stream:
            stream.truncate(1 << 40)  # sparse
        assert "larger than" in str(import_or_refuse(path))


def bombs(folder):
    """Small files that ask for much time or memory."""
    w = np.ones((64, 64, 3, 3), np.float32)
    ones = np.ones((1, 1, 1, 1), np.float32)
    side = 4000
    chain = [node("Relu", "x" if i == 0 else f"r{i - 1}", f"r{i}") for i in range(9)]
    cases = {
        "huge input": ([node("Flatten", "x", "y")], {}, (1, 2**20, 2**20)),
        "huge padding": (
            [node("Conv", "x w", "p", pads=[2**40] * 4), node("Flatten", "p", "y")],
            {"w": ones}, (1, 4, 4),
        ),
        "large layers": ([*chain, node("Flatten", "r8", "y")], {}, (1, side, side)),
        "large patches": (
            [node("Conv", "x w", "p", pads=[1] * 4), node("GlobalAveragePool", "p", "y")],
            {"w": w[:1]}, (64, 300, 300),
        ),
        "many operations": (
            [node("Conv", "x w", "p", pads=[1] * 4), node("GlobalAveragePool", "p", "y")],
            {"w": w}, (64, 500, 500),
        ),
        "largest accepted patches": (
            [node("Conv", "x w", "p", pads=[1] * 4), node("GlobalAveragePool", "p", "y")],
            {"w": w[:1]}, (64, 168, 168),
        ),
        "shared weights": (
            [node("Gemm", "x w" if i == 0 else f"g{i - 1} w", f"g{i}") for i in range(200)]
            + [node("Identity", "g199", "y")],
            {"w": np.eye(2000, dtype=np.float32)}, (2000,),
        ),
        "many nodes": (
            [node("Relu", "x" if i == 0 else f"r{i - 1}", f"r{i}", name="r") for i in range(9_990)]
            + [node("Flatten", "r9989", "y")],
            {}, (4,),
        ),
        "too many nodes": ([node("Relu", "x", "y") for _ in range(20_000)], {}, (4,)),
        "unused explosion": (
            [node("ConstantOfShape", "n", "dead"), node("Gemm", "x w", "y")],
            {"n": np.array([2**40]), "w": np.eye(4, dtype=np.float32)}, (4,),
        ),
        "doubling constants": (
            [node("Concat", "n n", "c0", axis=0)]
            + [node("Concat", f"c{i} c{i}", f"c{i + 1}", axis=0) for i in range(40)]
            + [node("Reshape", "x c40", "y")],
            {"n": np.array([1])}, (4,),
        ),
        "wide selection": (
            [node("Pad", "x p", "q"), node("GlobalAveragePool", "q", "y")],
            {"p": np.array([0, 2**22, 0, 0, 0, 0, 0, 0])}, (4096, 1, 1),
        ),
    }  # fmt: skip
    return [
        save_onnx(onnx_model(nodes, constants, shape), folder, f"{name}.onnx")
        for name, (nodes, constants, shape) in cases.items()
    ]


MEASURE = """
import resource, sys, time
from pysnn_hw.errors import ModelError
from pysnn_hw.frontend import import_model
for path in sys.argv[1:]:
    start = time.process_time()
    try:
        import_model(path)
        outcome = "imported"
    except ModelError as error:
        outcome = str(error)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{time.process_time() - start:.1f}|{peak}|{outcome}")
"""


def test_hostile_sizes_take_little_time_and_memory(tmp_path):
    paths = bombs(tmp_path)
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
    assert imported == {"largest accepted patches", "many nodes", "unused explosion"}, report
