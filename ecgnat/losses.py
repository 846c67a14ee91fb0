"""Losses: binary cross-entropy that skips unknown labels, and supervised contrast.

Contrast is L_out of Khosla et al. 2020 (arXiv:2004.11362, equation 2), with weighted positives: for an anchor i with
similarities w to all other windows, and p(j) the softmax of the cosines / temperature, the loss is
-sum_j w(i, j) log p(j) / sum_j w(i, j). Anchors without a positive do not count. Under torch.distributed the value of
each rank is its share of the loss over the whole batch (see `ecgnat.ranks`).
"""

import torch
from torch import Tensor
from torch.nn import functional

from ecgnat import ranks

_MASKED = -1e9  # added to a logit, this makes its probability exactly 0


def masked_bce(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Mean binary cross-entropy over the known labels.

    Parameters
    ----------
    logits, target, known : (batch, labels) float; target in [0, 1], known 0 or 1

    Returns
    -------
    () float; 0 when nothing is known
    """
    loss = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")  # (batch, labels)
    return (loss * known).sum() / torch.clamp(ranks.total(known.sum()), min=1.0)


def single_label_contrast(features: Tensor, label: Tensor, temperature: float = 0.1) -> Tensor:
    """Contrast of windows with one class each: the positives are the windows of the same class.

    Parameters
    ----------
    features : (batch, dim) float; their length does not matter
    label : (batch,) int

    Returns
    -------
    () float
    """
    return _contrast(features, (label[:, None] == ranks.gather(label)).to(features.dtype), temperature)


def multi_label_contrast(features: Tensor, target: Tensor, known: Tensor, temperature: float = 0.1) -> Tensor:
    """Contrast of windows with many labels: every other window is a positive, weighted by its Jaccard similarity.

    Parameters
    ----------
    features : (batch, dim) float; their length does not matter
    target, known : (batch, labels) float; target in [0, 1], known 0 or 1

    Returns
    -------
    () float
    """
    similarity = jaccard(target, known, ranks.gather(target), ranks.gather(known))
    return _contrast(features, similarity.to(features.dtype), temperature)


def jaccard(target: Tensor, known: Tensor, other: Tensor, other_known: Tensor) -> Tensor:
    """Jaccard similarity over the labels known in both windows; sum of minima / sum of maxima for fractional labels.

    Parameters
    ----------
    target, known : (batch, labels) float
    other, other_known : (others, labels) float

    Returns
    -------
    (batch, others) float in [0, 1]; 0 if neither window has a label that is known in both
    """
    both = known[:, None] * other_known  # (batch, others, labels)
    shared = (torch.minimum(target[:, None], other) * both).sum(-1)
    either = (torch.maximum(target[:, None], other) * both).sum(-1)
    return torch.where(either > 0, shared / either.clamp(min=1e-12), 0.0)


def _contrast(features: Tensor, similarity: Tensor, temperature: float) -> Tensor:
    own = functional.normalize(features, dim=1)
    every = ranks.gather(own)
    # A window is no positive of itself. Its column in the gathered batch depends on the rank.
    anchors = torch.arange(own.shape[0], device=own.device)
    self_pair = functional.one_hot(anchors + ranks.rank() * own.shape[0], every.shape[0]).bool()
    logits = (own @ every.T / temperature).masked_fill(self_pair, _MASKED)
    weight = similarity.masked_fill(self_pair, 0.0)
    total_weight = weight.sum(dim=1)
    # Clamped because an anchor without a positive would divide by 0; it adds nothing to the sum.
    each = -(weight * logits.log_softmax(dim=1)).sum(dim=1) / total_weight.clamp(min=1e-12)
    return each.sum() / torch.clamp(ranks.total((total_weight > 0).sum()), min=1)
