# SPDX-License-Identifier: BSD-2-Clause
"""A made-up report with every kind of entry."""

from pysnn_hw.report import (
    BoardResult,
    Core,
    Layer,
    LayerTime,
    MemoryUse,
    PlanPicture,
    Report,
    Synapses,
    Use,
)


def sample_plan() -> PlanPicture:
    return PlanPicture(
        times=(
            LayerTime(0, "conv1", 0.0, 5_000.0, 1_000.0, 100.0),
            LayerTime(1, "conv2", 0.0, 4_000.0, 600.0, 50.0),
            LayerTime(1, "conv3", 4_650.0, 2_000.0, 600.0, 50.0),
            LayerTime(2, "fc", 0.0, 2_300.0, 90.0, 10.0),
        ),
        interval=7_350.0,
        memories=(
            MemoryUse("conv1", "weights", 2),
            MemoryUse("conv1", "membranes", 16),
            MemoryUse("conv2 .. conv3", "weights", 90),
            MemoryUse("conv2 .. conv3", "spikes", 40),
            MemoryUse("fc", "weights", 8),
            MemoryUse("", "tables", 1),
        ),
        blocks_available=208,
        worth=(("LUT", 1.07), ("block RAM", 1.0)),
        advice=("conv2 .. conv3 sets the pace", "the fastest design is bound by <LUTs>"),
    )


def sample_board(name: str = "alpha", title: str = "Alpha board") -> BoardResult:
    return BoardResult(
        name=name,
        title=title,
        uses=(Use("LUT", 31_245, 83_640), Use("Block RAM", 190, 208), Use("DSP", 12, 156)),
        fmax_mhz=104.37,
        clock_mhz=100.0,
        cycles_mean=7_420.0,
        cycles_median=7_412.0,
        cycles_max=9_120,
        predicted_cycles=7_350.0,
        predicted_mhz=110.0,
        latency_cycles=21_900.0,
        images_per_s=13_491.6,
        spikes_compared=1_204_551,
        simulated_images=1_000,
        mismatches=0,
        cores=(Core("conv1", 16, 6_100.0), Core("conv2", 64, 7_350.0), Core("fc", 10, 2_400.0)),
        plan=sample_plan(),
        bitstream=f"{name}/accelerator.bit",
    )


def sample_report(timesteps: int = 1) -> Report:
    return Report(
        title="sample <net>",
        facts=(("data", "mnist"), ("T", str(timesteps)), ("n", "4"), ("weights", "8 bits")),
        timesteps=timesteps,
        levels=4,
        accuracy=(("original network", 0.9927), ("float SNN", 0.9921), ("fixed-point SNN", 0.9918)),
        images=10_000,
        layers=(
            Layer("conv1", (16, 28, 28), 0.31, 3_888.6, 0.9991, 17),
            Layer("conv2", (32, 14, 14), 0.12, 752.6, 0.9962, 18),
            Layer("fc", (10, 1, 1), None, None, 0.9975, 20),
        ),
        synapses=(
            Synapses("input-conv1", 144, 25_400.0, 112_896),
            Synapses("conv1-conv2", 4_608, 498_000.0, 903_168),
            Synapses("conv2-fc", 15_680, 5_200.0, 15_680),
        ),
        boards=(sample_board(), sample_board("beta", "Beta board")),
        stage_times=(("import", 1.2), ("build alpha", 312.0)),
    )
