# SPDX-License-Identifier: BSD-2-Clause
"""Design points with figures as a test wants them."""

from pysnn_hw.explore import Candidate, Design, DesignPoint, Point, Prediction, Tally
from pysnn_hw.explore.record import Record

CLOCK_HZ, HOPED_HZ = 10e6, 16e6


def design(rate=1000.0, *, board="small", share=0.5, latency_us=2000.0, fits=True, **rest):
    """A design that should give ``rate`` images per second at 10 MHz, and may reach 16 MHz."""
    figures = {
        "objective": "balanced",
        "lut": 4000,
        "bram": 20,
        "dsp": 1,
        "spram": 0,
        "board_luts": 5000 if board == "small" else 8000,
        "shortfalls": () if fits else ("needs 31 BRAM of 27 (4 too many)",),
        **rest,
    }
    return Design(
        board=board,
        cycles=CLOCK_HZ / rate,
        latency_cycles=latency_us * CLOCK_HZ / 1e6,
        clock_hz=CLOCK_HZ,
        hoped_clock_hz=HOPED_HZ,
        share=share,
        **figures,
    )


def tally(correct, images=1000):
    return Tally(images, correct, 990, images - 10, {"a": images}, 1)


def record(trial, correct, *designs, images=1000, final=None):
    """A trial that was measured on so many images, and perhaps again for good."""
    candidate = Candidate(levels=1 + trial % 6, weight_bits=3 + trial // 6)
    prediction = Prediction(1.0, "test", True, designs)
    point = Point(candidate, tally(correct, images), prediction, 1.0)
    last = None if final is None else Point(candidate, tally(final, 5000), prediction, 1.0)
    return Record(trial, candidate, False, rungs=(point.tally,), point=point, final=last)


def at(trial, correct, *args, **rest):
    """A design point of a trial with so many of 1,000 images right."""
    found = record(trial, correct, design(*args, **rest))
    return DesignPoint(trial, found.point, found.point.prediction.designs[0])
