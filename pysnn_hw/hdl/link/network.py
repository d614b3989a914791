# SPDX-License-Identifier: BSD-2-Clause
"""What the link must know of a network."""

import dataclasses
import json
import zlib
from typing import Any

import numpy as np

from pysnn_hw.errors import PlanError
from pysnn_hw.hdl.link.parameters import LinkParameters
from pysnn_hw.ir.snn import FixedNetwork
from pysnn_hw.ir.widths import population_widths, signed_bits

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
    """Parameters of the link to an accelerator of ``net``; see `LinkParameters`.

    Raises
    ------
    PlanError
        If the network's input are events, which the link does not carry.
    """
    if net.input.encoding == "events":
        raise PlanError(
            "input",
            "address-events cannot be sent over the UART link of a board",
            "generate the accelerator with stream or AXI-Stream ports",
        )
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
        score_bits=_score_bits(net),
    )


def _score_bits(net: FixedNetwork) -> int:
    """Bits of a score: of a membrane, or of as many votes as there are timesteps."""
    if net.readout.mode == "sampled":
        return signed_bits(0, net.timesteps)
    return population_widths(net, net.populations[-1].name).bits
