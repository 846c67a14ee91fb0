"""Every precision of a bundle compared with its FP32 graph on real windows, and the gate.

The windows of PTB-XL fold 9 and of the judging part of CinC 2017 neither trained nor set a range. Those of MIT-BIH's
validation patients set no range, but they chose thresholds or, for a network of `crossval --whole`, trained. Outputs
are pooled as on the device. The 95% intervals are by paired bootstrap over records.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.compare import latency
from calibration.export import graph
from calibration.held_out import paired
from calibration.held_out.windows import JUDGING, HeldOutWindows, load_windows, pooled_windows, predict_decisions
from calibration.quantization.sensitivity import MIN_POSITIVES, flips, thresholds_and_alarms
from edge.bundle.manifest import Bundle, Manifest
from edge.core.machine import processor
from training.data.reporting import ReportProgress

MAX_AUC_LOSS = 0.003  # of the macro AUC, at the upper end of its interval
MAX_LABEL_LOSS = 0.01  # of the AUC of any label with `MIN_POSITIVES` decisions, at the upper end of its interval
_REFERENCE = "fp32"
_QUANTILES = (50.0, 90.0, 99.0, 99.9, 100.0)


def accuracy(
    bundle: Bundle, windows: HeldOutWindows, resamples: int, progress: ReportProgress
) -> dict[str, dict[str, Any]]:
    """Return the figures of each precision of a bundle; see `protocol`.

    Raises
    ------
    BundleError
        When the bundle has no FP32 graph.
    """
    bundle.graph(_REFERENCE)
    scores = {}
    for precision in sorted(bundle.manifest.graphs, key=lambda name: name != _REFERENCE):
        scores[precision] = _predict(bundle, precision, windows, progress)
    comparison = _Comparison(bundle, windows, scores[_REFERENCE], resamples)
    figures = {}
    for number, (precision, outputs) in enumerate(scores.items(), 1):
        figures[precision] = comparison.figures(outputs)
        figures[precision]["size_mb"] = bundle.graph(precision).stat().st_size / 1e6
        progress("bootstrap", number, len(scores))
    return figures


def refusals(figures: dict[str, dict[str, Any]]) -> list[str]:
    """Return why the gate refuses a bundle, one line for each reason."""
    lines = []
    for precision, found in figures.items():
        if precision == _REFERENCE:
            continue
        bound = -found["delta_ci95"][0]  # the largest loss that the interval allows
        if not bound <= MAX_AUC_LOSS:  # true for NaN as well
            lines.append(f"{precision} may lose {bound:.4f} macro AUC (upper 95% bound), more than {MAX_AUC_LOSS:g}")
        for name, row in found["labels"].items():
            bound = -row["delta_ci95"][0]
            if row["positives"] >= MIN_POSITIVES and not bound <= MAX_LABEL_LOSS:
                lines.append(
                    f"{precision} may lose {bound:.4f} AUC on {name} (upper 95% bound), more than {MAX_LABEL_LOSS:g}"
                )
    return lines


def protocol(manifest: Manifest) -> str:
    """Describe what is compared, and how."""
    spec, pooling = manifest.input, manifest.pooling
    windows = f"windows of {spec.window_s:g} s"
    if pooling.kind != "none":
        most = pooled_windows(manifest).max()
        windows = f"decisions pooled over up to {most} {windows} every {spec.hop_s:g} s"
    return (
        f"{windows}, cut by the device's code: PTB-XL fold 9, every fourth record of CinC 2017's judged part, every "
        "fifth decision of MIT-BIH's validation patients (seen by a network of `crossval --whole`); AUC and F1 by "
        "label over the decisions where it is known, macro over the labels that occur; differences from FP32 with 95% "
        "intervals by paired bootstrap over records"
    )


class _Comparison:
    """Compares outputs with those of the reference, whose figures over all resamples are computed once."""

    def __init__(self, bundle: Bundle, windows: HeldOutWindows, reference: NDArray[np.float32], resamples: int) -> None:
        self._windows, self._reference = windows, reference
        self._names = [label.abbreviation for label in bundle.manifest.labels]
        self._thresholds, self._alarms = thresholds_and_alarms(bundle.manifest)
        self._weights = paired.resample(windows.record, resamples, seed=0)
        self._aucs, self._f1s = self._aucs_and_f1s(reference, self._every_row())
        self._sets = {name: windows.decisions_of(name) for name in dict.fromkeys(windows.data_set.tolist())}
        self._set_aucs = {name: self._aucs_and_f1s(reference, rows)[0] for name, rows in self._sets.items()}

    def figures(self, scores: NDArray[np.float32]) -> dict[str, Any]:
        """Return the figures of one precision."""
        aucs, f1s = self._aucs_and_f1s(scores, self._every_row())
        macro, f1 = paired.macro(self._aucs, aucs), paired.macro(self._f1s, f1s)
        labels = self._labels(aucs)
        # A label of few decisions would always be the worst one.
        counted = [name for name, row in labels.items() if row["positives"] >= MIN_POSITIVES] or list(labels)
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
            figure = paired.macro(self._set_aucs[name], self._aucs_and_f1s(scores, rows)[0])
            if not np.isfinite(figure.second):
                continue  # the set has none of the bundle's labels
            found[name] = {
                "decisions": int(rows.size),
                "records": len(set(self._windows.record[rows].tolist())),
                "macro_auc": figure.second,
                "delta": figure.delta,
                "delta_ci95": figure.ci95,
                "flips": flips(self._reference[rows], scores[rows], self._thresholds, self._alarms),
            }
        return found

    def _every_row(self) -> NDArray[np.intp]:
        return np.arange(len(self._reference))

    def _aucs_and_f1s(
        self, scores: NDArray[np.float32], rows: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        target, known, weights = self._windows.target[rows], self._windows.known[rows], self._weights[:, rows]
        aucs = paired.aucs(scores[rows], target, known, weights)
        return aucs, paired.f1s(scores[rows] >= self._thresholds, target, known, weights)


def _predict(bundle: Bundle, precision: str, windows: HeldOutWindows, progress: ReportProgress) -> NDArray[np.float32]:
    done = 0

    def batch_done(count: int) -> None:
        nonlocal done
        done += count
        progress(precision, done, len(windows.signal))

    return predict_decisions(graph.open_graph(bundle.graph(precision)), windows, bundle.manifest, batch_done)


def compare_bundle(
    bundle: Bundle, data: Path, weights: Path | None, rounds: int, resamples: int, progress: ReportProgress
) -> dict[str, Any]:
    """Return the figures, times and refusals of a bundle, as `ecg-calibrate compare --json` writes them.

    Raises
    ------
    TrainingError, EdgeError
        When bundle, checkpoint or data cannot be used.
    """
    windows = load_windows(data, bundle.manifest, JUDGING, progress)
    runs = latency.candidates(bundle, weights)
    precisions = accuracy(bundle, windows, resamples, progress)
    some = np.linspace(0, len(windows.signal) - 1, 256).astype(int)  # windows to time
    times = latency.measure(runs, windows.signal[some], windows.keep[some], rounds, progress)
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
