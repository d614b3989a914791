# SPDX-License-Identifier: BSD-2-Clause
"""The passes from an imported graph to one that holds only what a spiking network can hold."""

from __future__ import annotations

from pysnn_hw.convert.absorb_input import absorb_input
from pysnn_hw.convert.drop_softmax import drop_softmax
from pysnn_hw.convert.fold_batchnorm import fold_batchnorm
from pysnn_hw.convert.hoist_relu import hoist_relu
from pysnn_hw.convert.preprocessing import Preprocessing
from pysnn_hw.ir.ann import AnnGraph, check_ann


def prepare(graph: AnnGraph, preprocessing: Preprocessing) -> tuple[AnnGraph, Preprocessing]:
    """The same classifier without normalisation layers and softmax, each ReLU before its pooling.

    Raises
    ------
    ModelError
        The graph is malformed, or a layer cannot be folded.
    """
    graph, preprocessing = with_batchnorm(graph, preprocessing)
    return hoist_relu(fold_batchnorm(graph)), preprocessing


def with_batchnorm(graph: AnnGraph, preprocessing: Preprocessing) -> tuple[AnnGraph, Preprocessing]:
    """The passes before normalisation layers are folded.

    Raises
    ------
    ModelError
        The graph is malformed.
    """
    check_ann(graph)
    return absorb_input(drop_softmax(graph), preprocessing)
