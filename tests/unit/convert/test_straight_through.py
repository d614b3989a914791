# SPDX-License-Identifier: BSD-2-Clause
import pytest
import torch

from pysnn_hw.convert.straight_through import Spikes

THETA = torch.tensor([2.0, 0.5]).view(1, 2, 1, 1)


def sums(spike_max):
    """Quarter levels from well below the first step to well above the last, both channels."""
    levels = torch.arange(-8, 4 * spike_max + 8, dtype=torch.float32) / 4
    return levels.view(-1, 1, 1, 1) * THETA


@pytest.mark.parametrize("spike_max", [1, 3, 15])
def test_spikes_are_those_of_one_timestep(spike_max):
    u = sums(spike_max)
    want = torch.floor((u + THETA / 2) / THETA).clamp(0, spike_max)
    assert set(want.flatten().tolist()) == set(range(spike_max + 1))
    torch.testing.assert_close(Spikes.apply(u, THETA, spike_max), want, rtol=0, atol=0)


@pytest.mark.parametrize("spike_max", [1, 3, 15])
def test_slopes_are_those_of_the_line_that_the_staircase_follows(spike_max):
    """Against autograd on ``clip(u / theta)``, with half a level more at either end."""
    u, theta = sums(spike_max).requires_grad_(), THETA.clone().requires_grad_()
    weight = torch.linspace(-1, 1, u.numel()).view(u.shape)
    line = (u / theta).clamp(-0.5, spike_max + 0.5)
    want = torch.autograd.grad((line * weight).sum(), (u, theta))
    got = torch.autograd.grad((Spikes.apply(u, theta, spike_max) * weight).sum(), (u, theta))
    inside = (u / THETA > -0.5) & (u / THETA < spike_max + 0.5)
    assert inside.any()
    assert not inside.all()
    torch.testing.assert_close(got[0], want[0])
    assert (got[0] != 0).any()
    # Clipped values give theta no slope, the others -u / theta^2 each.
    slope = torch.where(inside | (want[0] != 0), -u / THETA**2, torch.zeros(()))
    torch.testing.assert_close(got[1], (slope * weight).sum((0, 2, 3), keepdim=True))
