"""Writes trained beat networks: `beats.onnx` for the device, and a safetensors file of each network's weights."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from edge.beats.classifier import INPUTS
from edge.beats.features import CHANNELS, FEATURES, LENGTH
from training.beats.network import AveragedNetworks, BeatNetwork
from training.errors import TrainingError

GRAPH = "beats.onnx"
MAX_DIFFERENCE = 1e-5  # between torch and the graph, in probability
_OPSET = 17
_CHECKED = ((1, 1), (5, 2), (3, 12))  # beats and leads


def write_networks(networks: Sequence[BeatNetwork], out: Path) -> None:
    """Write the graph of the networks' average and their weights.

    TrainingError when the graph's outputs are not those of torch.
    """
    for number, network in enumerate(networks):
        save_file(network.state_dict(), out / f"beats-{number}.safetensors")
    model = AveragedNetworks(networks).eval()
    _export(model, out / GRAPH)
    difference = graph_difference(model, out / GRAPH)
    if not difference <= MAX_DIFFERENCE:  # true for NaN as well
        raise TrainingError(f"{out / GRAPH}: differs from torch by {difference:.2g}, more than {MAX_DIFFERENCE:g}")


def _export(model: AveragedNetworks, path: Path) -> None:
    """Write a graph for any number of beats and leads."""
    example = (torch.zeros(2, 2, CHANNELS, LENGTH), torch.ones(2, 2), torch.zeros(2, FEATURES))
    axes = {"snippets": {0: "batch", 1: "leads"}, "keep": {0: "batch", 1: "leads"}, "features": {0: "batch"}}
    with warnings.catch_warnings():
        # The newer exporter needs onnxscript, which training does without; this one is deprecated for it.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            example,
            str(path),
            input_names=list(INPUTS),
            output_names=["probabilities"],
            opset_version=_OPSET,
            dynamic_axes=axes | {"probabilities": {0: "batch"}},
            dynamo=False,
        )


@torch.no_grad()
def graph_difference(model: AveragedNetworks, path: Path) -> float:
    """Return the largest difference of a graph's probabilities from torch, on random beats of 1, 2 and 12 leads."""
    import onnxruntime as ort

    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    random = torch.Generator().manual_seed(0)
    largest = 0.0
    for beats, leads in _CHECKED:
        inputs = (
            torch.randn((beats, leads, CHANNELS, LENGTH), generator=random),
            (torch.rand((beats, leads), generator=random) < 0.8).float(),
            torch.randn((beats, FEATURES), generator=random),
        )
        arrays = {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=True)}
        (of_graph,) = session.run(None, arrays)
        largest = float(np.maximum(largest, np.abs(of_graph - model(*inputs).numpy()).max()))
    return largest
