"""From a network in torch to an ONNX graph of some of its outputs, and the proof that both say the same.

Knows nothing of bundles or data sets.
"""

import copy
import logging
import statistics
import time
import warnings
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ecgnat.model import Network

OPSET = 18
_KEPT = ("pkg.torch.onnx.name_scopes",)  # which module a node comes from; the rest names files and lines


class Deployed(nn.Module):
    """The network as the device runs it: BatchNorm folded, some outputs only, probabilities instead of logits."""

    def __init__(self, model: Network, outputs: list[int]) -> None:
        super().__init__()
        self.network = copy.deepcopy(model).eval()
        for module in self.network.modules():
            match list(module.children()):
                case [nn.Conv1d() as convolution, nn.BatchNorm1d() as norm] if isinstance(module, nn.Sequential):
                    module[0], module[1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
        last = cast("nn.Linear", self.network.head[-1])
        last.weight, last.bias = (nn.Parameter(p[outputs].detach()) for p in (last.weight, last.bias))

    def forward(self, signal: Tensor, keep: Tensor) -> Tensor:
        """Return probabilities, (batch, outputs); arguments as of `EcgNat.features`."""
        probabilities: Tensor = torch.sigmoid(self.network(signal, keep))
        return probabilities

    def probabilities(self, signal: NDArray[np.float32], keep: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run in torch, from arrays to arrays."""
        with torch.no_grad():
            result: NDArray[np.float32] = self(torch.from_numpy(signal), torch.from_numpy(keep)).numpy()
        return result


def export(model: Deployed, leads: int, samples: int, path: Path) -> None:
    """Write the graph: `signal`, `keep` -> `probabilities`, any batch size, a fixed number of samples."""
    example = (torch.zeros(2, leads, samples), torch.ones(2, leads))
    batch = torch.export.Dim("batch", min=1, max=4096)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which nothing here needs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about itself
        program = torch.onnx.export(
            model,
            example,
            input_names=["signal", "keep"],
            output_names=["probabilities"],
            dynamic_shapes={"signal": {0: batch}, "keep": {0: batch}},
            opset_version=OPSET,
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter returned nothing")
    onnx.save(arrange_gelu(strip(program.model_proto)), path)


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove, in place, what torch's exporter notes about the machine it ran on: stack traces with paths."""
    del model.metadata_props[:]
    graph = model.graph
    for item in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        kept = [prop for prop in item.metadata_props if prop.key in _KEPT]
        del item.metadata_props[:]
        item.metadata_props.extend(kept)
        if hasattr(item, "doc_string"):
            item.doc_string = ""
    return model


def arrange_gelu(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write each GELU, in place, in the order that runtimes know and fuse into one kernel.

    torch's exporter gives x * (0.5 * (1 + erf(x / sqrt 2))); ONNX Runtime and TensorRT look for
    (x * (1 + erf(x / sqrt 2))) * 0.5. Nothing but the rounding differs.
    """
    takers = {name: node for node in model.graph.node for name in node.input}
    makers = {name: node for node in model.graph.node for name in node.output}
    for erf in [node for node in model.graph.node if node.op_type == "Erf"]:
        divided, added = makers[erf.input[0]], takers[erf.output[0]]
        halved = takers[added.output[0]]
        whole = takers[halved.output[0]]
        kinds = [node.op_type for node in (divided, added, halved, whole)]
        if kinds != ["Div", "Add", "Mul", "Mul"] or divided.input[0] not in whole.input:
            continue  # in that order already, or no GELU
        (half,) = set(halved.input) - set(added.output)
        halved.input[:] = [divided.input[0], added.output[0]]
        whole.input[:] = [halved.output[0], half]
    return model


def session(path: Path, threads: int = 1) -> ort.InferenceSession:
    """Open a graph on the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # it warns of each float16 node that the CPU has no kernel for
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def both(
    model: Deployed, path: Path, signal: NDArray[np.float32], keep: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what torch and what the graph say of windows, (windows, outputs) each, in batches of 32."""
    opened, here, there = session(path), [], []
    for first in range(0, len(signal), 32):
        inputs = {"signal": signal[first : first + 32], "keep": keep[first : first + 32]}
        here.append(model.probabilities(**inputs))
        there.append(opened.run(["probabilities"], inputs)[0])
    return np.concatenate(here), np.concatenate(there)


def latency_ms(path: Path, signal: NDArray[np.float32], keep: NDArray[np.float32], runs: int = 200) -> float:
    """Median milliseconds a window: ONNX Runtime, one thread, batch 1."""
    run = session(path)
    times = []
    for number in range(runs):
        row = slice(number % len(signal), number % len(signal) + 1)
        began = time.perf_counter()
        run.run(["probabilities"], {"signal": signal[row], "keep": keep[row]})
        times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times)
