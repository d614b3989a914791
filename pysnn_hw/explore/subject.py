# SPDX-License-Identifier: BSD-2-Clause
"""The trained network and its images, with everything that candidates share worked out once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from functools import cached_property

import numpy as np

from pysnn_hw.convert import Preprocessing, Training, convert, quantize
from pysnn_hw.convert.conversion import sample
from pysnn_hw.convert.prepare import prepare
from pysnn_hw.convert.quantisation import MAX_BITS
from pysnn_hw.convert.sample import Sample
from pysnn_hw.errors import DataError
from pysnn_hw.explore.candidate import THRESHOLDS, Candidate
from pysnn_hw.explore.measure import Tally, tally
from pysnn_hw.explore.space import TRAINED
from pysnn_hw.ir.ann import AnnGraph, evaluate
from pysnn_hw.ir.snn import Array, FixedNetwork, SnnNetwork
from pysnn_hw.progress import Progress, silent

BATCH = 100
"""Images at a time through the trained network."""
ROUNDING_IMAGES = 256
"""Calibration images that weights are rounded on; more of them cost time and change little."""
KEPT_NETWORKS = 4
"""Float networks that are kept, for the next candidate that differs in its weight bits alone."""


class Subject:
    """What a search converts, and what it looks at.

    Parameters
    ----------
    graph
        As the frontend imported it.
    preprocessing
        From raw integers to its input.
    calibration, training
        Raw training images (N, C, H, W): for thresholds and rounding, and for methods that train.
    training_labels
        Classes of the latter (N,), if known.
    images, labels
        Raw test images (N, C, H, W) and classes (N,). They are looked at in a shuffled order, the
        same every time: the first so many are a fair sample.
    threads
        Of the golden simulator; None for one per processor.
    """

    def __init__(
        self,
        graph: AnnGraph,
        preprocessing: Preprocessing,
        calibration: Array,
        training: Array,
        training_labels: Array | None,
        images: Array,
        labels: Array,
        *,
        threads: int | None = None,
    ) -> None:
        if len(images) == 0:
            raise DataError("images", "there are none", "give test images")
        order = np.random.default_rng(0).permutation(len(images))
        self.graph, self.preprocessing, self.threads = graph, preprocessing, threads
        self.calibration, self.training = calibration, training
        self.training_labels = training_labels
        self.images, self.labels = images[order], labels[order]
        self._prepared, self._absorbed = prepare(graph, preprocessing)
        self._original = np.empty(0, np.int64)
        self._kept: OrderedDict[Candidate, SnnNetwork] = OrderedDict()

    def original(self, stop: int, progress: Progress = silent) -> Array:
        """Classes that the trained network finds in the first ``stop`` images, (stop,)."""
        first = len(self._original)
        if first < stop:
            parts = [self._original]
            for k in range(first, stop, BATCH):
                x = self._absorbed.apply(self.images[k : min(k + BATCH, stop)])
                parts.append(evaluate(self._prepared, x)[0].reshape(len(x), -1).argmax(1))
                progress("the original network", min(k + BATCH, stop), stop)
            self._original = np.concatenate(parts)
        return self._original[:stop]

    @cached_property
    def _samples(self) -> dict[str, Sample]:
        """Activations on the calibration images: all thresholds come from them."""
        return sample(self.graph, self.calibration, self.preprocessing)

    def spiking(self, candidate: Candidate, progress: Progress = silent) -> SnnNetwork:
        """The float network of ``candidate``; weight bits play a part only where it is trained."""
        key = candidate if candidate.method in TRAINED else replace(candidate, weight_bits=0)
        if key not in self._kept:
            trains, chosen = candidate.method in TRAINED, THRESHOLDS[candidate.thresholds]
            self._kept[key] = convert(
                self.graph,
                self.training if trains else self.calibration,
                timesteps=candidate.timesteps,
                levels=candidate.levels,
                method=candidate.method,
                calibration=chosen.calibration,
                per_channel=chosen.per_channel,
                percentile=chosen.percentile,
                tau=candidate.tau,
                bias_correction=candidate.bias_correction,
                training=_training(candidate),
                samples=None if trains else self._samples,
                labels=self.training_labels if candidate.method == "hybrid" else None,
                preprocessing=self.preprocessing,
                progress=progress,
            )
            if len(self._kept) > KEPT_NETWORKS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def network(self, candidate: Candidate, progress: Progress = silent) -> FixedNetwork:
        """The integer network of ``candidate``.

        Raises
        ------
        ModelError
            If the method cannot do it.
        NetworkError
            If no file can hold the result.
        """
        spiking = self.spiking(candidate, progress)
        fixed = quantize(spiking, candidate.weight_bits, self.calibration[:ROUNDING_IMAGES])
        return replace(fixed, provenance={**fixed.provenance, "candidate": candidate.to_json()})

    def tally(self, net: FixedNetwork, first: int, stop: int) -> Tally:
        """What ``net`` does on images ``first .. stop - 1``."""
        original = self.original(stop)[first:stop]
        some = slice(first, stop)
        return tally(net, self.images[some], self.labels[some], original, threads=self.threads)


def _training(candidate: Candidate) -> Training | None:
    """Few bits are trained for; eight need no training."""
    if candidate.method != "qcfs":
        return None
    few = candidate.weight_bits < MAX_BITS
    return Training(weight_bits=candidate.weight_bits if few else None, activity=candidate.activity)
