# SPDX-License-Identifier: BSD-2-Clause
import numpy as np
import pytest

from pysnn_hw.data import frames
from pysnn_hw.errors import DataError

SHAPE = (4, 2, 5, 3)


def recording(rng, count=400, recordings=3):
    """Times to 50, so that some events come after the last step; a pixel that fires often."""
    event = {
        "times": rng.integers(0, 50, count).astype(np.uint32),
        "channels": rng.integers(0, 2, count).astype(np.uint8),
        "rows": rng.integers(0, 5, count).astype(np.uint8),
        "columns": rng.integers(0, 3, count).astype(np.uint8),
    }
    event["offsets"] = np.linspace(0, count, recordings + 1).astype(np.int64)
    return event


def test_counts_events_by_pixel_and_step():
    events = recording(np.random.default_rng(0))
    expected = np.zeros((3, *SHAPE), np.int64)
    for i in range(3):
        for k in range(events["offsets"][i], events["offsets"][i + 1]):
            step = events["times"][k] // 10
            if step < SHAPE[0]:
                place = tuple(int(events[name][k]) for name in ("channels", "rows", "columns"))
                expected[(i, int(step), *place)] += 1
    found = frames(**events, step=10, shape=SHAPE)
    assert found.dtype == np.uint8
    assert expected.max() > 1
    np.testing.assert_array_equal(found, expected)


def test_counts_stop_at_255():
    events = recording(np.random.default_rng(0), 300, 1)
    events = {k: v if k == "offsets" else np.zeros_like(v) for k, v in events.items()}
    assert frames(**events, step=10, shape=SHAPE).max() == 255


def test_a_recording_may_be_empty():
    events = recording(np.random.default_rng(0), 10, 1)
    events["offsets"] = np.array([0, 0, 10])
    assert frames(**events, step=10, shape=SHAPE).sum(axis=(1, 2, 3, 4)).tolist()[0] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": np.zeros(3, np.int64)}, "rows: is not one integer per event"),
        ({"rows": np.full(400, 5)}, "rows: run from 5 to 5, outside 0..4"),
        ({"channels": np.full(400, -1)}, "channels: run from -1 to -1"),
        ({"times": np.full(400, 0.5)}, "times: is not one integer"),
        ({"times": np.full(400, -5)}, "times: are negative"),
        ({"offsets": np.array([0])}, "offsets: is not one integer per recording"),
        ({"offsets": np.array([0, 500])}, "offsets: do not rise within 0..400"),
        ({"offsets": np.array([0, 9, 3])}, "offsets: do not rise"),
        ({"step": 0}, "step: 0 or shape"),
        ({"shape": (1 << 20, 2, 1 << 10, 1 << 10)}, "bytes are more than"),
    ],
)
def test_unusable(change, message):
    arguments = recording(np.random.default_rng(0)) | {"step": 10, "shape": SHAPE} | change
    with pytest.raises(DataError, match=message):
        frames(**arguments)
