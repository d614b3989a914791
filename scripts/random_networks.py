# SPDX-License-Identifier: BSD-2-Clause
"""Random networks with random schedules: the Verilated hardware against golden, word by word.

    python scripts/random_networks.py --count 200

Ends with status 1 after the first network that differs.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pysnn_hw.verify import run_dataset
from pysnn_hw.verify.harness import BUILD_FAST
from tests.random_cases import random_case


def main() -> int:
    """Run the cases; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="number of networks")
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--images", type=int, default=6, help="images per network")
    parser.add_argument("--keep", type=Path, help="folder for Verilog and waveform of a failure")
    options = parser.parse_args()

    start, spikes = time.perf_counter(), 0
    for seed in range(options.first, options.first + options.count):
        case = random_case(seed, images=options.images)
        result = run_dataset(
            case.net,
            case.schedule,
            case.images,
            folder=options.keep,
            pressure=case.pressure,
            profile=BUILD_FAST,
            jobs=1,
            patience=200_000,
        )
        spikes += result.spikes_compared
        print(f"{case.describe()}: {'ok' if not result.mismatches else 'DIFFERS'}", flush=True)
        if result.mismatches:
            print(f"  {result.mismatches} words differ, first: {result.first}")
            print(f"  stalled: {result.stalled}, waveform: {result.wave}")
            return 1
    seconds = time.perf_counter() - start
    print(f"{options.count} networks equal, {spikes} spikes compared, {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
