"""How fast networks train, by back end and threads, and how fast they answer: one run, on made-up windows.

A training step is the trainer's: bfloat16 where torch thinks it safe, the loss, the gradients, AdamW. The candidates
take turns, so that a machine that slows down slows all of them.
"""

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from calibration.compare import latency
from calibration.export import graph
from ecgnat.attention import Backend
from ecgnat.losses import masked_bce
from ecgnat.model import ModelConfig, Network, NetworkConfig
from ecgnat.networks import NetworkName, make_network, network_config
from edge.core.leads import LEADS
from training.data.labels import NAMES
from training.data.windows import INPUT
from training.loop.optimizing import make_optimizer

ON_CPU: tuple[Backend, ...] = tuple(backend for backend in get_args(Backend) if backend != "natten")
_DEVICE_BATCH = 1
_WINDOWS_S = (2.56, INPUT.window_s)  # of the forward pass: `ecg-train study windows` says how well each judges
Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Task:
    """What is timed, and how often."""

    networks: tuple[NetworkName, ...]
    threads: tuple[int, ...]
    batch_size: int = 128
    steps: int = 5
    rounds: int = 200  # of the forward pass


def measure(task: Task, say: Say) -> dict[str, Any]:
    """Time everything.

    Returns
    -------
    dict
        `training`: rows of network, backend, threads, windows_per_s (median step);
        `forward`: rows of network, parameters, window_s, mflop (of a window), p50_ms, p99_ms (ONNX Runtime, FP32)
    """
    return {"training": _training(task, say), "forward": _forward(task, say)}


def _training(task: Task, say: Say) -> list[dict[str, Any]]:
    steps = {(name, backend): _stepper(config, task.batch_size) for name, backend, config in _variants(task.networks)}
    rows = []
    for threads in task.threads:
        torch.set_num_threads(threads)
        times: dict[tuple[str, str], list[float]] = {key: [] for key in steps}
        for number in range(-1, task.steps):
            for key, step in steps.items():
                began = time.perf_counter()
                step()
                if number >= 0:  # the first warms up
                    times[key].append(time.perf_counter() - began)
        for (name, backend), values in times.items():
            rate = task.batch_size / statistics.median(values)
            rows.append({"network": name, "backend": backend, "threads": threads, "windows_per_s": rate})
            say(f"training {name} {backend}, {threads} threads: {rate:.0f} windows/s")
    return rows


def _variants(networks: Sequence[NetworkName]) -> list[tuple[str, str, NetworkConfig]]:
    found: list[tuple[str, str, NetworkConfig]] = []
    for name in networks:
        config = network_config(name, len(NAMES))
        if isinstance(config, ModelConfig):
            found += [(name, backend, dataclasses.replace(config, backend=backend)) for backend in ON_CPU]
        else:
            found.append((name, "", config))
    return found


def _stepper(config: NetworkConfig, batch_size: int) -> Callable[[], None]:
    """Return what takes one training step."""
    torch.manual_seed(0)
    network = make_network(config).train()
    optimizer = make_optimizer(list(network.named_parameters()), 0.05)
    signal, keep = torch.randn(batch_size, len(LEADS), INPUT.window_samples), torch.ones(batch_size, len(LEADS))
    target = (torch.rand(batch_size, config.outputs) < 0.1).float()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(signal, keep)
        loss = masked_bce(logits.float(), target, torch.ones_like(target))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()

    return step


def _forward(task: Task, say: Say) -> list[dict[str, Any]]:
    networks = {name: make_network(network_config(name, len(NAMES))).eval() for name in task.networks}
    rows = []
    for window_s in _WINDOWS_S:
        signal, keep = _windows(8, round(window_s * INPUT.sample_rate_hz))
        with tempfile.TemporaryDirectory() as folder:
            runs: dict[str, latency.Run] = {}
            for name, network in networks.items():
                path = Path(folder) / f"{name}.onnx"
                graph.export(graph.Deployed(network, list(range(len(NAMES)))), len(LEADS), signal.shape[2], path)
                runs[name] = latency.onnx_runtime(path)
            times = latency.measure(runs, signal, keep, task.rounds, lambda: None, batches=(_DEVICE_BATCH,))
        for name, network in networks.items():
            spent = times[name][f"b{_DEVICE_BATCH}"]
            row = {"network": name, "parameters": sum(p.numel() for p in network.parameters()), "window_s": window_s}
            rows.append(row | {"mflop": _mflop(network, signal, keep), "p50_ms": spent["p50"], "p99_ms": spent["p99"]})
            say(f"forward {name}, {window_s:g} s: {rows[-1]['mflop']:.0f} MFLOP, {spent['p50']:.2f} ms p50")
    return rows


def _windows(count: int, samples: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    signal = np.random.default_rng(0).normal(size=(count, len(LEADS), samples)).astype(np.float32)
    return signal, np.ones((count, len(LEADS)), np.float32)


def _mflop(network: Network, signal: NDArray[np.float32], keep: NDArray[np.float32]) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.from_numpy(signal[:1]), torch.from_numpy(keep[:1]))
    return float(counter.get_total_flops()) / 1e6


def render(result: dict[str, Any], task: Task) -> str:
    """Return the figures as Markdown."""
    protocol = (
        f"Training: windows of {INPUT.window_s:g} s and 12 leads a second, batches of {task.batch_size}, median of "
        f"{task.steps} steps, bfloat16. Forward: one window, one thread, ONNX Runtime, FP32, {task.rounds} runs."
    )
    lines = [
        "## Speed",
        "",
        protocol,
        "",
        "| network | back end | " + " | ".join(f"{threads} threads" for threads in task.threads) + " |",
        "|---" * (2 + len(task.threads)) + "|",
    ]
    rates: dict[tuple[str, str], list[str]] = {}
    for row in result["training"]:
        rates.setdefault((row["network"], row["backend"]), []).append(f"{row['windows_per_s']:.0f}")
    lines += [f"| {name} | {backend} | {' | '.join(cells)} |" for (name, backend), cells in rates.items()]
    lines += ["", "| network | parameters | window, s | MFLOP | p50 ms | p99 ms |", "|---" * 6 + "|"]
    lines += [
        f"| {row['network']} | {row['parameters'] / 1e6:.2f} M | {row['window_s']:g} | {row['mflop']:.0f} "
        f"| {row['p50_ms']:.2f} | {row['p99_ms']:.2f} |"
        for row in result["forward"]
    ]
    return "\n".join(lines)
