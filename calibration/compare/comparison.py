"""Every precision of a bundle beside its FP32 graph, on real windows; the gate.

Windows: PTB-XL fold 9 and the judged part of CinC 2017, which neither trained nor set a range; the validation patients
of MIT-BIH, which set no range, but chose thresholds or, for a network of `crossval --whole`, trained. Pooled as on the
device. Intervals: paired bootstrap over records, 95%. Knows nothing of tables
and pictures.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.compare import latency
from calibration.export import graph
from calibration.held_out import paired
from calibration.held_out import windows as heldout
from calibration.held_out.windows import Windows
from calibration.quantization.sensitivity import FEW, decisions, flips
from edge.bundle.manifest import Bundle, Manifest
from edge.core.machine import processor

MOST_AUC_LOSS = 0.003  # macro AUC, the upper bound of its interval
MOST_LABEL_LOSS = 0.01  # AUC of any label with `FEW` or more positive windows, the upper bound of its interval
_REFERENCE = "fp32"
_QUANTILES = (50.0, 90.0, 99.0, 99.9, 100.0)
Progress = Callable[[str, int, int], None]


def accuracy(bundle: Bundle, windows: Windows, resamples: int, progress: Progress) -> dict[str, dict[str, Any]]:
    """Return the figures of each precision of the bundle; see `protocol`.

    Raises
    ------
    BundleError
        When the bundle has no FP32 graph.
    """
    bundle.graph(_REFERENCE)
    scores = {}
    for precision in sorted(bundle.manifest.graphs, key=lambda name: name != _REFERENCE):
        scores[precision] = _predict(bundle, precision, windows, progress)
    judge = _Judge(bundle, windows, scores[_REFERENCE], resamples)
    figures = {}
    for number, (precision, there) in enumerate(scores.items(), 1):
        figures[precision] = judge.figures(there)
        figures[precision]["size_mb"] = bundle.graph(precision).stat().st_size / 1e6
        progress("bootstrap", number, len(scores))
    return figures


def refusals(figures: dict[str, dict[str, Any]]) -> list[str]:
    """Say, a line each, why the gate refuses a bundle; nothing where it passes."""
    lines = []
    for precision, found in figures.items():
        if precision == _REFERENCE:
            continue
        bound = -found["delta_ci95"][0]
        if not bound <= MOST_AUC_LOSS:
            lines.append(f"{precision} may lose {bound:.4f} macro AUC (upper 95% bound), more than {MOST_AUC_LOSS:g}")
        for name, row in found["labels"].items():
            bound = -row["delta_ci95"][0]
            if row["positives"] >= FEW and not bound <= MOST_LABEL_LOSS:
                lines.append(
                    f"{precision} may lose {bound:.4f} AUC on {name} (upper 95% bound), more than {MOST_LABEL_LOSS:g}"
                )
    return lines


def protocol(manifest: Manifest) -> str:
    """Say what is compared, and how."""
    spec, pooling = manifest.input, manifest.pooling
    windows = f"windows of {spec.window_s:g} s"
    if pooling.kind != "none":
        most = heldout.lengths(manifest).max()
        windows = f"decisions pooled over up to {most} {windows} every {spec.hop_s:g} s"
    return (
        f"{windows}, cut by the device's code: PTB-XL fold 9, every fourth record of CinC 2017's judged part, every "
        "fifth decision of MIT-BIH's validation patients (seen by a network of `crossval --whole`); AUC and F1 by "
        "label over the decisions where it is known, macro over the labels that occur; differences from FP32 with 95% "
        "intervals by paired bootstrap over records"
    )


class _Judge:
    """Holds the reference's figures over all resamples, since each precision is compared to them."""

    def __init__(self, bundle: Bundle, windows: Windows, reference: NDArray[np.float32], resamples: int) -> None:
        self._windows, self._reference = windows, reference
        self._names = [label.abbreviation for label in bundle.manifest.labels]
        self._thresholds, self._alarms = decisions(bundle.manifest)
        self._weights = paired.resample(windows.record, resamples, seed=0)
        self._aucs, self._f1s = self._of(reference, self._everything())
        self._sets = {name: windows.of(name) for name in dict.fromkeys(windows.data_set.tolist())}
        self._set_aucs = {name: self._of(reference, rows)[0] for name, rows in self._sets.items()}

    def figures(self, scores: NDArray[np.float32]) -> dict[str, Any]:
        """Return everything about one precision."""
        aucs, f1s = self._of(scores, self._everything())
        macro, f1 = paired.macro(self._aucs, aucs), paired.macro(self._f1s, f1s)
        labels = self._labels(aucs)
        counted = [name for name, row in labels.items() if row["positives"] >= FEW] or list(labels)
        difference = np.abs(scores.astype(np.float64) - self._reference)
        return {
            "macro_auc": macro.second,
            "delta": macro.delta,
            "delta_ci95": macro.ci95,
            "macro_f1": f1.second,
            "f1_delta": f1.delta,
            "f1_delta_ci95": f1.ci95,
            "flips": flips(self._reference, scores, self._thresholds, self._alarms),
            "worst_label": min(counted, key=lambda name: labels[name]["delta"]) if counted else None,
            "probability_error": {f"p{q:g}": float(np.percentile(difference, q)) for q in _QUANTILES},
            "labels": labels,
            "data_sets": self._data_sets(scores),
        }

    def _labels(self, aucs: NDArray[np.float64]) -> dict[str, dict[str, Any]]:
        holds = (self._windows.target & self._windows.known) > 0
        rows = {}
        for column, name in enumerate(self._names):
            figure = paired.label(self._aucs, aucs, column)
            if np.isfinite(figure.second):
                rows[name] = {
                    "auc_fp32": figure.first,
                    "auc": figure.second,
                    "delta": figure.delta,
                    "delta_ci95": figure.ci95,
                    "positives": int(holds[:, column].sum()),
                    "positive_records": len(set(self._windows.record[holds[:, column]].tolist())),
                }
        return rows

    def _data_sets(self, scores: NDArray[np.float32]) -> dict[str, dict[str, Any]]:
        found = {}
        for name, rows in self._sets.items():
            figure = paired.macro(self._set_aucs[name], self._of(scores, rows)[0])
            if not np.isfinite(figure.second):
                continue  # the set says nothing about this bundle's labels
            found[name] = {
                "decisions": int(rows.size),
                "records": len(set(self._windows.record[rows].tolist())),
                "macro_auc": figure.second,
                "delta": figure.delta,
                "delta_ci95": figure.ci95,
                "flips": flips(self._reference[rows], scores[rows], self._thresholds, self._alarms),
            }
        return found

    def _everything(self) -> NDArray[np.intp]:
        return np.arange(len(self._reference))

    def _of(
        self, scores: NDArray[np.float32], rows: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        target, known, weights = self._windows.target[rows], self._windows.known[rows], self._weights[:, rows]
        aucs = paired.aucs(scores[rows], target, known, weights)
        return aucs, paired.f1s(scores[rows] >= self._thresholds, target, known, weights)


def _predict(bundle: Bundle, precision: str, windows: Windows, progress: Progress) -> NDArray[np.float32]:
    done = 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        progress(precision, done, len(windows.signal))

    return heldout.predict(graph.session(bundle.graph(precision)), windows, bundle.manifest, step)


def compare_bundle(
    bundle: Bundle, data: Path, weights: Path | None, rounds: int, resamples: int, progress: Progress
) -> dict[str, Any]:
    """Return the figures, times and refusals of a bundle, as `compare --json` writes them.

    Raises
    ------
    TrainingError, EdgeError
        When bundle, checkpoint or data cannot be used.
    """
    windows = heldout.load(
        data, bundle.manifest, heldout.JUDGING, lambda done, total: progress("read records", done, total)
    )
    runs = latency.candidates(bundle, weights)
    precisions = accuracy(bundle, windows, resamples, progress)
    some = np.linspace(0, len(windows.signal) - 1, 256).astype(int)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress("latency", done, len(latency.BATCHES))

    times = latency.measure(runs, windows.signal[some], windows.keep[some], rounds, step)
    for precision, found in precisions.items():
        found["latency_ms"] = times[f"onnxruntime/{precision}"]
    manifest = bundle.manifest
    return {
        "bundle": {"name": manifest.name, "version": manifest.version, "sha256": bundle.sha256},
        "protocol": protocol(manifest),
        "windows": len(windows.signal),
        "decisions": len(windows.first),
        "records": len(set(windows.record.tolist())),
        "precisions": precisions,
        "runtimes": times,
        "versions": latency.versions(),
        "processor": processor(),
        "refusals": refusals(precisions),
    }
