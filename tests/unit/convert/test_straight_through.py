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
    spikes, share = Spikes.apply(u, THETA, spike_max)
    torch.testing.assert_close(spikes, want, rtol=0, atol=0)
    torch.testing.assert_close(share, (u / THETA + 0.5).clamp(0, 1).mean())


@pytest.mark.parametrize("spike_max", [1, 3, 15])
def test_slopes_are_those_of_the_line_that_the_staircase_follows(spike_max):
    """Against autograd on ``clip(u / theta)``, with half a level more at either end."""
    u, theta = sums(spike_max).requires_grad_(), THETA.clone().requires_grad_()
    weight = torch.linspace(-1, 1, u.numel()).view(u.shape)
    line = (u / theta).clamp(-0.5, spike_max + 0.5)
    want = torch.autograd.grad((line * weight).sum(), (u, theta))
    got = torch.autograd.grad((Spikes.apply(u, theta, spike_max)[0] * weight).sum(), (u, theta))
    inside = (u / THETA > -0.5) & (u / THETA < spike_max + 0.5)
    assert inside.any()
    assert not inside.all()
    torch.testing.assert_close(got[0], want[0])
    assert (got[0] != 0).any()
    # Clipped values give theta no slope, the others -u / theta^2 each.
    slope = torch.where(inside | (want[0] != 0), -u / THETA**2, torch.zeros(()))
    torch.testing.assert_close(got[1], (slope * weight).sum((0, 2, 3), keepdim=True))


@pytest.mark.parametrize("with_spikes", [False, True])
def test_slopes_of_the_share_are_those_of_the_line_to_the_first_spike(with_spikes):
    u = torch.randn(2, 2, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    u = (4 * u).requires_grad_()
    theta = THETA.double().requires_grad_()
    spikes, share = Spikes.apply(u, theta, 3)
    level = u / theta
    line, first = level.clamp(-0.5, 3.5), (level + 0.5).clamp(0, 1).mean()
    got = torch.autograd.grad(5 * share + with_spikes * spikes.square().sum(), (u, theta))
    pull = with_spikes * 2 * spikes.detach()
    want = torch.autograd.grad(5 * first + (pull * line).sum(), (u, theta))
    for found, expected in zip(got, want, strict=True):
        torch.testing.assert_close(found, expected)
