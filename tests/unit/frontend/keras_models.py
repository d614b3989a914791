# SPDX-License-Identifier: BSD-2-Clause
"""Small Keras models with random weights, saved in each format, and Keras' own answer."""

import json
import os
import warnings
import zipfile

# Keras chooses its backend once, when it is imported; no other module of the tests imports it.
os.environ["KERAS_BACKEND"] = "torch"

import h5py
import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the packages that Keras imports
    import keras

L = keras.layers


def randomise(model, seed=0):
    """Random weights; variances stay positive."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = rng.standard_normal(weight.shape) * 0.3
        if "variance" in weight.name:
            values = rng.random(weight.shape) + 0.2
        if "int" not in str(weight.dtype):
            weight.assign(values)
    return model


def sequential(shape, *layers):
    return randomise(keras.Sequential([L.Input(shape), *layers]))


def functional(shape, run):
    """A model from a function of its input."""
    x = L.Input(shape, name="image")
    return randomise(keras.Model(x, run(x)))


def residual_net():
    """A residual network with most of the layers, for (H, W, C) = (9, 8, 3)."""

    def run(x):
        x = L.Conv2D(6, 3, strides=2, padding="same", name="first")(x)
        x = L.BatchNormalization(epsilon=0.02, name="norm")(x)
        y = L.Activation("relu", name="act")(x)
        x = L.DepthwiseConv2D(3, padding="same", activation="relu", name="depth")(y)
        x = L.Add(name="sum")([x, y])
        x = L.Dropout(0.5, name="drop")(L.MaxPooling2D(2, name="pool")(x))
        x = L.Flatten(name="flat")(x)
        return L.Dense(5, activation="softmax", name="scores")(x)

    return functional((9, 8, 3), run)


def save(model, folder, suffix=".keras", name="model"):
    path = folder / f"{name}{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # .h5 is called legacy
        model.save(path)
    return path


def predict(model, x):
    """What Keras computes for (N, C, H, W) images."""
    shape = model.input_shape[1:]
    images = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(len(x), *shape)
    return keras.ops.convert_to_numpy(model(images, training=False))


def edit_archive(path, edit):
    """Apply ``edit`` to the configuration inside a ``.keras`` file."""
    with zipfile.ZipFile(path) as z:
        members = {info.filename: z.read(info) for info in z.infolist()}
    config = json.loads(members["config.json"])
    edit(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as z:
        for name, content in members.items():
            z.writestr(name, content)
    return path


def edit_hdf5(path, edit):
    """Apply ``edit`` to the configuration inside an ``.h5`` file."""
    with h5py.File(path, "r+") as f:
        config = json.loads(f.attrs["model_config"])
        edit(config)
        f.attrs["model_config"] = json.dumps(config)
    return path


def to_keras_2(path):
    """Rewrite an ``.h5`` file as Keras 2 spelled it: inbound nodes, shapes, weight names."""

    def nodes(layer):
        found = []

        def walk(part):
            if isinstance(part, dict):
                if "keras_history" in part:
                    found.append([*part["keras_history"], {}])
                for value in part.values():
                    walk(value)
            elif isinstance(part, list):
                for value in part:
                    walk(value)

        walk(layer["inbound_nodes"])
        return [found] if found else []

    def edit(config):
        for layer in config["config"]["layers"]:
            if "inbound_nodes" in layer:
                layer["inbound_nodes"] = nodes(layer)
            settings = layer["config"]
            if "batch_shape" in settings:
                settings["batch_input_shape"] = settings.pop("batch_shape")
            if isinstance(settings.get("dtype"), dict):
                settings["dtype"] = "float32"
            if layer["class_name"] == "BatchNormalization":
                settings["axis"] = [3]
        for key in ("input_layers", "output_layers"):
            if key in config["config"]:
                config["config"][key] = [config["config"][key]]

    edit_hdf5(path, edit)
    with h5py.File(path, "r+") as f:
        for group in f["model_weights"].values():
            names = [str(n) for n in group.attrs["weight_names"]]
            for name in names:
                group.move(name, name + ":0")
            group.attrs["weight_names"] = [(name + ":0").encode() for name in names]
    return path
