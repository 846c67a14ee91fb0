"""Changes beats at random before the network sees them: shift, polarity, gain, wander, noise, a lead left out."""

import math

import torch
from torch import Tensor

from edge.beats.snippets import LENGTH, RATE_HZ
from training.beats.description import MOST_LEADS

_FLIP_SHARE = 0.3
_GAIN = 0.15  # standard deviation of the logarithm, for beat and template alike
_OWN_GAIN = 0.04  # the same for each of them alone
_WANDER = 0.15  # in heights of the template's QRS complex, as the noise
_NOISE = 0.04
_LEAVE_OUT_SHARE = 0.08


def augment(snippets: Tensor, keep: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return changed snippets, (batch, 2 leads, 2 channels, samples), and keep, (batch, 2), as float32."""
    keep = _leave_out(keep, random)
    changed = _disturbed(_scaled(_shifted(snippets, random), random), random)
    changed = changed * keep[:, :, None, None]
    # The order of the leads means nothing, so the network must not learn one.
    swap = torch.rand(len(keep), generator=random) < 0.5
    return (
        torch.where(swap[:, None, None, None], changed.flip(1), changed),
        torch.where(swap[:, None], keep.flip(1), keep),
    )


def _shifted(snippets: Tensor, random: torch.Generator) -> Tensor:
    """Shift by up to 3 samples, and beat against template by 1 or 2 more."""
    batch = len(snippets)
    together = torch.randint(-3, 4, (batch, 1, 1, 1), generator=random)
    apart = torch.randint(-1, 2, (batch, 1, 2, 1), generator=random)
    at = (torch.arange(LENGTH) + together + apart).clamp(0, LENGTH - 1)
    return snippets.gather(3, at.expand(snippets.shape))


def _scaled(snippets: Tensor, random: torch.Generator) -> Tensor:
    batch = len(snippets)
    sign = torch.where(torch.rand((batch, MOST_LEADS, 1, 1), generator=random) < _FLIP_SHARE, -1.0, 1.0)
    gain = torch.exp(_GAIN * torch.randn((batch, MOST_LEADS, 1, 1), generator=random))
    own = torch.exp(_OWN_GAIN * torch.randn((batch, MOST_LEADS, 2, 1), generator=random))
    return snippets * sign * gain * own


def _disturbed(snippets: Tensor, random: torch.Generator) -> Tensor:
    """Add wander and noise to the beat; the template is a median of many beats and has neither."""
    batch = len(snippets)
    height, rate, phase = torch.rand((3, batch, MOST_LEADS, 1, 1), generator=random)
    time_s = torch.arange(LENGTH) / RATE_HZ
    wander = _WANDER * height * torch.sin(2 * math.pi * ((0.2 + rate) * time_s + phase))
    level = _NOISE * torch.rand((batch, 1, 1, 1), generator=random) ** 2
    noise = level * torch.randn((batch, MOST_LEADS, 1, LENGTH), generator=random)
    return torch.cat([snippets[:, :, :1] + wander + noise, snippets[:, :, 1:]], 2)


def _leave_out(keep: Tensor, random: torch.Generator) -> Tensor:
    """Leave out one lead of a few beats that have two."""
    gone = (torch.rand(keep.shape, generator=random) < _LEAVE_OUT_SHARE) & (keep.sum(1, keepdim=True) > 1)
    gone[:, 0] &= ~gone[:, 1]  # never both
    return keep * ~gone
