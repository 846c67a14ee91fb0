"""An exponential average of a network's weights."""

import torch
from torch import nn


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the average towards the network; counters are copied."""
    for own, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if own.dtype.is_floating_point:
            own.mul_(decay).add_(new, alpha=1 - decay)
        else:
            own.copy_(new)
