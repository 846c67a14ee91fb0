"""Supervised contrast against values worked out by hand, and the similarities that are the weights of its positives."""

import math

import pytest
import torch

from ecgnat.losses import jaccard, multi_label_contrast, single_label_contrast
from ecgnat.model import ProjectionHead, named_config

CORNERS = torch.tensor([[3.0, 0.0], [0.0, 0.5], [2.0, 0.0], [-1.0, 0.0]])  # lengths do not matter


def test_single_label_by_hand():
    """Windows 0 and 2 share a class and point the same way; 1 and 3 have no partner and do not count.

    For anchor 0 the cosines to 1, 2, 3 are 0, 1, -1; for anchor 2 those to 0, 1, 3 are 1, 0, -1.
    """
    got = single_label_contrast(CORNERS, torch.tensor([5, 6, 5, 7]), temperature=0.5)
    assert got.item() == pytest.approx(math.log(1 + math.exp(-2) + math.exp(-4)), rel=1e-5)


def test_several_positives_are_averaged_outside_the_logarithm():
    """Anchors of class 1 (0, 1, 2): their log shares are averaged, as in L_out and not as in L_in."""
    got = single_label_contrast(CORNERS, torch.tensor([1, 1, 1, 2]), temperature=1.0)
    e = math.e
    zero = -(math.log(1 / (1 + e + 1 / e)) + math.log(e / (1 + e + 1 / e))) / 2
    one = math.log(3.0)
    assert got.item() == pytest.approx((2 * zero + one) / 3, rel=1e-5)


def test_multi_label_by_hand():
    """Labels ab, a, b, none: Jaccard 1/2 between 0 and 1 and between 0 and 2, else 0."""
    target = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    got = multi_label_contrast(CORNERS, target, torch.ones(4, 2), temperature=1.0)
    e = math.e
    zero = -(0.5 * math.log(1 / (1 + e + 1 / e)) + 0.5 * math.log(e / (1 + e + 1 / e))) / 1.0
    one = math.log(3.0)  # to 0, 2, 3 all cosines are 0
    two = -math.log(e / (e + 1 + 1 / e))
    assert got.item() == pytest.approx((zero + one + two) / 3, rel=1e-5)


def test_one_label_each_is_the_same_as_classes():
    generator = torch.Generator().manual_seed(0)
    features, label = torch.randn(12, 5, generator=generator), torch.randint(3, (12,), generator=generator)
    single = single_label_contrast(features, label)
    multi = multi_label_contrast(features, torch.nn.functional.one_hot(label, 3).float(), torch.ones(12, 3))
    assert multi.item() == pytest.approx(single.item(), rel=1e-5)


def test_similarity_looks_only_at_what_is_known_in_both():
    target = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    known = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    assert jaccard(target, known, target, known)[0, 1].item() == pytest.approx(1 / 2)
    assert jaccard(target, torch.ones(2, 3), target, torch.ones(2, 3))[0, 1].item() == pytest.approx(1 / 3)


def test_similarity_of_mixed_windows_is_between():
    target = torch.tensor([[0.75, 0.25], [1.0, 0.0]])
    assert jaccard(target, torch.ones(2, 2), target, torch.ones(2, 2))[0, 1].item() == pytest.approx(0.75 / 1.25)


def test_without_positives_the_loss_and_its_gradient_are_zero():
    features = CORNERS.clone().requires_grad_()
    loss = single_label_contrast(features, torch.arange(4))
    loss.backward()
    assert loss.item() == 0
    assert (features.grad == 0).all()
    alone = single_label_contrast(CORNERS[:1], torch.zeros(1, dtype=torch.long))
    assert alone.item() == 0


def test_it_moves_windows_of_one_class_together():
    torch.manual_seed(0)
    config = named_config("tiny", 1)
    inputs, label = torch.randn(16, 2 * config.dims[-1]), torch.arange(16) % 2
    head = ProjectionHead(2 * config.dims[-1], 8)
    optimizer = torch.optim.Adam(head.parameters(), 1e-3)
    for _ in range(40):
        optimizer.zero_grad()
        single_label_contrast(head(inputs), label).backward()
        optimizer.step()
    directions = torch.nn.functional.normalize(head(inputs), dim=1)
    cosine = directions @ directions.T
    same = label[:, None] == label
    assert cosine[same].mean() > cosine[~same].mean() + 0.5
