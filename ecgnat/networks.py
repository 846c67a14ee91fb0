"""The networks that can be trained, by name and by configuration."""

from typing import Literal

from ecgnat.model import EcgNat, ModelConfig, Network, NetworkConfig, named_config
from ecgnat.resnet import ResNet, ResNetConfig

NetworkName = Literal["tiny", "small", "base", "resnet"]


def make_network(config: NetworkConfig) -> Network:
    """Make the network of a configuration, with random weights."""
    match config:
        case ModelConfig():
            return EcgNat(config)
        case ResNetConfig():
            return ResNet(config)
        case _:
            raise TypeError(f"no network has a {type(config).__name__}")


def network_config(name: NetworkName, outputs: int) -> NetworkConfig:
    """Return a configuration by name: a size of ECG-NAT, or the ResNet that costs as much as `small`."""
    return ResNetConfig(outputs) if name == "resnet" else named_config(name, outputs)
