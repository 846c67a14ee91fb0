"""Makes a bundle from a checkpoint: graph, parity gate, thresholds, golden windows, figures, card."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx

from calibration.bundle.manifest import write_manifest
from calibration.errors import CalibrationError
from calibration.export import graph, validation
from calibration.export.card import render_card
from calibration.export.data_sets import DATA_SETS
from calibration.export.golden import write_golden
from calibration.export.graph_check import check_graph
from calibration.export.thresholds import Choice, ScoredWindows, choose, merge_groups
from calibration.held_out.windows import HeldOutWindows
from ecgnat.model import Network
from edge.bundle.manifest import GOLDEN, SCHEMA_VERSION, InputSpec, Label, Manifest, Metric, Pooling, load_bundle
from edge.core.leads import LEADS
from training.data.labels import LABELS, PRODUCT_LABELS
from training.data.reporting import ReportLine, no_progress
from training.loop import checkpoint
from training.loop.log import LOG

MAX_DIFFERENCE = 1e-4  # between torch and the graph, in probability
GRAPH = "model.onnx"
CARD = "MODEL_CARD.md"
SEEN = "seen_records.json"
NAME = "ecg-nat"
_PARITY_WINDOWS = 256  # of each data set


@dataclass(frozen=True)
class ExportSetup:
    """What to make a bundle from, and how the device cuts and pools windows."""

    source: Path  # folder of a checkpoint
    data: Path  # folder of the data sets
    out: Path  # folder of the bundle
    input: InputSpec
    pooling: Pooling
    version: str


def make_bundle(setup: ExportSetup, report: ReportLine) -> Manifest:
    """Write a bundle folder and report each figure as it is measured.

    Raises
    ------
    CalibrationError
        When the graph does not reproduce the network.
    TrainingError, EdgeError
        When checkpoint, data or the finished bundle cannot be used.
    """
    model = checkpoint.load_classifier(setup.source)
    deployed = graph.Deployed(model, list(range(len(LABELS))))
    path = _write_graph(setup, deployed)
    write_golden(setup.out / GOLDEN, deployed, setup.input)
    (setup.out / SEEN).write_text(json.dumps(validation.seen_records(setup.data)) + "\n", encoding="utf-8")
    manifest = _first_manifest(setup)
    windows = validation.load_validation(setup.data, manifest)
    choices = _choose_thresholds(validation.score_graph(path, windows, manifest), report)
    manifest = msgspec.structs.replace(manifest, labels=_with_thresholds(choices))
    facts = [_size(model, path), *_parity(deployed, path, windows, manifest)]
    for fact in facts:
        report(fact)
    write_manifest(setup.out, manifest)  # now, because the evaluation opens the bundle and checks its hashes
    manifest = msgspec.structs.replace(manifest, metrics=_measure(setup.out, setup.data, report))
    command = _text(setup.source / checkpoint.COMMAND)
    card = render_card(manifest, choices, facts, command, _text(setup.source / LOG))
    (setup.out / CARD).write_text(card, encoding="utf-8")
    return write_manifest(setup.out, manifest)


def _write_graph(setup: ExportSetup, deployed: graph.Deployed) -> Path:
    """Write the FP32 graph and check that TensorRT could build it."""
    setup.out.mkdir(parents=True, exist_ok=True)
    path = setup.out / GRAPH
    graph.export(deployed, len(LEADS), setup.input.window_samples, path)
    if faults := check_graph(onnx.load(path)):
        raise CalibrationError(f"{path}: TensorRT would refuse it: {faults[0]}")
    return path


def _first_manifest(setup: ExportSetup) -> Manifest:
    """Return the manifest before thresholds and figures are known."""
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=NAME,
        version=setup.version,
        input=setup.input,
        pooling=setup.pooling,
        labels=LABELS,
        graphs={"fp32": GRAPH},
        files={},
        data_sets=DATA_SETS,
    )


def _with_thresholds(choices: Sequence[Choice]) -> tuple[Label, ...]:
    thresholds = {choice.label: choice.threshold for choice in choices}
    return tuple(
        msgspec.structs.replace(label, threshold=thresholds.get(label.abbreviation, label.threshold))
        for label in LABELS
    )


def _parity(deployed: graph.Deployed, path: Path, windows: HeldOutWindows, manifest: Manifest) -> list[str]:
    """Compare outputs and decisions of the graph with those of torch on real windows of every data set."""
    signal, keep = validation.some_of_each(windows, _PARITY_WINDOWS)
    of_torch, of_graph = graph.run_both(deployed, path, signal, keep)
    difference = float(np.abs(of_torch - of_graph).max())
    if not difference <= MAX_DIFFERENCE:  # true for NaN as well
        raise CalibrationError(f"{path}: differs from torch by {difference:.2g}, more than {MAX_DIFFERENCE:g}")
    thresholds = np.array([label.threshold for label in manifest.labels])
    changed = int(((of_torch >= thresholds) != (of_graph >= thresholds)).sum())
    if changed:
        raise CalibrationError(f"{path}: {changed} decisions at the thresholds differ from torch")
    speed = graph.latency_ms(path, signal, keep)
    return [
        f"largest difference from torch over {len(signal)} windows of all sets: {difference:.1e}; no decision differs",
        f"ONNX Runtime, CPU, one thread, batch 1: {speed:.1f} ms a window (median, build machine)",
    ]


def _size(model: Network, path: Path) -> str:
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    return f"{millions:.2f} M parameters, graph of ONNX opset {graph.OPSET}, {path.stat().st_size / 1e6:.1f} MB"


def _choose_thresholds(groups: list[ScoredWindows], report: ReportLine) -> list[Choice]:
    """Choose thresholds for the product's labels; the statements keep 0.5."""
    windows = merge_groups(groups)
    choices = [choose(windows, label) for label in PRODUCT_LABELS]
    for choice in choices:
        report(
            f"{choice.label:10s} threshold {choice.threshold:.3f}  sinus above {choice.sinus_above} of "
            f"{choice.sinus_windows}  found {choice.found} of {choice.positive}  false {choice.false}"
        )
    return choices


def _measure(out: Path, data: Path, report: ReportLine) -> tuple[Metric, ...]:
    """Score the bundle as `ecg-train evaluate` does: PTB-XL fold 9, the judged part of CinC 2017."""
    from training.data.splits import JUDGE_FOLD
    from training.evaluation import cinc2017, ptb_xl

    bundle = load_bundle(out)
    result = ptb_xl.evaluate(bundle, data / "ptb-xl", {JUDGE_FOLD}, 1, no_progress)
    protocol = f"{result['protocol']}; fold {JUDGE_FOLD}, {result['records']} records"
    metrics = [
        Metric(name=f"ptb-xl.macro_auc.{name}", value=value, ci95=result["ci95"][name], protocol=protocol)
        for name, value in result["macro_auc"].items()
    ]
    result = cinc2017.evaluate(bundle, data / "cinc2017", "judge", 1, no_progress)
    protocol = f"{result['protocol']}; {result['records']} records that neither trained nor chose"
    metrics += [
        Metric(name=f"cinc2017.f1.{name}", value=value, ci95=result["ci95"].get(name), protocol=protocol)
        for name, value in result["f1"].items()
    ]
    for metric in metrics:
        report(
            f"{metric.name} {metric.value:.4f}"
            + (f" [{metric.ci95[0]:.4f}, {metric.ci95[1]:.4f}]" if metric.ci95 else "")
        )
    return tuple(metrics)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.is_file() else f"(no {path.name})"
