# SPDX-License-Identifier: BSD-2-Clause
"""From a trained network to a spiking one, and to the integers that hardware computes with."""

from pysnn_hw.convert.calibrate import CALIBRATIONS, Calibration
from pysnn_hw.convert.conversion import convert
from pysnn_hw.convert.hybrid import HybridTraining, load_weights, weights_of
from pysnn_hw.convert.loss import LossReport, PopulationLoss, loss_report
from pysnn_hw.convert.preprocessing import Preprocessing
from pysnn_hw.convert.qcfs import Training
from pysnn_hw.convert.quantisation import quantize
from pysnn_hw.convert.readout import with_early_exit
from pysnn_hw.convert.recipe import METHODS, Method

__all__ = [
    "CALIBRATIONS",
    "METHODS",
    "Calibration",
    "HybridTraining",
    "LossReport",
    "Method",
    "PopulationLoss",
    "Preprocessing",
    "Training",
    "convert",
    "load_weights",
    "loss_report",
    "quantize",
    "weights_of",
    "with_early_exit",
]
