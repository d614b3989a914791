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
    """``Spikes.apply(u, theta, spike_max)``: spikes of the sums ``u`` (N, C, H, W), and how many.

    ``theta`` broadcasts to ``u`` as (1, C, 1, 1). The second result is the share of neurons that
    fire, in which each counts as the line that its first spike follows, so that it has a slope.
    """

    @staticmethod
    def forward(
        ctx: Any, u: torch.Tensor, theta: torch.Tensor, spike_max: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        level = u / theta
        ctx.save_for_backward(level, theta)
        ctx.spike_max = spike_max
        ctx.set_materialize_grads(False)  # most training does not care for the share
        share = (level + 0.5).clamp_(0, 1).mean()
        return (level + 0.5).floor_().clamp_(0, spike_max), share

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor, None]:
        level, theta = ctx.saved_tensors
        if grads[0] is None:
            to_level = torch.zeros_like(level)
        else:
            # From half a spike below the first to half a spike above the last.
            inside = (level - ctx.spike_max / 2).abs_().le_(ctx.spike_max / 2 + 0.5)
            to_level = inside.mul_(grads[0])
        if grads[1] is not None:
            first = level.abs().le_(0.5)
            to_level = to_level.add_(first, alpha=float(grads[1]) / level.numel())
        to_u = to_level.div_(theta)
        to_theta = -(to_u * level).sum((0, 2, 3), keepdim=True)
        return to_u, to_theta, None
