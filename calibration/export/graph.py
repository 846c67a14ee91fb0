"""Exports a network in torch as an ONNX graph, and compares the outputs of the two."""

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
_BATCH = 32
_KEPT = ("pkg.torch.onnx.name_scopes",)  # the module of a node; other notes name files and lines of this machine


class Deployed(nn.Module):
    """The network as it is deployed: BatchNorm folded, a choice of outputs, probabilities instead of logits."""

    def __init__(self, model: Network, outputs: list[int]) -> None:
        super().__init__()
        self.network = copy.deepcopy(model).eval()
        for module in self.network.modules():
            match list(module.children()):
                # A pair of `ecgnat.model.conv_norm`.
                case [nn.Conv1d() as convolution, nn.BatchNorm1d() as norm] if isinstance(module, nn.Sequential):
                    module[0], module[1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
        last = cast("nn.Linear", self.network.head[-1])
        last.weight, last.bias = (nn.Parameter(p[outputs].detach()) for p in (last.weight, last.bias))

    def forward(self, signal: Tensor, keep: Tensor) -> Tensor:
        """Return probabilities, (batch, outputs); arguments as of `EcgNat.features`."""
        probabilities: Tensor = torch.sigmoid(self.network(signal, keep))
        return probabilities

    def probabilities(self, signal: NDArray[np.float32], keep: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run in torch; signal (n, 12, samples) and keep (n, 12) to (n, outputs)."""
        with torch.no_grad():
            result: NDArray[np.float32] = self(torch.from_numpy(signal), torch.from_numpy(keep)).numpy()
        return result


def export(model: Deployed, leads: int, samples: int, path: Path) -> None:
    """Write the graph from `signal` and `keep` to `probabilities`, for any batch size and a fixed number of samples."""
    # Two rows: a batch of one would be exported as a constant.
    example = (torch.zeros(2, leads, samples), torch.ones(2, leads))
    batch = torch.export.Dim("batch", min=1, max=4096)
    logging.getLogger("torch.onnx").setLevel(
        logging.ERROR
    )  # it warns that torchvision is missing, which nothing here needs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
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
    """Remove, in place, the notes of torch's exporter about the machine it ran on, such as paths."""
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
    """Rewrite each GELU, in place, in the form that runtimes fuse into one kernel.

    torch's exporter writes x * (0.5 * (1 + erf(x / sqrt 2))). ONNX Runtime and TensorRT look for
    (x * (1 + erf(x / sqrt 2))) * 0.5. The two differ only in rounding.
    """
    consumers = {name: node for node in model.graph.node for name in node.input}
    producers = {name: node for node in model.graph.node for name in node.output}
    for erf in [node for node in model.graph.node if node.op_type == "Erf"]:
        divided, added = producers[erf.input[0]], consumers[erf.output[0]]
        halved = consumers[added.output[0]]
        product = consumers[halved.output[0]]
        kinds = [node.op_type for node in (divided, added, halved, product)]
        if kinds != ["Div", "Add", "Mul", "Mul"] or divided.input[0] not in product.input:
            continue  # already in that form, or no GELU
        (half,) = set(halved.input) - set(added.output)
        halved.input[:] = [divided.input[0], added.output[0]]
        product.input[:] = [halved.output[0], half]
    return model


def open_graph(graph: Path | onnx.ModelProto) -> ort.InferenceSession:
    """Open a graph, from a file or from memory, on one CPU thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # else it warns of every float16 node without a CPU kernel
    source = str(graph) if isinstance(graph, Path) else graph.SerializeToString()
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run_both(
    model: Deployed, path: Path, signal: NDArray[np.float32], keep: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the outputs of torch and of the graph on windows, (windows, outputs) each."""
    session, of_torch, of_graph = open_graph(path), [], []
    for first in range(0, len(signal), _BATCH):
        inputs = {"signal": signal[first : first + _BATCH], "keep": keep[first : first + _BATCH]}
        of_torch.append(model.probabilities(**inputs))
        of_graph.append(session.run(["probabilities"], inputs)[0])
    return np.concatenate(of_torch), np.concatenate(of_graph)


def latency_ms(path: Path, signal: NDArray[np.float32], keep: NDArray[np.float32], runs: int = 200) -> float:
    """Median milliseconds for one window in ONNX Runtime on one thread."""
    session = open_graph(path)
    times = []
    for number in range(runs):
        row = slice(number % len(signal), number % len(signal) + 1)
        began = time.perf_counter()
        session.run(["probabilities"], {"signal": signal[row], "keep": keep[row]})
        times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times)
