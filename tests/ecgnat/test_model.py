"""The network: any length, any subset of leads, the shipped size, and a loss that skips unknown labels."""

import pytest
import torch

from ecgnat.losses import masked_bce
from ecgnat.model import DropPath, EcgNat, ModelConfig, named_config


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return EcgNat(named_config("tiny", 5)).eval()


def window(batch=2, samples=500):
    return torch.randn(batch, 12, samples, generator=torch.Generator().manual_seed(samples))


@pytest.mark.parametrize("samples", [64, 250, 256, 999, 1000, 3000])
def test_any_length(tiny, samples):
    logits = tiny(window(samples=samples), torch.ones(2, 12))
    assert logits.shape == (2, 5)
    assert torch.isfinite(logits).all()


def test_a_lead_that_is_not_kept_has_no_influence(tiny):
    signal, keep = window(), torch.ones(2, 12)
    keep[:, 3] = 0
    changed = signal.clone()
    changed[:, 3] = 1e3
    assert torch.equal(tiny(signal, keep), tiny(changed, keep))
    assert not torch.equal(tiny(signal, keep), tiny(signal, torch.ones(2, 12)))


def test_the_model_tells_a_flat_lead_from_an_absent_one(tiny):
    signal, keep = window(), torch.ones(2, 12)
    signal[:, 3] = 0
    absent = keep.clone()
    absent[:, 3] = 0
    assert not torch.allclose(tiny(signal, keep), tiny(signal, absent))


def test_windows_of_a_batch_do_not_touch_each_other(tiny):
    signal, keep = window(batch=4), torch.ones(4, 12)
    assert torch.allclose(tiny(signal, keep)[1:2], tiny(signal[1:2], keep[1:2]), atol=1e-5)


def test_all_back_ends_of_attention_give_the_same_network():
    logits = []
    for backend in ("block", "dense", "gather"):
        torch.manual_seed(0)
        config = ModelConfig(outputs=3, dims=(32, 64, 64, 64), depths=(1, 1, 1, 1), backend=backend)
        logits.append(EcgNat(config).eval()(window(samples=900), torch.ones(2, 12)))
    assert torch.allclose(logits[0], logits[1], atol=1e-4)
    assert torch.allclose(logits[0], logits[2], atol=1e-4)


def test_the_shipped_size():
    parameters = sum(p.numel() for p in EcgNat(named_config("small", 93)).parameters())
    assert 1.0e6 < parameters < 2.5e6


def test_contradicting_configurations_are_refused():
    with pytest.raises(ValueError, match="need an entry for each stage"):
        ModelConfig(outputs=1, depths=(1, 1))
    with pytest.raises(ValueError, match="multiples of head_dim"):
        ModelConfig(outputs=1, dims=(64, 100, 192, 256))


def test_drop_path_keeps_the_mean_and_whole_samples():
    torch.manual_seed(0)
    out = DropPath(0.25).train()(torch.ones(4000, 3))
    assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert torch.equal(out[:, 0], out[:, 2])
    assert out.mean().item() == pytest.approx(1.0, abs=0.05)


def test_the_loss_skips_what_is_unknown():
    logits = torch.tensor([[2.0, -1.0]], requires_grad=True)
    loss = masked_bce(logits, torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]]))
    loss.backward()
    assert loss.item() == pytest.approx(torch.nn.functional.softplus(torch.tensor(-2.0)).item())
    assert logits.grad[0, 1] == 0
    assert masked_bce(logits, torch.ones(1, 2), torch.zeros(1, 2)).item() == 0
