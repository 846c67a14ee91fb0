"""Losses that skip what nobody annotated."""

import torch
from torch import Tensor
from torch.nn import functional


def masked_bce(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Mean binary cross-entropy over the entries that are known.

    Parameters
    ----------
    logits, target, known : (batch, labels) float; target in [0, 1], known 0 or 1

    Returns
    -------
    () float; 0 when nothing is known
    """
    loss = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (loss * known).sum() / torch.clamp(known.sum(), min=1.0)
