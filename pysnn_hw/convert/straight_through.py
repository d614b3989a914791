# SPDX-License-Identifier: BSD-2-Clause
"""Spikes of one timestep, with the slope that lets them be trained through (methods.md 6.2).

Forwards, ``clip(floor(u / theta + 1/2), 0, spike_max)``. Backwards the staircase counts as the line
that it follows: slope 1 / theta between the foot of the first step and the end of the last, 0
outside. One operation instead of the eight that it is made of: training is bound by memory.
"""

# This module imports torch as it is loaded: load it where torch is needed, not before.

from __future__ import annotations

from typing import Any

import torch


class Spikes(torch.autograd.Function):
    """``Spikes.apply(u, theta, spike_max)``: spikes float (N, C, H, W) of the sums ``u``.

    ``theta`` broadcasts to ``u`` as (1, C, 1, 1).
    """

    @staticmethod
    def forward(ctx: Any, u: torch.Tensor, theta: torch.Tensor, spike_max: int) -> torch.Tensor:
        level = u / theta
        ctx.save_for_backward(level, theta)
        ctx.spike_max = spike_max
        return (level + 0.5).floor_().clamp_(0, spike_max)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        level, theta = ctx.saved_tensors
        # From half a spike below the first to half a spike above the last.
        inside = (level - ctx.spike_max / 2).abs_().le_(ctx.spike_max / 2 + 0.5)
        to_u = inside.mul_(grads[0]).div_(theta)
        to_theta = -(to_u * level).sum((0, 2, 3), keepdim=True)
        return to_u, to_theta, None
