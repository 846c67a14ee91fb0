"""The masked autoencoder: nothing hidden leaks, masks have their ratio, and only hidden patches count as error."""

import dataclasses

import pytest
import torch

from ecgnat.masked import MaskConfig, MaskedAutoencoder, draw_masks, settle_batch_norm
from ecgnat.model import EcgNat, ModelConfig, named_config

SAMPLES, PATCHES = 256, 16
TOY = ModelConfig(outputs=1, dims=(8, 32, 32, 32), depths=(1, 1, 1, 1), kernels=(5, 5, 5), drop_path=0.0)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return MaskedAutoencoder(named_config("tiny", 1), MaskConfig()).eval()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def windows(batch=3):
    return torch.randn(batch, 12, SAMPLES, generator=generator(batch)), torch.ones(batch, 12)


@pytest.mark.parametrize("style", ["blocks", "leads"])
def test_nothing_hidden_reaches_encoder_or_prediction(network, style):
    signal, keep = windows()
    masked = draw_masks(3, 12, PATCHES, MaskConfig(style=style), generator())
    changed = network.patches(signal).masked_fill(masked.unsqueeze(-1), 1e3).flatten(2)
    assert not torch.equal(signal, changed)
    assert torch.equal(network.embed(signal, keep, masked), network.embed(changed, keep, masked))
    assert torch.equal(network(signal, keep, masked), network(changed, keep, masked))


def test_visible_patches_have_influence(network):
    signal, keep = windows()
    masked = draw_masks(3, 12, PATCHES, MaskConfig(), generator())
    changed = network.patches(signal).masked_fill(~masked.unsqueeze(-1), 1e3).flatten(2)
    assert not torch.equal(network(signal, keep, masked), network(changed, keep, masked))


def test_a_hidden_part_differs_from_a_flat_one(network):
    signal, keep = windows()
    masked = draw_masks(3, 12, PATCHES, MaskConfig(), generator())
    flat = network.patches(signal).masked_fill(masked.unsqueeze(-1), 0.0).flatten(2)
    assert not torch.allclose(network(flat, keep, masked), network(flat, keep, torch.zeros_like(masked)))


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.75])
@pytest.mark.parametrize("block", [1, 3, 40])
def test_masks_hide_the_same_share_everywhere(ratio, block):
    for style in ("blocks", "leads"):
        masked = draw_masks(500, 12, PATCHES, MaskConfig(style=style, ratio=ratio, block=block), generator())
        assert masked.shape == (500, 12, PATCHES)
        assert (masked.sum(dim=2) == round(ratio * PATCHES)).all()
        assert (masked == masked[:, :1]).all() == (style == "blocks")
        assert 0.5 * ratio < masked.float().mean(dim=(0, 1)).min(), "every patch is hidden at times"


def test_blocks_are_contiguous():
    single, triple = (
        draw_masks(200, 12, 30, MaskConfig(ratio=0.5, block=block), generator())[:, 0].int() for block in (1, 3)
    )
    runs = [(masks.diff(dim=1) == 1).sum().item() for masks in (single, triple)]
    assert runs[1] < 0.6 * runs[0]


def test_the_error_is_of_hidden_patches_of_leads_that_are_there(network):
    signal, keep = windows()
    keep[:, 4] = 0
    masked = draw_masks(3, 12, PATCHES, MaskConfig(), generator())
    drawn = torch.randn(3, 12, PATCHES, 16, generator=generator(5))
    loss = network.loss(drawn, signal, keep, masked)
    elsewhere = drawn.masked_fill(masked.unsqueeze(-1), 0.0) * 100 + drawn.masked_fill(~masked.unsqueeze(-1), 0.0)
    elsewhere[:, 4] = 7.0
    assert torch.equal(network.loss(elsewhere, signal, keep, masked), loss)
    assert not torch.equal(network.loss(drawn * 2, signal, keep, masked), loss)


def test_the_error_is_normalised_by_patch(network):
    """A perfect reconstruction has no error; a flat one has an error of about 1, whatever the size of the wave."""
    signal, keep = windows()
    signal = signal * torch.logspace(-0.5, 0.5, 12).view(1, 12, 1)
    masked = draw_masks(3, 12, PATCHES, MaskConfig(), generator())
    patches = network.patches(signal)
    variance, mean = torch.var_mean(patches, dim=3, correction=0, keepdim=True)
    exact = (patches - mean) / (variance + network.masking.floor_mv**2).sqrt()
    assert network.loss(exact, signal, keep, masked).item() == pytest.approx(0, abs=1e-10)
    assert network.loss(torch.zeros_like(exact), signal, keep, masked).item() == pytest.approx(1, abs=0.02)
    assert torch.allclose(network.in_mv(exact, signal), signal, atol=1e-4)


def test_running_statistics_settle_on_whole_windows():
    torch.manual_seed(0)
    network = EcgNat(named_config("tiny", 1))
    weights = {name: p.clone() for name, p in network.named_parameters()}
    before = torch.get_rng_state()
    signal, keep = windows(batch=64)
    settle_batch_norm(network, [(signal[:32], keep[:32]), (signal[32:], keep[32:])])
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(p, weights[name]) for name, p in network.named_parameters())
    out = network.embed(signal, keep) - network.leads(keep).unsqueeze(-1)
    assert not network.stem[1].training
    assert network.stem[1].momentum == 0.1
    assert torch.allclose(out.mean(dim=(0, 2)), torch.zeros(out.shape[1]), atol=0.02)
    assert torch.allclose(out.std(dim=(0, 2)), torch.ones(out.shape[1]), atol=0.02)


def test_invalid_arguments_are_refused(network):
    with pytest.raises(ValueError, match="250 samples are not a multiple of the stride 16"):
        network.patches(torch.zeros(1, 12, 250))
    with pytest.raises(ValueError, match="a ratio between 0 and 1"):
        MaskConfig(ratio=1.0)
    with pytest.raises(ValueError, match="a block of at least one patch"):
        dataclasses.replace(MaskConfig(), block=0)


def test_it_learns_to_reconstruct_a_pulse_train():
    torch.manual_seed(0)
    network = MaskedAutoencoder(TOY, MaskConfig(decoder_dim=32))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    random, losses = generator(), []
    for _ in range(30):
        start = torch.randint(60, (8, 1, 1), generator=random)
        beat = ((torch.arange(SAMPLES) + start) % 60 - 30) / 8.0
        signal = (torch.exp(-beat.square()) * torch.linspace(0.5, 1.5, 12).view(12, 1)).expand(8, 12, SAMPLES)
        masked = draw_masks(8, 12, PATCHES, network.masking, random)
        loss = network.loss(network(signal, torch.ones(8, 12), masked), signal, torch.ones(8, 12), masked)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
