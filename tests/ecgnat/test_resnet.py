"""The ResNet that ECG-NAT is compared with."""

import pytest
import torch

from ecgnat.model import EcgNat, NetworkConfig
from ecgnat.networks import make_network, network_config
from ecgnat.resnet import ResNet, ResNetConfig


@pytest.fixture
def network():
    torch.manual_seed(0)
    return ResNet(ResNetConfig(7, dims=(16, 24), depths=(1, 2), stem=8)).eval()


def test_any_length_and_batch(network):
    for batch, samples in ((1, 512), (3, 333)):
        signal, keep = torch.randn(batch, 12, samples), torch.ones(batch, 12)
        assert network(signal, keep).shape == (batch, 7)
        assert network.pooled(signal, keep).shape == (batch, network.width)


def test_a_lead_that_is_not_kept_has_no_influence(network):
    signal, keep = torch.randn(2, 12, 256), torch.ones(2, 12)
    keep[:, 5] = 0.0
    other = signal.clone()
    other[:, 5] = torch.randn(2, 256)
    assert torch.equal(network(signal, keep), network(other, keep))
    assert not torch.equal(network(signal, torch.ones(2, 12)), network(other, torch.ones(2, 12)))


def test_branches_begin_at_zero(network):
    block = network.blocks[0]
    x = torch.randn(2, 16, 40)
    assert torch.equal(block(x), torch.relu(block.shortcut(x)))


def test_its_cost_is_that_of_small():
    millions = sum(p.numel() for p in make_network(network_config("resnet", 93)).parameters()) / 1e6
    assert 2.3 < millions < 2.5


def test_a_network_by_its_configuration():
    assert isinstance(make_network(network_config("tiny", 3)), EcgNat)
    with pytest.raises(TypeError, match="no network"):
        make_network(NetworkConfig(3))


def test_depths_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="one entry for each stage"):
        ResNetConfig(3, dims=(8, 8), depths=(1,))
