# SPDX-License-Identifier: BSD-2-Clause
"""Golden simulator against snnTorch, spikingjelly and sinabs: the same network, in one run.

    pip install --no-deps snntorch spikingjelly sinabs nir nirtorch h5py loguru pbr
    python scripts/bench_golden.py

(``--no-deps`` because some of them ask for other versions of torch; the last five are what they
import.) The network is 1-16C3-P2-32C3-P2-10 with average pooling, T = 32, binary spikes, soft
reset, constant input; weights are random, thresholds calibrated on the images. All simulators
must agree with golden on every spike count and every class, or the script fails.

Parameters are integers, so float32 is exact. One rule differs between simulators: whether a
membrane that equals the threshold fires. They all get parameters times two and a membrane that
starts one higher, so that no membrane ever equals a threshold: 2u + 1 >= 2 theta exactly if
u >= theta.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pysnn_hw.golden import Result, simulate
from pysnn_hw.ir.snn import FixedNetwork, Input, Pool, Population, Projection
from pysnn_hw.resources import resource

Run = Callable[[Tensor], tuple[Tensor, list[Tensor]]]
"""Images to (readout membranes, spikes per image of each layer; counted only if asked for)."""

MAPS = ((16, 28, 28), (32, 14, 14))


def build_network(images: np.ndarray, timesteps: int, rates: tuple[float, float]) -> FixedNetwork:
    """The network, its thresholds such that layers fire about ``rates`` spikes a step."""
    rng = np.random.default_rng(1)
    shapes = ((16, 1, 3, 3), (32, 16, 3, 3), (10, 32 * 49))
    # Kernels that respond to strokes, not to plain area: half of their mean is taken out.
    weights = [rng.normal(0, 1, shape) for shape in shapes]
    weights = [w - w.mean(axis=-1, keepdims=True) / 2 for w in weights]
    weights = [np.rint(w / np.abs(w).max() * 127).astype(np.int64) for w in weights]
    pool = Pool("sum", (2, 2), (2, 2))
    same = (1, 1, 1, 1)
    projections = (
        Projection("conv1", "input", "fire1", "conv2d", weights[0], padding=same),
        Projection("conv2", "fire1", "fire2", "conv2d", weights[1], padding=same, pool=pool),
        Projection("linear", "fire2", "scores", "linear", weights[2], pool=pool),
    )
    thresholds = [1, 1]
    for layer, rate in enumerate(rates):
        low, high = 1, 1 << 18
        while high - low > 1 + high // 32:
            thresholds[layer] = (low + high) // 2
            net = _network(timesteps, thresholds, projections)
            spikes = simulate(net, images[:32]).spikes[f"fire{layer + 1}"].mean()
            if spikes / timesteps / np.prod(MAPS[layer]) > rate:
                low = thresholds[layer]
            else:
                high = thresholds[layer]
    return _network(timesteps, thresholds, projections)


def _network(
    timesteps: int, thresholds: list[int], projections: tuple[Projection, ...]
) -> FixedNetwork:
    zero = np.zeros(1, np.int64)
    fires = [
        Population(
            f"fire{k + 1}", "fire", shape, zero, np.array([theta]), np.array([theta // 2]), 1,
            -(1 << 22), 1 << 22,
        )
        for k, (shape, theta) in enumerate(zip(MAPS, thresholds, strict=True))
    ]  # fmt: skip
    readout = Population("scores", "readout", (10, 1, 1), zero, np.zeros(0, np.int64), zero, 0)
    return FixedNetwork(timesteps, Input((1, 28, 28), (0,)), (*fires, readout), projections)


class Synapses:
    """The network's layers in torch, scaled as the module's docstring says."""

    def __init__(self, net: FixedNetwork) -> None:
        self.timesteps = net.timesteps
        weights = [torch.tensor(2 * p.weight, dtype=torch.float32) for p in net.projections]
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1, bias=False)
        self.linear = nn.Linear(32 * 49, 10, bias=False)
        self.pool = nn.AvgPool2d(2)
        self.conv1.weight.data = weights[0]
        self.conv2.weight.data = weights[1] * 4  # average, not sum
        self.linear.weight.data = weights[2] * 4
        self.thresholds = [2.0 * int(p.threshold[0]) for p in net.populations[:2]]
        self.starts = [2.0 * int(p.v_init[0]) + 1 for p in net.populations[:2]]


def snntorch_loop(net: FixedNetwork, count: bool, hoist: bool) -> Run:
    """A loop over time is snnTorch's only mode."""
    import snntorch as snn

    s = Synapses(net)
    fires = [
        # The delayed reset subtracts before the next step integrates, which is our soft reset;
        # without the delay snnTorch misses a spike where a membrane stays above its threshold.
        snn.Leaky(beta=1.0, threshold=theta, reset_mechanism="subtract", reset_delay=True)
        for theta in s.thresholds
    ]

    def run(x: Tensor) -> tuple[Tensor, list[Tensor]]:
        v = [torch.full((len(x), *m), start) for m, start in zip(MAPS, s.starts, strict=True)]
        counts = [torch.zeros(len(x)) for _ in MAPS]
        out = torch.zeros(len(x), 10)
        current = s.conv1(x)
        for _ in range(s.timesteps):
            a, v[0] = fires[0](current if hoist else s.conv1(x), v[0])
            b, v[1] = fires[1](s.conv2(s.pool(a)), v[1])
            out += s.linear(s.pool(b).flatten(1))
            if count:
                counts = [c + z.flatten(1).sum(1) for c, z in zip(counts, (a, b), strict=True)]
        return out, counts

    return run


def spikingjelly_single(net: FixedNetwork, count: bool, hoist: bool) -> Run:
    """A loop over time of single-step neurons."""
    s = Synapses(net)
    fires = _spikingjelly_neurons(s, "s")

    def run(x: Tensor) -> tuple[Tensor, list[Tensor]]:
        _restart(fires, s)
        counts = [torch.zeros(len(x)) for _ in MAPS]
        out = torch.zeros(len(x), 10)
        current = s.conv1(x)
        for _ in range(s.timesteps):
            a = fires[0](current if hoist else s.conv1(x))
            b = fires[1](s.conv2(s.pool(a)))
            out += s.linear(s.pool(b).flatten(1))
            if count:
                counts = [c + z.flatten(1).sum(1) for c, z in zip(counts, (a, b), strict=True)]
        return out, counts

    return run


def spikingjelly_multi(net: FixedNetwork, count: bool, hoist: bool) -> Run:
    """Layer by layer over all timesteps, (T, N, ...) at a time."""
    s = Synapses(net)
    fires = _spikingjelly_neurons(s, "m")

    def run(x: Tensor) -> tuple[Tensor, list[Tensor]]:
        _restart(fires, s)
        shape = (s.timesteps, len(x))
        if hoist:
            current = s.conv1(x).expand(s.timesteps, -1, -1, -1, -1)
        else:
            current = s.conv1(x.repeat(s.timesteps, 1, 1, 1)).unflatten(0, shape)
        a = fires[0](current)
        b = fires[1](s.conv2(s.pool(a.flatten(0, 1))).unflatten(0, shape))
        out = s.linear(s.pool(b.flatten(0, 1)).flatten(1)).unflatten(0, shape).sum(0)
        return out, [z.flatten(2).sum((0, 2)) for z in (a, b)] if count else []

    return run


def _spikingjelly_neurons(s: Synapses, mode: str) -> list[nn.Module]:
    from spikingjelly.activation_based import neuron

    return [neuron.IFNode(theta, v_reset=None, step_mode=mode).eval() for theta in s.thresholds]


def _restart(fires: list[nn.Module], s: Synapses) -> None:
    for fire, start in zip(fires, s.starts, strict=True):
        fire.reset()
        fire.v = start


def sinabs_layers(net: FixedNetwork, count: bool, hoist: bool) -> Run:
    """Layer by layer over all timesteps, (N, T, ...) at a time, is sinabs' only mode."""
    import sinabs.activation
    import sinabs.layers

    s = Synapses(net)
    fires = [
        sinabs.layers.IAF(
            spike_threshold=theta,
            spike_fn=sinabs.activation.SingleSpike,
            reset_fn=sinabs.activation.MembraneSubtract(),
            min_v_mem=None,
        )
        for theta in s.thresholds
    ]

    def run(x: Tensor) -> tuple[Tensor, list[Tensor]]:
        shape = (len(x), s.timesteps)
        for fire, m, start in zip(fires, MAPS, s.starts, strict=True):
            fire.init_state_with_shape((len(x), *m))
            fire.v_mem.fill_(start)
        if hoist:
            current = s.conv1(x).unsqueeze(1).expand(-1, s.timesteps, -1, -1, -1)
        else:
            repeated = x.unsqueeze(1).expand(-1, s.timesteps, -1, -1, -1)
            current = s.conv1(repeated.flatten(0, 1)).unflatten(0, shape)
        a = fires[0](current)
        b = fires[1](s.conv2(s.pool(a.flatten(0, 1))).unflatten(0, shape))
        out = s.linear(s.pool(b.flatten(0, 1)).flatten(1)).unflatten(0, shape).sum(1)
        return out, [z.flatten(2).sum((1, 2)) for z in (a, b)] if count else []

    return run


CONTENDERS: dict[str, tuple[Callable[[FixedNetwork, bool, bool], Run], bool]] = {
    "snntorch": (snntorch_loop, False),
    "snntorch, first layer once": (snntorch_loop, True),
    "spikingjelly single-step": (spikingjelly_single, False),
    "spikingjelly single-step, first layer once": (spikingjelly_single, True),
    "spikingjelly multi-step": (spikingjelly_multi, False),
    "spikingjelly multi-step, first layer once": (spikingjelly_multi, True),
    "sinabs": (sinabs_layers, False),
    "sinabs, first layer once": (sinabs_layers, True),
}


def disagreement(run: Run, x: Tensor, want: Result) -> str:
    """What differs from golden, or an empty string."""
    out, counts = run(x)
    for layer, spikes in enumerate(counts):
        wrong = int((spikes.numpy().astype(np.int64) != want.spikes[f"fire{layer + 1}"]).sum())
        if wrong:
            return f"spike counts of layer {layer + 1} differ in {wrong} of {len(x)} images"
    if not (out.argmax(1).numpy() == want.classes).all():
        return "classes differ"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=resource("bundled", "mnist_test.npz"),
        help="npz with x_test, uint8 (N, 28, 28); by default the bundled MNIST images",
    )
    parser.add_argument("--timesteps", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rates", type=float, nargs=2, default=(0.1, 0.12))
    parser.add_argument("-o", "--output", type=Path, help="write the JSON here as well")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    images = np.load(args.data)["x_test"][: args.batch, None]
    net = build_network(images, args.timesteps, args.rates)
    want = simulate(net, images, threads=args.threads)
    x = torch.tensor(images, dtype=torch.float32)
    runs: dict[str, Callable[[], object]] = {
        "golden": lambda: simulate(net, images, batch=args.batch, threads=args.threads)
    }
    with torch.inference_mode():
        for name, (make, hoist) in CONTENDERS.items():
            problem = disagreement(make(net, True, hoist), x, want)
            if problem:
                print(f"{name}: {problem}", file=sys.stderr)
                return 1
            runs[name] = partial(make(net, False, hoist), x)
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(args.repeats):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    fastest = min((name for name in medians if name != "golden"), key=medians.__getitem__)
    report = {
        "network": "1-16C3-P2-32C3-P2-10",
        "timesteps": args.timesteps,
        "batch": args.batch,
        "threads": args.threads,
        "spikes_per_neuron_and_step": {
            name: round(float(n.mean()) / net.population(name).size / args.timesteps, 4)
            for name, n in want.spikes.items()
        },
        "images_per_s": {name: round(args.batch / t, 1) for name, t in medians.items()},
        "agree": True,
        "fastest_other": fastest,
        "ratio": round(medians[fastest] / medians["golden"], 2),
    }
    text = json.dumps(report, indent=2)
    print(text)
    if args.output is not None:
        args.output.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
