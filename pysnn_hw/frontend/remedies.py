# SPDX-License-Identifier: BSD-2-Clause
"""What to do about an operator that has no spiking counterpart here."""

from __future__ import annotations

RETRAIN_RELU = "replace it with ReLU and train again"
RETRAIN_NORM = "replace it with BatchNorm and train again"
KEEP_ORDER = "keep tensors in N, C, H, W order"
PLAIN_TENSORS = "export the float network, before quantisation"
DEFAULT = "docs/import.md lists the supported layers"

REMEDIES = {
    **dict.fromkeys(
        ("sigmoid", "tanh", "gelu", "silu", "elu", "selu", "celu", "mish", "softplus"), RETRAIN_RELU
    ),
    **dict.fromkeys(
        ("leakyrelu", "prelu", "hardsigmoid", "hardswish", "erf", "softsign"), RETRAIN_RELU
    ),
    **dict.fromkeys(("layernorm", "groupnorm", "instancenorm", "layernormalization"), RETRAIN_NORM),
    **dict.fromkeys(("groupnormalization", "instancenormalization", "lrn"), RETRAIN_NORM),
    **dict.fromkeys(("permute", "transpose"), KEEP_ORDER),
    **dict.fromkeys(("quantizelinear", "dequantizelinear", "qlinearconv"), PLAIN_TENSORS),
    **dict.fromkeys(("convtranspose", "convtranspose2d"), "upsampling layers are not supported"),
    "conv1d": "write it as a Conv2d with a kernel of height 1",
}


def remedy(op: str) -> str:
    """Advice on the operator ``op``, however its framework spells it."""
    return REMEDIES.get(op.lower().replace("_", ""), DEFAULT)
