# SPDX-License-Identifier: BSD-2-Clause
from pathlib import Path

import numpy as np
import pytest

from pysnn_hw.data import load_dataset
from pysnn_hw.resources import resource

TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
"""Images per class of the MNIST test set, as published."""


@pytest.fixture(scope="module")
def mnist():
    return load_dataset("mnist")


def test_is_the_whole_test_set(mnist):
    assert (mnist.name, mnist.image_shape) == ("mnist", (1, 28, 28))
    assert mnist.x_test.shape == (10_000, 1, 28, 28)
    assert mnist.x_test.dtype == np.uint8
    assert np.bincount(mnist.y_test).tolist() == TEST_COUNTS
    assert mnist.y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_calibration_images_are_balanced_and_not_from_the_test_set(mnist):
    assert mnist.x_train.shape == (1000, 1, 28, 28)
    assert np.bincount(mnist.y_train).tolist() == [100] * 10
    test = {x.tobytes() for x in mnist.x_test}
    assert not any(x.tobytes() in test for x in mnist.x_train)


def test_name_wins_as_a_path_too(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(load_dataset(Path("mnist")).x_test) == 10_000


def test_bundle_is_small():
    assert resource("bundled", "mnist_test.npz").stat().st_size < 2_000_000
