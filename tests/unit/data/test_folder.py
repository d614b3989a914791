# SPDX-License-Identifier: BSD-2-Clause
import sys

import numpy as np
import pytest
from PIL import Image

from pysnn_hw.data import load_dataset
from pysnn_hw.errors import DataError


def draw(path, mode="L", size=(6, 4), seed=0):
    """Save a random image and return its pixels, (H, W) or (H, W, 3)."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,)}[mode]
    x = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *channels), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(x).save(path)
    return x


def refused(root, *words):
    with pytest.raises(DataError) as info:
        load_dataset(root)
    for word in words:
        assert word in str(info.value), str(info.value)


def test_splits_classes_and_order(tmp_path):
    for k, name in enumerate(["b/1.png", "b/0.png", "a/7.PNG", "c/x.bmp"]):
        draw(tmp_path / "train" / name, seed=k)
    second = draw(tmp_path / "test/c/0.png", seed=9)
    first = draw(tmp_path / "test/a/0.png", seed=8)
    data = load_dataset(tmp_path)
    assert data.name == tmp_path.name
    assert data.image_shape == (1, 4, 6)
    assert data.x_test.dtype == np.uint8
    assert data.y_train.tolist() == [0, 1, 1, 2]
    assert data.y_test.tolist() == [0, 2]
    np.testing.assert_array_equal(data.x_test[:, 0], [first, second])


def test_val_stands_in_for_test_and_train_may_lack(tmp_path):
    x = draw(tmp_path / "val/dog/0.png", "RGB")
    data = load_dataset(tmp_path)
    assert data.image_shape == (3, 4, 6)
    np.testing.assert_array_equal(data.x_test[0], x.transpose(2, 0, 1))
    assert data.x_train is None


def test_test_goes_before_val(tmp_path):
    draw(tmp_path / "val/a/0.png", seed=1)
    x = draw(tmp_path / "test/a/0.png", seed=2)
    np.testing.assert_array_equal(load_dataset(tmp_path).x_test[0, 0], x)


def test_files_stand_in_order_of_their_names(tmp_path):
    drawn = {name: draw(tmp_path / f"test/a/{name}.png", seed=ord(name)) for name in "gcahbfed"}
    np.testing.assert_array_equal(
        load_dataset(tmp_path).x_test[:, 0], [drawn[name] for name in "abcdefgh"]
    )


def test_one_colour_image_makes_all_colour(tmp_path):
    grey = draw(tmp_path / "test/a/0.png", "LA")[..., 0]
    colour = draw(tmp_path / "test/a/1.png", "RGBA")[..., :3]
    draw(tmp_path / "test/a/2.png")
    data = load_dataset(tmp_path)
    np.testing.assert_array_equal(data.x_test[0], [grey] * 3)
    np.testing.assert_array_equal(data.x_test[1], colour.transpose(2, 0, 1))


def test_hidden_folders_and_other_files_are_ignored(tmp_path):
    draw(tmp_path / "test/a/0.png")
    (tmp_path / "test/a/notes.txt").write_text("")
    (tmp_path / "test/.cache").mkdir()
    assert len(load_dataset(tmp_path).x_test) == 1


def test_no_test_split(tmp_path):
    draw(tmp_path / "train/a/0.png")
    refused(tmp_path, str(tmp_path), "no folder test/ or val/")


def test_no_class_folders(tmp_path):
    (tmp_path / "test").mkdir()
    refused(tmp_path, "test: holds no class folders")


def test_empty_class_folder(tmp_path):
    (tmp_path / "test/a").mkdir(parents=True)
    refused(tmp_path, "test/a: class folder holds no images")


def test_class_that_train_does_not_know(tmp_path):
    draw(tmp_path / "train/a/0.png")
    draw(tmp_path / "test/a/0.png")
    draw(tmp_path / "test/b/0.png")
    refused(tmp_path, "test/b: class is not among those of train/")


def test_sizes_differ(tmp_path):
    draw(tmp_path / "test/a/0.png", size=(6, 4))
    draw(tmp_path / "test/a/1.png", size=(4, 6))
    refused(tmp_path, "a/1.png: is 4 x 6 pixels, but 0.png is 6 x 4")


def test_sixteen_bit_images(tmp_path):
    (tmp_path / "test/a").mkdir(parents=True)
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(tmp_path / "test/a/0.png")
    refused(tmp_path, "a/0.png: pixel mode I;16 is not supported")


def test_not_an_image(tmp_path):
    draw(tmp_path / "test/a/0.png")
    (tmp_path / "test/a/1.png").write_bytes(b"no image")
    refused(tmp_path, "a/1.png: not a readable image")


def test_truncated_image(tmp_path):
    path = tmp_path / "test/a/0.png"
    draw(path, size=(50, 50))
    path.write_bytes(path.read_bytes()[:900])
    refused(tmp_path, "a/0.png: damaged image")


@pytest.mark.filterwarnings("ignore")  # Pillow only warns of absurd sizes
def test_absurd_size_is_refused_from_the_header(tmp_path, monkeypatch):
    draw(tmp_path / "test/a/0.png", size=(50, 50))
    monkeypatch.setattr("pysnn_hw.data.arrays.MAX_BYTES", 2499)
    refused(tmp_path, "takes", "fewer or smaller images")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    refused(tmp_path, "a/0.png: not a readable image")


def test_without_pillow(tmp_path, monkeypatch):
    draw(tmp_path / "test/a/0.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    refused(tmp_path, "needs Pillow", "pip install 'pysnn-hw[images]'")
