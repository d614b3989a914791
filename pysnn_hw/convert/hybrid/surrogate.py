# SPDX-License-Identifier: BSD-2-Clause
"""Spikes with a slope: a step forwards, something smoother backwards (methods.md 4.4).

With ``n = u / theta - 1`` a neuron fires if ``n > 0``. The slope ds/dn that is put in its place is

* ``linear``: ``alpha * max(0, 1 - |n|)``, largest at the threshold;
* ``stdb``: ``alpha * exp(-beta * dt)``, dt the steps since the neuron last fired (at a step where
  it fires: since the spike before). It does not look at the membrane at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pysnn_hw.convert.hybrid.training import HybridTraining

if TYPE_CHECKING:
    import torch

NEVER = -1000
"""When a neuron fired that never has: so long ago that it learns next to nothing."""


def stdb_slope(
    elapsed: torch.Tensor, alpha: float, beta: float, cutoff: int | None = None
) -> torch.Tensor:
    """``alpha * exp(-beta * elapsed)``, and 0 beyond ``cutoff`` steps if there is one.

    The exponential is of the product: ``exp(-elapsed) ** beta`` would underflow in float32 from
    104 steps on, where the slope is still a third of alpha.
    """
    import torch

    slope = alpha * torch.exp(-beta * elapsed)
    return slope if cutoff is None else slope * (elapsed <= cutoff)


def linear_slope(n: torch.Tensor, alpha: float) -> torch.Tensor:
    """``alpha * max(0, 1 - |n|)``, in the place of ``n``."""
    return n.abs_().neg_().add_(1).clamp_(min=0).mul_(alpha)


def fire(
    u: torch.Tensor, theta: torch.Tensor, fired: torch.Tensor, step: int, training: HybridTraining
) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes of the membranes ``u`` at ``step``, and the steps of everyone's last spike then.

    Parameters
    ----------
    u, theta
        Membranes before the reset, float (N, C, H, W), and thresholds that broadcast to it.
    fired
        Step of the last spike, float, as ``u``; `NEVER` to begin with.
    step
        Which timestep this is.
    training
        Which slope, and its constants.
    """
    import torch

    above = u > theta
    spikes = above.to(u.dtype)
    if not u.requires_grad:
        return spikes, fired
    held = u.detach()
    if training.surrogate == "linear":
        slope = linear_slope((held / theta).sub_(1), training.alpha)
    else:
        slope = stdb_slope(step - fired, training.alpha, training.beta, training.stdb_cutoff)
        fired = torch.where(above, float(step), fired)
    # The second term is exactly zero; only its gradient counts.
    return spikes + slope.div(theta) * (u - held), fired
