"""Trains the network that finds ventricular fibrillation, flutter and fast tachycardia in 5 s of one lead."""

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from edge.beats.fibrillation import KINDS, WINDOW
from training.beats.averaging import follow
from training.beats.fibrillation_windows import LeadWindows, chances
from training.beats.rhythm_spans import BENIGN
from training.data.reporting import ReportLine
from training.errors import TrainingError

GRAPH, WEIGHTS = "fibrillation.onnx", "fibrillation.safetensors"
_OPSET = 17
_LEAST_MV = 0.02  # added to the standard deviation by which a window is scaled
_LIMIT = 8.0  # of a scaled sample
_STAGES = ((1, 16, 9, 4), (16, 24, 7, 2), (24, 32, 5, 2), (32, 48, 5, 2), (48, 48, 3, 1))  # in, out, width, stride
_BATCH = 256
_RATE, _WEIGHT_DECAY, _SMOOTHING, _MAX_NORM, _AVERAGE_DECAY = 2e-3, 0.05, 0.03, 2.0, 0.995
_REPORT_STEPS = 100
_NOISE_ALONE_SHARE, _NOISE_ADDED_SHARE, _FLIP_SHARE = 0.06, 0.4, 0.5
_SHIFT = 50  # samples, either way
_STRETCH = 0.1  # of the time
_GAIN = 0.2  # standard deviation of the logarithm


class FibrillationNetwork(nn.Module):
    """(batch, samples) of one lead in mV to (batch, kinds) logits; scales each window itself."""

    def __init__(self, drop: float = 0.2) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, width, stride in _STAGES:
            convolution = nn.Conv1d(inputs, outputs, width, stride=stride, padding=width // 2, bias=False)
            layers += [convolution, nn.BatchNorm1d(outputs), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        pooled = 2 * _STAGES[-1][1] + 1
        self.head = nn.Sequential(nn.Dropout(drop), nn.Linear(pooled, 32), nn.ReLU(), nn.Linear(32, len(KINDS)))

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits."""
        spread = windows.std(1, keepdim=True, unbiased=False) + _LEAST_MV
        encoded = self.body((windows / spread).clamp(-_LIMIT, _LIMIT)[:, None])
        level = torch.log(spread).clamp(-4.0, 2.0)
        logits: Tensor = self.head(torch.cat([encoded.mean(2), encoded.amax(2), level], 1))
        return logits


class _Probabilities(nn.Module):
    def __init__(self, network: FibrillationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: Tensor) -> Tensor:
        return torch.softmax(self.network(windows), 1)


class WindowSampler:
    """Draws augmented windows: shifted, stretched in time, with noise, gain and polarity changed.

    Parameters
    ----------
    leads : to draw from
    noise : (signals, n) of RMS 1 at 100 Hz
    """

    def __init__(self, leads: Sequence[LeadWindows], noise: NDArray[np.float32], seed: int) -> None:
        self._signals = [lead.signal for lead in leads]
        self._lead = np.concatenate([np.full(len(lead.kind), number) for number, lead in enumerate(leads)])
        self._first = np.concatenate([lead.first for lead in leads])
        self._kind = np.concatenate([lead.kind for lead in leads])
        self._cumulated = np.cumsum(chances(leads))
        self._noise = noise
        self._random = np.random.default_rng(seed)

    def draw(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return (count, samples) windows and (count,) kinds."""
        random = self._random
        rows = np.searchsorted(self._cumulated, random.random(count) * self._cumulated[-1], side="right")
        windows = np.stack([self._stretched(row) for row in rows])
        for row in np.flatnonzero(random.random(count) < _NOISE_ADDED_SHARE):
            windows[row] += self._some_noise() * (windows[row].std() + _LEAST_MV) * 10 ** random.uniform(-1.3, 0.2)
        sign = np.where(random.random((count, 1)) < _FLIP_SHARE, -1.0, 1.0)
        windows *= (sign * np.exp(random.normal(0, _GAIN, (count, 1)))).astype(np.float32)
        kinds = self._kind[rows]
        # Noise without a heartbeat must not look like fibrillation.
        for row in np.flatnonzero(random.random(count) < _NOISE_ALONE_SHARE):
            windows[row] = self._some_noise() * 10 ** random.uniform(-1.3, 0.3)
            kinds[row] = BENIGN
        return windows, kinds

    def _stretched(self, row: int) -> NDArray[np.float32]:
        signal = self._signals[self._lead[row]]
        shift = self._random.integers(-_SHIFT, _SHIFT + 1)
        first = int(np.clip(self._first[row] + shift, 0, len(signal) - WINDOW))
        at = first + np.arange(WINDOW) * (1.0 + self._random.uniform(-_STRETCH, _STRETCH))
        # Beyond the end of the signal its last value is repeated.
        last = min(first + 2 * WINDOW, len(signal))
        stretched: NDArray[np.float32] = np.interp(at, np.arange(first, last), signal[first:last]).astype(np.float32)
        return stretched

    def _some_noise(self) -> NDArray[np.float32]:
        first = self._random.integers(self._noise.shape[1] - WINDOW)
        part: NDArray[np.float32] = self._noise[self._random.integers(len(self._noise)), first : first + WINDOW]
        return part


def fit(sampler: WindowSampler, steps: int, seed: int, report: ReportLine) -> FibrillationNetwork:
    """Train, and return the average of the weights; TrainingError when the loss is not finite."""
    torch.manual_seed(seed)
    network = FibrillationNetwork().train()
    average = copy.deepcopy(network).eval()
    optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps, pct_start=0.08)
    for step in range(1, steps + 1):
        windows, kinds = sampler.draw(_BATCH)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(torch.from_numpy(windows))
        loss = functional.cross_entropy(logits.float(), torch.from_numpy(kinds), label_smoothing=_SMOOTHING)
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss is {loss.item()} at step {step}; try another --seed")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), _MAX_NORM)
        optimizer.step()
        schedule.step()
        follow(average, network, min(_AVERAGE_DECAY, step / (step + 9)))
        if step % _REPORT_STEPS == 0:
            report(f"step {step} of {steps}, loss {loss.item():.4f}")
    return average


def write_network(network: FibrillationNetwork, out: Path) -> None:
    """Write the weights, and the graph from `windows` (batch, samples) to `probabilities` (batch, kinds)."""
    save_file(network.state_dict(), out / WEIGHTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # see `training.beats.export`
        torch.onnx.export(
            _Probabilities(network).eval(),
            (torch.zeros(2, WINDOW),),
            str(out / GRAPH),
            input_names=["windows"],
            output_names=["probabilities"],
            opset_version=_OPSET,
            dynamic_axes={"windows": {0: "batch"}, "probabilities": {0: "batch"}},
            dynamo=False,
        )
