# SPDX-License-Identifier: BSD-2-Clause
import contextlib
import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pysnn_hw.data import load_dataset
from pysnn_hw.errors import DataError


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def labels(n, classes=3):
    return np.arange(n) % classes


def save(tmp_path, **arrays):
    path = tmp_path / "set.npz"
    np.savez(path, **arrays)
    return path


def npy(header, body=b"", version=(1, 0)):
    """Bytes of an ``.npy`` file with a header of our choice."""
    text = header.encode() + b"\n"
    size = len(text).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + size + text + body


def archive(tmp_path, x_test):
    """An ``.npz`` whose ``x_test`` member is the given bytes."""
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("x_test.npy", x_test)
        z.writestr("y_test.npy", npy("{'descr': '<i8', 'fortran_order': False, 'shape': (0,)}"))
    return path


def refused(path, *words):
    with pytest.raises(DataError) as info:
        load_dataset(path)
    message = str(info.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message, message


def test_grey_images_without_channel_axis(tmp_path):
    x = pixels(5, 4, 3)
    data = load_dataset(save(tmp_path, x_test=x, y_test=labels(5)))
    assert data.name == "set"
    assert data.x_test.dtype == np.uint8
    assert data.y_test.dtype == np.int64
    np.testing.assert_array_equal(data.x_test, x[:, None])
    np.testing.assert_array_equal(data.y_test, labels(5))
    assert data.x_train is None
    assert data.y_train is None


def test_channels_last_become_channels_first(tmp_path):
    x = pixels(5, 4, 6, 3)
    arrays = {"x_test": x, "y_test": labels(5), "x_train": x[:2], "y_train": labels(2)}
    data = load_dataset(str(save(tmp_path, **arrays)))
    assert data.image_shape == (3, 4, 6)
    np.testing.assert_array_equal(data.x_test[3, 2], x[3, :, :, 2])
    np.testing.assert_array_equal(data.x_train, data.x_test[:2])
    assert data.x_test.flags.c_contiguous


def test_more_images_than_one_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr("pysnn_hw.data.arrays._CHUNK_VALUES", 7000)
    x = pixels(2500, 3, 2, 2)
    data = load_dataset(save(tmp_path, x_test=x, y_test=labels(2500)))
    np.testing.assert_array_equal(data.x_test, x.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8"])
def test_floats_in_unit_interval_are_pixels_over_255(tmp_path, dtype):
    x = pixels(40, 8, 8)
    stored = (x / 255).astype(dtype)
    data = load_dataset(save(tmp_path, x_test=stored, y_test=labels(40)))
    assert data.x_test.dtype == np.uint8
    np.testing.assert_array_equal(data.x_test[:, 0], x)


def test_integer_valued_floats_are_raw_pixels(tmp_path):
    x = pixels(4, 8, 8).astype(np.float32)
    data = load_dataset(save(tmp_path, x_test=x, y_test=labels(4)))
    assert data.x_test.dtype == np.uint8
    np.testing.assert_array_equal(data.x_test[:, 0], x)


def test_dark_split_takes_the_scale_of_the_other(tmp_path):
    """A split of zeros and ones alone looks like 0..1; its sibling tells that it is 0..255."""
    dark = (pixels(4, 5, 5) & 1).astype(np.float32)
    arrays = {"x_test": dark, "y_test": labels(4), "x_train": pixels(4, 5, 5).astype(np.float32)}
    data = load_dataset(save(tmp_path, **arrays, y_train=labels(4)))
    assert data.x_test.max() == 1


def test_float_split_beside_an_integer_split(tmp_path):
    x = pixels(4, 5, 5)
    arrays = {"x_test": (x / 255).astype(np.float32), "x_train": x}
    data = load_dataset(save(tmp_path, **arrays, y_test=labels(4), y_train=labels(4)))
    np.testing.assert_array_equal(data.x_test, data.x_train)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_events_stay_as_they_are(tmp_path, dtype):
    x = pixels(4, 6, 2, 5, 3) % 2
    data = load_dataset(save(tmp_path, x_test=x.astype(dtype), y_test=labels(4)))
    assert data.x_test.dtype == np.uint8
    assert data.image_shape == (2, 5, 3)
    np.testing.assert_array_equal(data.x_test, x)


def test_events_are_whole(tmp_path):
    x = np.full((2, 6, 2, 5, 3), 0.5, np.float32)
    refused(save(tmp_path, x_test=x, y_test=labels(2)), "not all integers", "whole values")


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64])
def test_signed_integers_keep_their_values(tmp_path, dtype):
    x = pixels(4, 5, 5).astype(np.int16) - 128
    data = load_dataset(save(tmp_path, x_test=x.astype(dtype), y_test=labels(4)))
    assert data.x_test.dtype == np.int32
    np.testing.assert_array_equal(data.x_test[:, 0], x)


def test_missing_file(tmp_path):
    refused(tmp_path / "no.npz", "no such file or folder", "mnist")


def test_other_suffix(tmp_path):
    path = tmp_path / "images.csv"
    path.write_text("1,2")
    refused(path, "neither an .npz file nor a folder")


def test_path_that_the_system_refuses():
    refused("x" * 5000 + ".npz")


@pytest.mark.parametrize("content", [b"", b"PK", b"hello, world" * 99, npy("{}")])
def test_not_an_archive(tmp_path, content):
    path = tmp_path / "set.npz"
    path.write_bytes(content)
    refused(path, "not a readable .npz")


@pytest.mark.parametrize("missing", ["x_test", "y_test", "x_train", "y_train"])
def test_missing_field_is_named(tmp_path, missing):
    arrays = {"x_test": pixels(3, 4, 4), "y_test": labels(3)}
    arrays |= {"x_train": pixels(3, 4, 4), "y_train": labels(3)}
    del arrays[missing]
    refused(save(tmp_path, **arrays, other=1), f": {missing}: field missing", "it holds other")


BAD_IMAGES = [
    (pixels(3, 16), "not shape (3, 16)"),
    (pixels(3, 1, 4, 4, 1, 1), "not shape (3, 1, 4, 4, 1, 1)"),
    (np.uint8(7), "not shape ()"),
    (pixels(3, 0, 4), "holds no pixels"),
    (pixels(3, 3, 8, 8), "looks like (N, C, H, W)"),
    (np.full((3, 4, 4), np.nan, np.float32), "NaN"),
    (np.full((3, 4, 4), np.inf), "NaN or infinite"),
    (np.full((3, 4, 4), [0, 1, np.nan, 3]), "NaN or infinite"),
    (np.full((3, 4, 4), 0.5) + np.arange(4), "not all integers"),
    (np.full((3, 4, 4), -0.5), "not all integers"),
    (np.full((3, 4, 4), 1e300), "beyond 32 bits"),
    (np.full((3, 4, 4), 2**31), "beyond 32 bits"),
    (np.full((3, 4, 4), -(2**31) - 1), "beyond 32 bits"),
    (np.zeros((3, 4, 4), np.longdouble), "integers or floats"),
    (np.zeros((3, 4, 4), bool), "not bool"),
    (np.zeros((3, 4, 4), complex), "not complex128"),
    (np.zeros((3, 4, 4), "S3"), "not |S3"),
    (np.zeros((3, 4, 4), [("a", "u1")]), "images must be integers or floats"),
]


@pytest.mark.parametrize(("x", "problem"), BAD_IMAGES)
def test_unusable_images(tmp_path, x, problem):
    refused(save(tmp_path, x_test=x, y_test=labels(3)), ": x_test:", problem)


BAD_LABELS = [
    (labels(4), "4 labels for 3 images"),
    (labels(3)[:, None], "one axis"),
    (np.array([0, -1, 2]), "from -1 to 2"),
    (np.array([0, 1, 2**16]), "from 0 to 65536"),
    (np.array([0.0, 1.0, 2.0]), "not float64"),
    (np.array(["a", "b", "c"]), "not <U1"),
]


@pytest.mark.parametrize(("y", "problem"), BAD_LABELS)
def test_unusable_labels(tmp_path, y, problem):
    refused(save(tmp_path, x_test=pixels(3, 4, 4), y_test=y), ": y_test:", problem)


def test_train_split_is_checked_too(tmp_path):
    test = {"x_test": pixels(3, 4, 4), "y_test": labels(3)}
    refused(save(tmp_path, **test, x_train=pixels(2, 4, 4), y_train=labels(3)), "y_train: 3 labels")
    refused(save(tmp_path, **test, x_train=pixels(3, 4, 5), y_train=labels(3)), "1 x 4 x 5")


def test_objects_are_refused_unopened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    x = np.array([Bomb()], object)
    refused(save(tmp_path, x_test=x, y_test=labels(1)), ": x_test:", "Python objects")


HEADER = "{{'descr': '{}', 'fortran_order': False, 'shape': {}}}"


@pytest.mark.filterwarnings("ignore")  # numpy only warns of headers of Python 2
@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        ("(1000000, 1000, 1000)", "but the file holds 10"),
        ("(-1, 2, 5)", "shape (-1, 2, 5)"),
        ("(-2, -1, 5)", "shape (-2, -1, 5)"),
        ("(10, 1, 2)", "header declares 20 bytes"),
        ("(1, 1, 9)", "header declares 9 bytes"),
        ("'abc'", "damaged array header"),
        ("(10L, 1, 1)", "damaged array header"),
        ("(" * 400, "damaged array header"),
    ],
)
def test_lying_header_allocates_nothing(tmp_path, shape, problem):
    path = archive(tmp_path, npy(HEADER.format("|u1", shape), bytes(10)))
    tracemalloc.start()
    try:
        refused(path, ": x_test:", problem)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_format_of_unbounded_headers_is_refused(tmp_path):
    content = npy(HEADER.format("|u1", "(10, 1, 1)"), bytes(10), version=(2, 0))
    refused(archive(tmp_path, content), "not version 1.0")


def test_compressed_bomb_is_refused_by_size(tmp_path, monkeypatch):
    monkeypatch.setattr("pysnn_hw.data.arrays.MAX_BYTES", 2**20)
    x = np.zeros((2**10, 32, 32), np.uint8)
    path = tmp_path / "set.npz"
    np.savez_compressed(path, x_test=x, y_test=np.zeros(0, np.int64))
    refused(path, "0 labels")
    np.savez_compressed(path, x_test=x, y_test=labels(1))
    refused(path, "takes", "store uint8")


def test_conversion_may_not_outgrow_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("pysnn_hw.data.arrays.MAX_BYTES", 4000)
    x = np.zeros((10, 10, 20), np.int8)
    load_dataset(save(tmp_path, x_test=x, y_test=labels(10)))
    refused(save(tmp_path, x_test=x - 1, y_test=labels(10)), "takes")


def test_numbers_beyond_any_data_set(tmp_path):
    path = tmp_path / "set.npz"
    x = np.zeros((1, 2**12, 2**12 + 1), np.uint8)
    np.savez_compressed(path, x_test=x, y_test=labels(1))
    refused(path, ": x_test: images of more than 16777216 values")
    y = np.zeros(2**24 + 1, np.uint8)
    np.savez_compressed(path, x_test=x[:, :9, :9], y_test=y)
    refused(path, ": y_test: 16777217 labels")


def valid_bytes():
    buffer = io.BytesIO()
    x = pixels(6, 5, 5)
    np.savez_compressed(buffer, x_test=x, y_test=labels(6), x_train=x, y_train=labels(6))
    return buffer.getvalue()


VALID = valid_bytes()


@settings(
    deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, len(VALID) - 1), st.integers(1, 255), st.booleans())
@example(0, 1, True)
def test_damaged_bytes_load_unchanged_or_are_refused(tmp_path, position, mask, cut):
    damaged = bytearray(VALID[:position] if cut else VALID)
    if not cut:
        damaged[position] ^= mask
    path = tmp_path / "set.npz"
    path.write_bytes(damaged)
    with contextlib.suppress(DataError):
        data = load_dataset(path)
        assert not cut
        np.testing.assert_array_equal(data.x_test[:, 0], pixels(6, 5, 5))
        np.testing.assert_array_equal(data.y_test, labels(6))
