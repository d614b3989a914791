# SPDX-License-Identifier: BSD-2-Clause
"""Sends images to a board, or to a virtual one."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

from pysnn_hw.errors import LinkError
from pysnn_hw.hdl.link.network import fingerprint
from pysnn_hw.host.driver import Inference, Link
from pysnn_hw.ir.snn import Array, FixedNetwork
from pysnn_hw.plan.schedule import Schedule, simple_schedule

VIRTUAL_TIMEOUT_S = 60.0
"""A large network takes seconds per image in simulation."""


def run_images(
    net: FixedNetwork,
    images: Array,
    *,
    port: str | None = None,
    virtual: bool = False,
    schedule: Schedule | None = None,
    baud: int = 1_000_000,
) -> list[Inference]:
    """Classify images on the device at ``port``, or on a virtual board.

    Parameters
    ----------
    net
        The network that the device is expected to run.
    images
        Raw integers (N, C, H, W).
    port, virtual
        One of the two.
    schedule
        What the device was built with: needed if it waits for its memories to be uploaded. The
        virtual board is built with it, by default with one lane per core.
    baud
        Of the port, bits per second.

    Raises
    ------
    LinkError
        If there is no port, the device runs another network, or the link fails.
    DataError
        If the images do not suit the network.
    ToolError
        If the virtual board cannot be built.
    """
    with open_link(net, port=port, virtual=virtual, schedule=schedule, baud=baud) as link:
        return [link.infer(image) for image in images]


@contextlib.contextmanager
def open_link(
    net: FixedNetwork,
    *,
    port: str | None = None,
    virtual: bool = False,
    schedule: Schedule | None = None,
    baud: int = 1_000_000,
) -> Iterator[Link]:
    """A link to a device that runs ``net``; parameters and errors as in `run_images`."""
    if virtual == (port is not None):
        raise LinkError("port", "give either a port or the virtual board")
    contents: Callable[[], bytes]
    with contextlib.ExitStack() as stack:
        if port is not None:
            link = stack.enter_context(Link(port, baud))
            contents = functools.partial(_boot_contents, net, schedule)
        else:
            # Only this branch needs a simulator.
            from pysnn_hw.host.virtual_board import virtual_board

            board = stack.enter_context(virtual_board(net, schedule or simple_schedule(net)))
            link = stack.enter_context(Link(board.port, timeout_s=VIRTUAL_TIMEOUT_S))
            contents = board.design.accelerator.boot_contents
        found, expected = link.info().fingerprint, fingerprint(net)
        if found != expected:
            raise LinkError(
                port or "virtual board",
                f"the device runs network {found:08x}, not {expected:08x}",
                "flash the bitstream of this network",
            )
        if not link.info().loaded:
            link.upload(0, contents())
            if not link.info().loaded:
                problem = "asks for more than was uploaded"
                raise LinkError("device", problem, "was it built with another schedule?")
        yield link


def _boot_contents(net: FixedNetwork, schedule: Schedule | None) -> bytes:
    """What the memories without initial contents must hold."""
    if schedule is None:
        raise LinkError("device", "its memories are empty", "give the schedule it was built with")
    # Where the weights lie is known to the hardware description alone.
    from amaranth.hdl import Fragment

    from pysnn_hw.hdl.accelerator import Accelerator

    accelerator = Accelerator(net, schedule)
    Fragment.get(accelerator, None)  # one that nobody elaborates is warned of
    return accelerator.boot_contents()
