"""The time of a window on each runtime and precision, on one thread, at several batch sizes.

The runtimes take turns, so that a machine that slows down slows all of them. OpenVINO and torch run beside ONNX
Runtime if they are installed.
"""

import importlib
import importlib.util
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from calibration.export import graph
from edge.bundle.manifest import Bundle
from training.data.labels import NAMES
from training.data.reporting import ReportProgress
from training.loop import checkpoint

BATCHES = (1, 8, 32)
_MIN_RUNS = 25  # of a large batch
Run = Callable[[NDArray[np.float32], NDArray[np.float32]], object]
Times = dict[str, dict[str, float]]  # "b1" -> {"p50": ms, "p99": ms, "runs": n}


def candidates(bundle: Bundle, weights: Path | None) -> dict[str, Run]:
    """Return the runtimes to time by name: `onnxruntime/<precision>`, and OpenVINO and torch if possible.

    `weights` is the folder of the checkpoint that the bundle was made from; without it torch is not timed.
    """
    found = {f"onnxruntime/{precision}": _onnx_runtime(bundle.graph(precision)) for precision in bundle.manifest.graphs}
    if importlib.util.find_spec("openvino") is not None:
        found |= {f"openvino/{p}": _openvino(bundle.graph(p)) for p in ("fp32", "int8") if p in bundle.manifest.graphs}
    if weights is not None:
        found["torch/fp32"] = _torch(weights, [label.abbreviation for label in bundle.manifest.labels])
    return found


def versions() -> dict[str, str]:
    """Return the versions of the runtimes that are installed."""
    import torch

    found = {"onnxruntime": str(ort.__version__), "torch": str(torch.__version__)}
    if importlib.util.find_spec("openvino") is not None:
        found["openvino"] = str(importlib.import_module("openvino").__version__)
    return found


def measure(
    runs: Mapping[str, Run],
    signal: NDArray[np.float32],
    keep: NDArray[np.float32],
    rounds: int,
    progress: ReportProgress,
) -> dict[str, Times]:
    """Time each runtime `rounds` times at batch 1, less often at larger batches; p50 and p99 in ms for a batch."""
    result: dict[str, Times] = {name: {} for name in runs}
    for done, batch in enumerate(BATCHES, 1):
        times: dict[str, list[float]] = {name: [] for name in runs}
        count = max(rounds // batch, min(rounds, _MIN_RUNS))  # about the same number of windows for each batch size
        for number in range(-2, count):
            rows = (np.arange(batch) + number * batch) % len(signal)  # other windows each time, as on the device
            inputs = signal[rows], keep[rows]
            for name, run in runs.items():
                began = time.perf_counter()
                run(*inputs)
                if number >= 0:  # the first two are warm-up
                    times[name].append(1e3 * (time.perf_counter() - began))
        for name, values in times.items():
            p50, p99 = np.percentile(values, (50, 99))
            result[name][f"b{batch}"] = {"p50": float(p50), "p99": float(p99), "runs": count}
        progress("latency", done, len(BATCHES))
    return result


def _onnx_runtime(path: Path) -> Run:
    session = graph.open_graph(path)
    return lambda signal, keep: session.run(["probabilities"], {"signal": signal, "keep": keep})


def _openvino(path: Path) -> Run:
    openvino = importlib.import_module("openvino")  # not a dependency: it runs if it is installed
    core = openvino.Core()
    options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(core.read_model(str(path)), "CPU", options)
    request = compiled.create_infer_request()
    return lambda signal, keep: request.infer({"signal": signal, "keep": keep})


def _torch(weights: Path, labels: list[str]) -> Run:
    import torch

    torch.set_num_threads(1)
    model, names = checkpoint.load_model(weights)
    order = names or NAMES
    return graph.Deployed(model, [order.index(label) for label in labels]).probabilities
