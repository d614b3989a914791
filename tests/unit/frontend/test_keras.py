# SPDX-License-Identifier: BSD-2-Clause
"""Keras layers and files: imported as Keras itself evaluates them, or refused by name."""

import warnings

import h5py
import numpy as np
import pytest

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend import import_model, list_unsupported
from pysnn_hw.frontend.keras import load_model, make_reference
from pysnn_hw.ir.ann import Add, BatchNorm, Concat, Conv2d, Linear, Relu, Softmax, evaluate
from tests.unit.frontend.keras_models import (
    L,
    edit_archive,
    edit_hdf5,
    functional,
    keras,
    predict,
    randomise,
    residual_net,
    save,
    sequential,
    to_keras_2,
)
from tests.unit.frontend.models import SHARED
from tests.unit.frontend.test_real_models import correct, needs_shared

# Keras turns its variables into arrays the way of numpy 1.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FORMATS = {
    ".keras": save,
    ".h5": lambda model, folder: save(model, folder, ".h5"),
    ".h5 of Keras 2": lambda model, folder: to_keras_2(save(model, folder, ".h5")),
}


def check(model, path, rng_seed=1):
    """Graph and reference both agree with Keras; returns the graph."""
    graph = import_model(path).graph
    rng = np.random.default_rng(rng_seed)
    x = rng.standard_normal((4, *graph.input.shape)).astype(np.float32)
    want = predict(model, x).reshape(4, -1)
    np.testing.assert_allclose(evaluate(graph, x)[0], want, rtol=1e-4, atol=1e-5)
    # The reference of the import is code of ours, too: Keras is the judge of it.
    reference = make_reference(load_model(path))(x).reshape(4, -1)
    np.testing.assert_allclose(reference, want, rtol=1e-4, atol=1e-5)
    return graph


# --- formats --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_residual_network(form, tmp_path):
    model = residual_net()
    graph = check(model, FORMATS[form](model, tmp_path))
    assert graph.input.shape == (3, 9, 8)
    kinds = [type(n) for n in graph.nodes]
    assert (kinds.count(Conv2d), kinds.count(Relu), kinds.count(Add)) == (2, 2, 1)
    assert graph.node("first").padding == (1, 0, 1, 1)
    assert graph.node("norm").eps == 0.02
    assert isinstance(graph.nodes[-1], Softmax)
    assert isinstance(graph.node("scores"), Linear)


@pytest.mark.parametrize("form", FORMATS)
def test_sequential_model_with_several_layers_of_a_kind(form, tmp_path):
    layers = [L.Conv2D(4, 3), L.ReLU(max_value=1.5), L.Conv2D(5, 2, use_bias=False)]
    layers += [L.BatchNormalization(), L.Conv2D(3, 1), L.Flatten(), L.Dense(6), L.Dense(2)]
    model = sequential((7, 6, 2), *layers)
    check(model, FORMATS[form](model, tmp_path))


def inception(x):
    """Branches that meet, also as vectors that were flattened in Keras' order."""
    a = L.Conv2D(4, 3, padding="same", activation="relu")(x)
    b = L.Conv2D(3, 1, activation="relu")(x)
    both = L.Concatenate(name="joined")([a, b])
    c = L.Conv2D(5, 3, activation="relu")(L.Concatenate()([both, x]))
    flat = L.Concatenate(name="vectors")([L.Flatten()(c), L.GlobalAveragePooling2D()(both)])
    return L.Dense(5)(flat)


@pytest.mark.parametrize("form", FORMATS)
def test_concatenation(form, tmp_path):
    model = functional((6, 5, 2), inception)
    graph = check(model, FORMATS[form](model, tmp_path))
    assert len([n for n in graph.nodes if isinstance(n, Concat)]) == 3


def test_model_in_memory():
    model = residual_net()
    imported = import_model(model)
    assert 0 < imported.max_relative_difference < 1e-4
    assert imported.graph.input.shape == (3, 9, 8)


def test_model_in_memory_is_its_own_reference():
    class Wrong(keras.Sequential):
        def call(self, *args, **kwargs):
            return super().call(*args, **kwargs) * 1.01

    model = sequential((4,), L.Dense(3))
    wrong = Wrong.from_config(model.get_config())
    wrong.set_weights(model.get_weights())
    with pytest.raises(ModelError):
        import_model(wrong)


def test_factory_that_returns_a_keras_model(tmp_path):
    (tmp_path / "net.py").write_text(
        "import keras\ndef build():\n"
        "    return keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)])\n"
    )
    assert import_model(f"{tmp_path / 'net.py'}:build").graph.input.shape == (4, 1, 1)


# --- layers ---------------------------------------------------------------------------------

EACH = {
    "same, stride 2, even": ((8, 8, 2), [L.Conv2D(3, 3, strides=2, padding="same")]),
    "same, stride 2, odd": ((9, 7, 2), [L.Conv2D(3, 3, strides=2, padding="same")]),
    "same, even kernel": ((8, 8, 2), [L.Conv2D(3, (4, 2), padding="same")]),
    "same, stride over kernel": ((8, 8, 2), [L.Conv2D(3, 1, strides=2, padding="same")]),
    "valid, rectangular": ((8, 9, 2), [L.Conv2D(3, (3, 2), strides=(2, 2))]),
    "groups": ((8, 8, 4), [L.Conv2D(6, 3, groups=2)]),
    "fused relu6": ((8, 8, 2), [L.Conv2D(3, 3, activation="relu6")]),
    "layer as activation": ((8, 8, 2), [L.Conv2D(3, 3, activation=L.ReLU(max_value=0.5))]),
    "depthwise": ((8, 8, 2), [L.DepthwiseConv2D(3, strides=2, padding="same")]),
    "depth multiplier": ((8, 8, 2), [L.DepthwiseConv2D(3, depth_multiplier=3, use_bias=False)]),
    "separable": ((8, 8, 2), [L.SeparableConv2D(5, 3, padding="same", activation="relu")]),
    "separable, multiplier": ((8, 8, 2), [L.SeparableConv2D(5, 3, 2, depth_multiplier=2)]),
    "norm without scale": ((4, 4, 3), [L.BatchNormalization(scale=False, epsilon=0.1)]),
    "norm without center": ((4, 4, 3), [L.BatchNormalization(center=False)]),
    "norm without either": ((4, 4, 3), [L.BatchNormalization(scale=False, center=False)]),
    "norm of a flattened map": ((4, 4, 3), [L.Flatten(), L.BatchNormalization()]),
    "relu of a flattened map": ((4, 4, 3), [L.Flatten(), L.ReLU(), L.Dropout(0.5)]),
    "max pool": ((7, 6, 2), [L.MaxPooling2D(3, strides=2)]),
    "same pool that fits": ((8, 6, 2), [L.MaxPooling2D(2, padding="same")]),
    "average pool": ((7, 6, 2), [L.AveragePooling2D((3, 2))]),
    "global average": ((7, 6, 2), [L.GlobalAveragePooling2D()]),
    "global average, kept": ((7, 6, 2), [L.GlobalAveragePooling2D(keepdims=True), L.Conv2D(3, 1)]),
    "global maximum": ((7, 6, 2), [L.GlobalMaxPooling2D()]),
    "reshape to a vector": ((3, 4, 2), [L.Reshape((24,))]),
    "reshape, open": ((3, 4, 2), [L.Reshape((-1,))]),
    "reshape to a map": ((3,), [L.Reshape((1, 1, 3)), L.Conv2D(2, 1)]),
    "image without channels": ((5, 6), [L.Flatten()]),
    "channel axis added": ((5, 6), [L.Reshape((5, 6, 1)), L.Conv2D(2, 3)]),
    "zero padding": (
        (5, 6, 2), [L.ZeroPadding2D(((1, 2), (0, 3))), L.Conv2D(2, 3, padding="same")],
    ),
    "zero padding of a pool": ((5, 5, 2), [L.ZeroPadding2D(1), L.MaxPooling2D(3, 2)]),
    "rescaling": ((5, 6, 2), [L.Rescaling(1 / 127.5, offset=-1.0)]),
    "normalization": ((5, 6, 2), [L.Normalization(mean=[1.0, 2.0], variance=[4.0, 0.5])]),
    "noise": ((5, 6, 2), [L.GaussianNoise(0.1), L.SpatialDropout2D(0.2), L.RandomFlip()]),
    "regularisation": ((5, 6, 2), [L.ActivityRegularization(0.1), L.GaussianDropout(0.2)]),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", EACH)
def test_layer(name, suffix, tmp_path):
    shape, layers = EACH[name]
    fresh = [layer.__class__.from_config(layer.get_config()) for layer in layers]
    model = sequential(shape, *fresh, L.Flatten(), L.Dense(3))
    check(model, save(model, tmp_path, suffix))


def test_adapted_normalization(tmp_path):
    norm = L.Normalization()
    rng = np.random.default_rng(0)
    norm.adapt(rng.random((20, 4, 4, 3)).astype(np.float32) * [1, 2, 3])
    model = keras.Sequential([L.Input((4, 4, 3)), norm, L.Flatten(), L.Dense(2)])
    for suffix in (".keras", ".h5"):
        check(model, save(model, tmp_path, suffix))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_operations_and_branches(suffix, tmp_path):
    def run(x):
        a = L.Conv2D(3, 1, name="z")(x)
        b = L.Conv2D(3, 1, name="a")(x)
        c = keras.ops.relu(a + b)
        d = L.Add()([L.Flatten()(c), L.Flatten()(a), L.Reshape((-1,))(b)])
        return L.Dense(2)(d)

    model = functional((4, 5, 2), run)
    check(model, save(model, tmp_path, suffix))


def test_zero_padding_is_absorbed_by_the_next_convolution(tmp_path):
    model = sequential((5, 5, 1), L.ZeroPadding2D(1), L.Conv2D(2, 3), L.Flatten(), L.Dense(2))
    graph = check(model, save(model, tmp_path))
    convs = [n for n in graph.nodes if isinstance(n, Conv2d)]
    assert [n.padding for n in convs] == [(1, 1, 1, 1)]


def test_half_precision_training_keeps_full_weights(tmp_path):
    policy = keras.DTypePolicy("mixed_bfloat16")
    model = sequential((4,), L.Dense(3, dtype=policy))
    graph = import_model(save(model, tmp_path)).graph
    weight = next(n for n in graph.nodes if isinstance(n, Linear)).weight
    np.testing.assert_array_equal(weight, np.asarray(model.get_weights()[0], np.float64).T)


def test_open_sizes_are_filled_in(tmp_path):
    path = save(sequential((None, None, 2), L.Conv2D(3, 3), L.GlobalAveragePooling2D()), tmp_path)
    with pytest.raises(ModelError, match="give the input shape"):
        import_model(path)
    assert import_model(path, (2, 6, 5)).graph.input.shape == (2, 6, 5)
    with pytest.raises(
        ModelError, match=r"takes images \?x\?x2 \(channels last\), not \(5, 6, 2\)"
    ):
        import_model(path, (5, 6, 2))


def test_sequential_model_that_names_no_input(tmp_path):
    model = keras.Sequential([L.Flatten(), L.Dense(2)])
    model.build((None, 3, 3, 2))
    path = save(randomise(model), tmp_path)
    check(model, edit_archive(path, lambda c: c["config"]["layers"].pop(0)))

    def forget(c):
        del c["config"]["build_input_shape"]

    with pytest.raises(ModelError, match="leaves the shape of its images open"):
        import_model(edit_archive(path, forget))
    assert import_model(path, (2, 3, 3)).graph.input.shape == (2, 3, 3)


@needs_shared
@pytest.mark.slow
def test_residual_network_of_keras_2():
    imported = import_model(SHARED / "models" / "mlperf_tiny" / "pretrainedResnet.h5")
    assert imported.max_relative_difference < 1e-4
    paddings = {n.name: n.padding for n in imported.graph.nodes if isinstance(n, Conv2d)}
    assert paddings["conv2d"] == (1, 1, 1, 1)
    assert paddings["conv2d_3"] == (0, 0, 1, 1)
    assert paddings["conv2d_5"] == (0, 0, 0, 0)
    assert all(n.eps == 0.001 for n in imported.graph.nodes if isinstance(n, BatchNorm))
    data = np.load(SHARED / "data" / "cifar10" / "cifar10_test.npz")
    images = data["x_test"].transpose(0, 3, 1, 2).astype(np.float32)
    assert correct(imported.graph, images, data["y_test"]) == 8721


# --- refusals -------------------------------------------------------------------------------


def squash(x):
    return x


def relu(x):
    """A file cannot tell it from Keras' own, which has the same name."""
    return 2 * keras.ops.relu(x)


def two(x):
    relu = L.ReLU(name="again")
    return L.Flatten()(relu(L.Conv2D(2, 1)(relu(x))))


MAP = (6, 6, 2)
REFUSED = {
    "sigmoid": ((4,), [L.Dense(3, activation="sigmoid", name="fc")], r"fc \(Dense.*oid'.*ReLU"),
    "leaky": (MAP, [L.LeakyReLU(name="leak")], r"leak \(LeakyReLU\).*ReLU"),
    "slope": (MAP, [L.ReLU(negative_slope=0.1)], "slope or a threshold"),
    "threshold": (MAP, [L.ReLU(threshold=1.0)], "slope or a threshold"),
    "inner threshold": (MAP, [L.Conv2D(2, 1, activation=L.ReLU(threshold=1.0))], "slope or a"),
    "dilation": (MAP, [L.Conv2D(2, 3, dilation_rate=2)], "dilation"),
    "padded pool": (MAP, [L.AveragePooling2D(4, padding="same")], "pads its windows"),
    "norm of rows": (MAP, [L.BatchNormalization(axis=1)], "axis 1"),
    "normalization of rows": (MAP, [L.Normalization(axis=1)], r"axis \[1\]"),
    "layer norm": (MAP, [L.LayerNormalization()], "BatchNorm"),
    "lambda": (MAP, [L.Lambda(squash, name="code")], r"code \(Lambda\).*never run"),
    "permute": (MAP, [L.Permute((2, 1, 3))], "Permute"),
    "inner model": (MAP, [keras.Sequential([L.Conv2D(2, 3)], name="inner")], "inner.*flat model"),
    "dense of a map": (MAP, [L.Dense(3)], "flatten before it"),
    "softmax of a map": (MAP, [L.Softmax()], "flatten before it"),
    "vector to a map": ((72,), [L.Reshape(MAP)], "only flattening"),
    "flattened and back": (MAP, [L.Flatten(), L.Reshape(MAP)], "only flattening"),
    "1-D": ((6, 2), [L.Conv1D(2, 3)], "Conv1D.*Conv2d"),
    "embedding": ((4,), [L.Embedding(5, 2)], "Embedding"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_names_layer_class_and_remedy(name, tmp_path):
    shape, layers, match = REFUSED[name]
    fresh = layers
    if name not in ("lambda", "inner model"):
        fresh = [layer.__class__.from_config(layer.get_config()) for layer in layers]
    model = sequential(shape, *fresh, L.Flatten(), L.Dense(3))
    with pytest.raises(ModelError, match=match) as caught:
        import_model(save(model, tmp_path))
    assert "\n" not in str(caught.value)
    assert caught.value.hint


FUNCTIONS = {
    "shared layer": (two, "again.*is used 2 times"),
    "concatenation of rows": (
        lambda x: L.Flatten()(L.Concatenate(axis=1)([x, x])),
        "along axis 1; use the last axis",
    ),
    "product": (lambda x: L.Flatten()(x * 2.0), "Multiply"),
    "sum with a number": (lambda x: L.Flatten()(x + 2.0), "has 1 inputs"),
    "training mode": (lambda x: L.Flatten()(L.Dropout(0.5)(x, training=True)), "training mode"),
    "flattened result": (lambda x: L.Flatten()(L.ReLU()(x)), "flattened map.*Dense"),
    "map result": (lambda x: L.ReLU()(x), "vector of class scores"),
    "softmax of a flattened map": (lambda x: L.Softmax()(L.Flatten()(x)), "flattened map"),
    "different orders": (
        lambda x: L.Dense(2)(
            L.Add()([L.Flatten()(x), L.Flatten()(L.MaxPooling2D(6)(L.Conv2D(72, 1)(x)))])
        ),
        "flattened differently",
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_refused_function(name, tmp_path):
    run, match = FUNCTIONS[name]
    with pytest.raises(ModelError, match=match):
        import_model(save(functional(MAP, run), tmp_path))


def test_several_inputs_or_outputs(tmp_path):
    x, y = L.Input((4,)), L.Input((4,))
    model = keras.Model([x, y], L.Add()([x, y]))
    with pytest.raises(ModelError, match="2 inputs and 1 outputs"):
        import_model(save(model, tmp_path))
    z = L.Dense(2)(x)
    model = keras.Model(x, [z, L.Dense(2)(z)])
    with pytest.raises(ModelError, match="1 inputs and 2 outputs"):
        import_model(save(model, tmp_path, ".h5"))


@keras.saving.register_keras_serializable("mine")
class Conv2D(keras.layers.Conv2D):
    """A layer of the user's own under a name of Keras."""


@pytest.mark.parametrize(("suffix", "match"), [(".keras", "never run"), (".h5", "not supported")])
def test_custom_layer(suffix, match, tmp_path):
    model = sequential(MAP, Conv2D(2, 3, name="own"), L.Flatten(), L.Dense(2))
    with pytest.raises(ModelError, match=f"own.*{match}"):
        import_model(save(model, tmp_path, suffix))


def test_custom_activation(tmp_path):
    model = sequential(MAP, L.Activation(squash), L.Flatten(), L.Dense(2))
    with pytest.raises(ModelError, match="'squash' is a custom object"):
        import_model(save(model, tmp_path))
    with pytest.raises(ModelError, match="differs from it by"):
        import_model(sequential(MAP, L.Activation(relu), L.Flatten(), L.Dense(2)))


def test_custom_model(tmp_path):
    class Own(keras.Model):
        def call(self, x):
            return x

    model = Own()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model(np.zeros((1, 4), np.float32))
    with pytest.raises(ModelError, match=r"class 'Own'.*functional or sequential"):
        import_model(save(model, tmp_path))


def test_quantised_model(tmp_path):
    model = sequential((4,), L.Dense(3, name="fc"))
    model.layers[0].quantize("int8")
    with pytest.raises(ModelError, match=r"fc \(Dense\): its weight .*int8; use float32"):
        import_model(save(model, tmp_path))


def test_channels_first(tmp_path):
    path = save(sequential(MAP, L.Conv2D(2, 3), L.Flatten(), L.Dense(2)), tmp_path)

    def turn(c):
        c["config"]["layers"][1]["config"]["data_format"] = "channels_first"

    with pytest.raises(ModelError, match="build the model with channels_last"):
        import_model(edit_archive(path, turn))


def test_all_unsupported_layers_are_listed(tmp_path):
    model = sequential(
        (8, 8, 2),
        L.Conv2D(3, 3, activation="tanh", name="first"),
        L.LayerNormalization(name="norm"),
        L.Conv2D(3, 3, dilation_rate=2, name="wide"),
        L.LeakyReLU(name="leaky"),
        L.Flatten(),
        L.Dense(3),
    )
    found = list_unsupported(save(model, tmp_path))
    assert [(u.node, u.op) for u in found] == [
        ("first", "Conv2D"),
        ("norm", "LayerNormalization"),
        ("wide", "Conv2D"),
        ("leaky", "LeakyReLU"),
    ]
    assert all(u.remedy for u in found)
    assert list_unsupported(save(residual_net(), tmp_path)) == ()


def test_weights_alone(tmp_path):
    model = residual_net()
    model.save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(ModelError, match=r"holds no architecture; .*model\.save"):
        import_model(tmp_path / "a.weights.h5")


def test_renamed_weight(tmp_path):
    path = save(sequential((4,), L.Dense(3, name="fc")), tmp_path, ".h5")
    with h5py.File(path, "r+") as f:
        group = f["model_weights/fc"]
        group.attrs["weight_names"] = list(group.attrs["weight_names"])[::-1]
    with pytest.raises(ModelError, match="'bias' is where kernel should be"):
        import_model(path)


def test_missing_weight(tmp_path):
    path = save(sequential((4,), L.Dense(3, name="fc")), tmp_path, ".h5")

    def invent(c):
        c["config"]["layers"][1]["config"]["name"] = "other"

    with pytest.raises(
        ModelError, match=r"other \(Dense\).*holds 0 weights, but needs kernel, bias"
    ):
        import_model(edit_hdf5(path, invent))
