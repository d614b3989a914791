# SPDX-License-Identifier: BSD-2-Clause
"""Every ONNX operator, imported and compared with onnxruntime."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend import import_model
from pysnn_hw.ir.ann import (
    Affine,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    Linear,
    Relu,
    evaluate,
)
from tests.unit.frontend.models import node, onnx_model, run_onnx, save_onnx, small_onnx

RNG = np.random.default_rng(1)


def f32(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


SMALL, LARGE = np.array(0.0, np.float32), np.array(0.7, np.float32)
# name: (nodes ending in "z" of the stated shape, constants, input shape, opset)
CASES = {
    "conv": ([node("Conv", "x w b", "z")], {"w": f32(4, 3, 3, 2), "b": f32(4)}, (3, 7, 6), 17),
    "conv strides pads": (
        [node("Conv", "x w", "z", strides=[2, 3], pads=[1, 0, 2, 3])],
        {"w": f32(4, 3, 3, 3)}, (3, 8, 9), 17,
    ),
    "conv groups": ([node("Conv", "x w", "z", group=2)], {"w": f32(4, 2, 3, 3)}, (4, 5, 5), 17),
    "conv depthwise": ([node("Conv", "x w", "z", group=4)], {"w": f32(4, 1, 3, 3)}, (4, 5, 5), 17),
    **{
        f"conv {mode} {size} stride {stride} kernel {kernel} opset {opset}": (
            [node("Conv", "x w", "z", auto_pad=mode, strides=[stride, stride])],
            {"w": f32(2, 3, kernel, kernel)}, (3, size, size + 1), opset,
        )
        for mode in ("SAME_UPPER", "SAME_LOWER", "VALID")
        for size, stride, kernel, opset in ((8, 1, 4, 8), (7, 2, 3, 17), (8, 3, 2, 13))
    },
    "pad before conv": (
        [node("Pad", "x p", "q"), node("Conv", "q w", "z", pads=[0, 1, 0, 0])],
        {"p": np.array([0, 0, 1, 2, 0, 0, 3, 0]), "w": f32(2, 3, 3, 3)}, (3, 5, 5), 13,
    ),
    "pad attribute": (
        [node("Pad", "x", "z", pads=[0, 0, 1, 0, 0, 2, 0, 1])], {}, (3, 4, 4), 8,
    ),
    "concat": (
        [node("Relu", "x", "r"), node("Conv", "x w", "c"), node("Concat", "r c x", "z", axis=1)],
        {"w": f32(4, 3, 1, 1)}, (3, 5, 4), 17,
    ),
    "concat counted from the end": (
        [node("Relu", "x", "r"), node("Concat", "r x", "z", axis=-3)], {}, (3, 5, 4), 13,
    ),
    "batch norm": (
        [node("BatchNormalization", "x g b m v", "z", epsilon=0.03)],
        {"g": f32(3), "b": f32(3), "m": f32(3), "v": np.abs(f32(3)) + 0.1}, (3, 4, 4), 15,
    ),
    "clip inputs": (
        [node("Clip", "x lo hi", "z")], {"lo": SMALL, "hi": LARGE}, (2, 4, 4), 13,
    ),
    "clip attributes": ([node("Clip", "x", "z", min=0.0, max=6.0)], {}, (2, 4, 4), 8),
    "clip unbounded": ([node("Clip", "x", "z", min=0.0)], {}, (2, 4, 4), 8),
    "max pool": (
        [node("MaxPool", "x", "z", kernel_shape=[3, 2], strides=[2, 1])], {}, (2, 7, 8), 12,
    ),
    "max pool default stride": ([node("MaxPool", "x", "z", kernel_shape=[2, 3])], {}, (2, 5, 5), 8),
    "max pool ceil without effect": (
        [node("MaxPool", "x", "z", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)],
        {}, (2, 6, 6), 12,
    ),
    "average pool": (
        [node("AveragePool", "x", "z", kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER")],
        {}, (2, 6, 4), 11,
    ),
    "global average": ([node("GlobalAveragePool", "x", "z")], {}, (3, 4, 5), 17),
    "global max": ([node("GlobalMaxPool", "x", "z")], {}, (3, 4, 5), 17),
    "reduce mean attribute": ([node("ReduceMean", "x", "z", axes=[2, 3])], {}, (3, 4, 5), 13),
    "reduce mean input": (
        [node("ReduceMean", "x a", "z", keepdims=0)], {"a": np.array([-1, -2])}, (3, 4, 5), 18,
    ),
    "add map constant": ([node("Add", "b x", "z")], {"b": f32(3, 1, 1)}, (3, 4, 4), 8),
    "add scalar": ([node("Add", "x b", "z")], {"b": f32()}, (3, 4, 4), 8),
    "sub constant": ([node("Sub", "x b", "z")], {"b": f32(1, 3, 1, 1)}, (3, 4, 4), 8),
    "constant sub": ([node("Sub", "b x", "z")], {"b": f32(1, 3, 1, 1)}, (3, 4, 4), 8),
    "mul div": (
        [node("Mul", "a x", "q"), node("Div", "q b", "z")],
        {"a": f32(3, 1, 1), "b": f32(3, 1, 1) + 3}, (3, 4, 4), 8,
    ),
    "residual": ([node("Relu", "x", "r"), node("Add", "r x", "z")], {}, (3, 4, 4), 8),
    "twice": ([node("Add", "x x", "z")], {}, (3, 4, 4), 8),
    "identity dropout cast": (
        [node("Identity", "x", "p"), node("Dropout", "p", "q"), node("Cast", "q", "r", to=1),
         node("Relu", "r", "z")],
        {}, (3, 4, 4), 13,
    ),
    "strided slice and channel pad": (
        [node("Slice", "x s e a t", "q"), node("Pad", "q p", "z")],
        {"s": np.array([0, 0]), "e": np.array([2**62, 99]), "a": np.array([2, 3]),
         "t": np.array([2, 3]), "p": np.array([0, 2, 0, 0, 0, 1, 0, 0])}, (3, 7, 7), 13,
    ),
    "channel slice": (
        [node("Slice", "x s e a", "z")],
        {"s": np.array([1]), "e": np.array([3]), "a": np.array([1])}, (4, 3, 3), 13,
    ),
    "channel slice and channel pad": (
        [node("Slice", "x s e a", "q"), node("Pad", "q p", "z")],
        {"s": np.array([1]), "e": np.array([3]), "a": np.array([1]),
         "p": np.array([0, 1, 0, 0, 0, 0, 0, 0])}, (4, 3, 3), 13,
    ),
    "slice attributes": (
        [node("Slice", "x", "z", starts=[1], ends=[-1], axes=[1])], {}, (4, 3, 3), 8,
    ),
    "squeeze unsqueeze": (
        [node("GlobalAveragePool", "x", "p"), node("Squeeze", "p a", "q"),
         node("Unsqueeze", "q a", "z")],
        {"a": np.array([2, 3])}, (3, 4, 4), 13,
    ),
}  # fmt: skip


def check(model, shape, tmp_path, batch=1):
    imported = import_model(save_onnx(model, tmp_path))
    x = RNG.standard_normal((batch, *shape)).astype(np.float32)
    got, _ = evaluate(imported.graph, x.reshape(batch, *imported.graph.input.shape))
    want = run_onnx(model, x).reshape(got.shape)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    return imported.graph


@pytest.mark.parametrize("name", CASES)
def test_operator_matches_onnxruntime(name, tmp_path):
    nodes, constants, shape, opset = CASES[name]
    x = np.zeros((1, *shape), np.float32)
    probe = run_onnx(onnx_model(nodes, constants, shape, opset=opset, output="z"), x)
    # A classifier behind it: graphs end in a vector.
    tail = [node("Flatten", "z", "flat"), node("MatMul", "flat tail", "y")]
    constants = {**constants, "tail": f32(probe.size, 5)}
    check(onnx_model([*nodes, *tail], constants, shape, opset=opset), shape, tmp_path)


VECTORS = {
    "gemm": ([node("Gemm", "x w b", "y", alpha=0.5, beta=2.0)], {"w": f32(6, 4), "b": f32(4)}),
    "gemm scalar bias": (
        [node("Gemm", "x w b", "y", transB=1)], {"w": f32(4, 6), "b": f32(1)},
    ),
    "matmul and bias": (
        [node("MatMul", "x w", "q"), node("Add", "q b", "y")], {"w": f32(6, 4), "b": f32(1, 4)},
    ),
    "softmax": ([node("Gemm", "x w", "q"), node("Softmax", "q", "y")], {"w": f32(6, 4)}),
    "log softmax": (
        [node("Gemm", "x w", "q"), node("LogSoftmax", "q", "y", axis=1)], {"w": f32(6, 4)},
    ),
    "batch norm of a vector": (
        [node("BatchNormalization", "x g b m v", "y")],
        {"g": f32(6), "b": f32(6), "m": f32(6), "v": np.abs(f32(6)) + 0.1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VECTORS)
def test_vector_operator_matches_onnxruntime(name, tmp_path):
    nodes, constants = VECTORS[name]
    check(onnx_model(nodes, constants, (6,), batch=3), (6,), tmp_path, batch=3)


def test_exported_flatten_by_shape_arithmetic(tmp_path):
    """Shape, Gather, Unsqueeze, Concat, Reshape: how exporters write ``x.view(x.size(0), -1)``."""
    constants = {"zero": np.array(0), "axis": np.array([0]), "rest": np.array([-1]), "w": f32(4, 8)}
    nodes = [
        node("Relu", "x", "r"),
        node("Shape", "r", "s"),
        node("Gather", "s zero", "n", axis=0),
        node("Unsqueeze", "n axis", "n1"),
        node("Concat", "n1 rest", "target", axis=0),
        node("Reshape", "r target", "flat"),
        node("Gemm", "flat w", "y", transB=1),
    ]
    graph = check(onnx_model(nodes, constants, (2, 2, 2), batch=2), (2, 2, 2), tmp_path, batch=2)
    assert [type(n) for n in graph.nodes[1:]] == [Relu, Flatten, Linear]


def test_constants_in_nodes_and_reshaped_weights(tmp_path):
    value = numpy_helper.from_array(f32(2, 2, 2, 5))
    nodes = [
        helper.make_node("Constant", [], ["w"], value=value),
        helper.make_node("Constant", [], ["target"], value_ints=[8, 5]),
        node("Reshape", "w target", "matrix"),
        node("Flatten", "x", "flat"),
        node("MatMul", "flat matrix", "y"),
    ]
    check(onnx_model(nodes, {}, (2, 2, 2)), (2, 2, 2), tmp_path)


def test_pad_is_absorbed_and_selection_is_one_convolution(tmp_path):
    nodes, constants, shape, opset = CASES["strided slice and channel pad"]
    tail = [node("GlobalAveragePool", "z", "y")]
    graph = check(onnx_model([*nodes, *tail], constants, shape, opset=opset), shape, tmp_path)
    assert [type(n) for n in graph.nodes[1:]] == [Conv2d, GlobalAvgPool]
    (conv,) = (n for n in graph.nodes if isinstance(n, Conv2d))
    assert conv.stride == (2, 3)
    assert conv.weight.shape == (6, 3, 1, 1)
    assert set(np.unique(conv.weight)) == {0.0, 1.0}


def test_first_layer_may_be_a_normalisation(tmp_path):
    nodes = [
        node("Sub", "x mean", "p"),
        node("Div", "p std", "q"),
        node("GlobalAveragePool", "q", "y"),
    ]
    constants = {"mean": f32(3, 1, 1), "std": np.abs(f32(3, 1, 1)) + 1}
    graph = check(onnx_model(nodes, constants, (3, 4, 4)), (3, 4, 4), tmp_path)
    assert [type(n) for n in graph.nodes[1:3]] == [Affine, Affine]


def test_float64_model(tmp_path):
    w = RNG.standard_normal((4, 6))
    model = onnx_model(
        [node("Gemm", "x w", "y", transB=1)], {"w": w}, (6,), dtype=TensorProto.DOUBLE
    )
    (linear,) = import_model(save_onnx(model, tmp_path)).graph.nodes[1:]
    np.testing.assert_array_equal(linear.weight, w)


def test_symbolic_batch_and_given_shape(tmp_path):
    model = small_onnx()
    path = save_onnx(model, tmp_path)
    assert import_model(path).graph.input.shape == (1, 6, 6)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[2].Clear()
    dims[3].dim_param = "width"
    path = save_onnx(model, tmp_path)
    assert import_model(path, (1, 6, 6)).graph.input.shape == (1, 6, 6)


def external_model(location, length="108"):
    """The small model with its weight moved out, and the bytes of that weight."""
    model = small_onnx()
    (tensor,) = (t for t in model.graph.initializer if t.name == "w")
    content = b"skip" + tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "4", "length": length}.items():
        tensor.external_data.add(key=key, value=value)
    return model, content


def test_external_data_beside_the_model(tmp_path):
    want = import_model(save_onnx(small_onnx(), tmp_path)).graph
    model, content = external_model("weights.bin")
    (tmp_path / "weights.bin").write_bytes(content)
    got = import_model(save_onnx(model, tmp_path, "split.onnx")).graph
    np.testing.assert_array_equal(got.nodes[1].weight, want.nodes[1].weight)


@pytest.mark.parametrize("kind", ["relative", "absolute", "link"])
def test_external_data_outside_the_folder_are_refused(kind, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    outside = tmp_path / "weights.bin"
    location = {"relative": "../weights.bin", "absolute": str(outside), "link": "link.bin"}[kind]
    model, content = external_model(location)
    outside.write_bytes(content)
    (folder / "link.bin").symlink_to(outside)
    with pytest.raises(ModelError, match="no file beside the model"):
        import_model(save_onnx(model, folder))


def test_external_data_of_hostile_size_are_not_read(tmp_path):
    model, _ = external_model("weights.bin", str(4 << 40))
    (tensor,) = (t for t in model.graph.initializer if t.name == "w")
    tensor.dims[:] = [1 << 40, 1, 1, 1]
    with (tmp_path / "weights.bin").open("wb") as stream:
        stream.truncate((4 << 40) + 4)  # sparse
    with pytest.raises(ModelError, match="more than a model may hold"):
        import_model(save_onnx(model, tmp_path))
