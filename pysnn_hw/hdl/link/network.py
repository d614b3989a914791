# SPDX-License-Identifier: BSD-2-Clause
"""What the link must know of a network."""

import dataclasses
import json
import zlib
from typing import Any

import numpy as np

from pysnn_hw.hdl.link.parameters import LinkParameters
from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.ir.widths import population_widths

__all__ = ["fingerprint", "link_parameters"]


def fingerprint(net: FixedNetwork) -> int:
    """32 bits that tell one network from another: a checksum of all of it but its provenance."""
    document = dataclasses.asdict(dataclasses.replace(net, provenance={}))
    return zlib.crc32(json.dumps(document, default=_plain, sort_keys=True).encode())


def _plain(value: Any) -> Any:
    """NumPy arrays and scalars as Python integers."""
    return np.asarray(value, np.int64).tolist()


def link_parameters(
    net: FixedNetwork,
    *,
    divisor: int,
    clock_mhz: int = 0,
    address_width: int = 0,
) -> LinkParameters:
    """Parameters of the link to an accelerator of ``net``; see `LinkParameters`."""
    channels, height, width = net.input.shape
    return LinkParameters(
        image_length=channels * height * width,
        minimum=net.input.minimum,
        maximum=net.input.maximum,
        classes=net.populations[-1].size,
        divisor=divisor,
        fingerprint=fingerprint(net),
        clock_mhz=clock_mhz,
        address_width=address_width,
        score_bits=population_widths(net, net.populations[-1].name).bits,
    )
