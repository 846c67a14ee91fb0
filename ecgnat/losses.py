"""Losses: binary cross-entropy that skips what nobody annotated, and supervised contrast.

Contrast is the L_out of Khosla et al. 2020 (arXiv:2004.11362, equation 2), generalised to weighted
positives: for an anchor i with similarities w to all others, and p(j) the softmax of the cosines / temperature,
the loss is -sum_j w(i, j) log p(j) / sum_j w(i, j). An anchor without any positive does not count. Under
torch.distributed every rank's value is its share of the loss over the whole batch (see `ecgnat.ranks`).
"""

import torch
from torch import Tensor
from torch.nn import functional

from ecgnat import ranks

_MASKED = -1e9  # added to a logit: its probability becomes exactly 0


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
    return (loss * known).sum() / torch.clamp(ranks.total(known.sum()), min=1.0)


def single_label_contrast(features: Tensor, label: Tensor, temperature: float = 0.1) -> Tensor:
    """Contrast where each window has one class: the positives are the windows of the same class.

    Parameters
    ----------
    features : (batch, dim) float, of any length: they are normalised here
    label : (batch,) int

    Returns
    -------
    () float
    """
    return _contrast(features, (label[:, None] == ranks.gather(label)).to(features.dtype), temperature)


def multi_label_contrast(features: Tensor, target: Tensor, known: Tensor, temperature: float = 0.1) -> Tensor:
    """Contrast where each window has many labels: every other window is a positive by its Jaccard similarity.

    Parameters
    ----------
    features : (batch, dim) float, of any length: they are normalised here
    target, known : (batch, labels) float; target in [0, 1], known 0 or 1

    Returns
    -------
    () float
    """
    similarity = jaccard(target, known, ranks.gather(target), ranks.gather(known))
    return _contrast(features, similarity.to(features.dtype), temperature)


def jaccard(target: Tensor, known: Tensor, other: Tensor, other_known: Tensor) -> Tensor:
    """Shared labels / labels of either, over the labels known in both; the weighted form (min / max) if fractional.

    Parameters
    ----------
    target, known : (batch, labels) float
    other, other_known : (others, labels) float

    Returns
    -------
    (batch, others) float in [0, 1]; 0 where neither has a label that is known in both
    """
    both = known[:, None] * other_known
    shared = (torch.minimum(target[:, None], other) * both).sum(-1)
    either = (torch.maximum(target[:, None], other) * both).sum(-1)
    return torch.where(either > 0, shared / either.clamp(min=1e-12), 0.0)


def _contrast(features: Tensor, similarity: Tensor, temperature: float) -> Tensor:
    own = functional.normalize(features, dim=1)
    everyone = ranks.gather(own)
    anchors = torch.arange(own.shape[0], device=own.device)
    myself = functional.one_hot(anchors + ranks.rank() * own.shape[0], everyone.shape[0]).bool()
    logits = (own @ everyone.T / temperature).masked_fill(myself, _MASKED)
    weight = similarity.masked_fill(myself, 0.0)
    whole = weight.sum(dim=1)
    each = -(weight * logits.log_softmax(dim=1)).sum(dim=1) / whole.clamp(min=1e-12)
    return each.sum() / torch.clamp(ranks.total((whole > 0).sum()), min=1)
