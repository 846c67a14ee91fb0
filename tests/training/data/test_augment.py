"""What augmentation changes in a batch, and what it must not change."""

import pytest
import torch

from training.data.augment import Batch, add_noise, augment, drop_leads, gain, mixup, read_noise, time_out
from training.data.labels import INDEX, NAMES

SIZE, SAMPLES = 400, 256


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def batch(generator):
    keep = torch.zeros(SIZE, 12)
    keep[:200] = 1
    keep[200:, 0] = 1  # single-lead records
    signal = torch.randn(SIZE, 12, SAMPLES, generator=generator) * keep.unsqueeze(-1)
    target = (torch.rand(SIZE, len(NAMES), generator=generator) < 0.2).float()
    return Batch(signal, keep, target, torch.ones(SIZE, len(NAMES)))


def noise(generator):
    return torch.randn(8, 2000, generator=generator)


def test_at_least_one_lead_remains_and_none_is_added(batch, generator):
    out = drop_leads(batch, 0.9, generator)
    assert (out.keep.sum(dim=1) >= 1).all()
    assert (out.keep <= batch.keep).all()
    assert (out.keep[200:] == batch.keep[200:]).all(), "the only lead is never taken"
    assert torch.equal(out.signal, batch.signal * out.keep.unsqueeze(-1))
    assert (out.keep[:200].sum(dim=1) == 1).float().mean() > 0.25


def test_unreadable_windows_have_the_label_noise_alone(batch, generator):
    out = add_noise(batch, noise(generator), 1.0, generator)
    column = INDEX["NOISE"]
    gone = out.known.sum(dim=1) == 1
    assert 0.05 < gone.float().mean() < 0.3
    assert (out.target[gone, column] == 1).all()
    assert (out.known[gone, column] == 1).all()
    assert torch.equal(out.target[~gone], batch.target[~gone])
    added = (out.signal - batch.signal)[:200].square().mean(dim=(1, 2)) / batch.signal[:200].square().mean(dim=(1, 2))
    assert added[gone[:200]].min() > 3.0, "-9 dB and worse"
    assert added[~gone[:200]].max() < 2.0, "0 dB and better"


def test_absent_leads_get_no_noise(batch, generator):
    out = add_noise(batch, noise(generator), 1.0, generator)
    assert (out.signal[200:, 1:] == 0).all()


def test_time_out_sets_at_most_a_tenth_of_all_leads_to_zero(batch, generator):
    out = time_out(batch, 1.0, generator)
    zeroed = (out.signal[:200] == 0).all(dim=1)
    assert zeroed.sum(dim=1).max() <= SAMPLES // 10
    assert zeroed.any(dim=1).float().mean() > 0.9


def test_mixup_stays_within_its_rows(batch, generator):
    out = mixup(batch, 100, 1.0, generator)
    assert torch.equal(out.signal[100:], batch.signal[100:])
    assert not torch.equal(out.signal[:100], batch.signal[:100])
    assert out.target.min() >= 0
    assert out.target.max() <= 1


def test_a_batch_without_mixing_keeps_its_labels(batch, generator):
    batch.known[:, 3:] = 0
    out = mixup(batch, SIZE, 0.0, generator)
    for mine, theirs in zip(
        (out.signal, out.target, out.known), (batch.signal, batch.target, batch.known), strict=True
    ):
        assert torch.equal(mine, theirs)


def test_a_label_of_a_mixed_window_is_known_if_both_know_it(batch, generator):
    batch.known[:200, 3] = 0
    out = mixup(batch, SIZE, 1.0, generator)
    assert (out.known[:200, 3] == 0).all()
    assert 0.3 < out.known[200:, 3].mean() < 0.7, "about half of them were mixed with one that does not know"
    assert (out.known[:, 4:] == 1).all()


def test_gain_keeps_the_shape_of_a_lead(batch, generator):
    out = gain(batch, generator)
    ratio = out.signal[:200] / batch.signal[:200]
    assert torch.allclose(ratio.amax(dim=2), ratio.amin(dim=2), rtol=1e-3)


def test_augmenting_does_not_change_its_arguments(batch, generator):
    before = batch.signal.clone(), batch.known.clone()
    out = augment(batch, 200, noise(generator), generator)
    assert torch.equal(batch.signal, before[0])
    assert torch.equal(batch.known, before[1])
    assert torch.isfinite(out.signal).all()


def test_the_noise_records(data_dir):
    stretches = read_noise(data_dir / "nstdb")
    assert stretches.shape[1] == 2000
    assert torch.allclose(stretches.square().mean(dim=1), torch.ones(len(stretches)), rtol=1e-4)
