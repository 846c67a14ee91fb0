"""Makes a bundle from a checkpoint: graph, parity gate, thresholds, golden windows, metrics, card."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from calibration import graph
from calibration.bundles import write_manifest
from calibration.card import render_card
from calibration.errors import CalibrationError
from calibration.golden import write_golden
from calibration.sources import DATA_SETS
from calibration.thresholds import Choice, as_one, choose
from calibration.validation import Validation
from ecgnat.model import EcgNat
from edge.bundle import GOLDEN, SCHEMA_VERSION, Label, Manifest, Metric, Pooling, load_bundle
from edge.leads import LEADS
from training import checkpoint
from training.labels import NAMES, PRODUCT_LABELS, STATEMENT_LABELS, SUPERCLASSES
from training.resuming import LOG
from training.windows import INPUT

Which = Literal["rhythm", "diagnostic"]
MAX_DIFFERENCE = 1e-4  # between torch and the graph, in probability
GRAPH = "model.onnx"
CARD = "MODEL_CARD.md"
SEEN = "seen_records.json"
POOLING = Pooling("mean", windows=5)  # five windows, a second apart, see nine seconds
_PARITY_WINDOWS = 64  # of each data set
_SUPERCLASS_LABELS = tuple(label for label in PRODUCT_LABELS if label.abbreviation in SUPERCLASSES)
_LABELS: dict[Which, tuple[Label, ...]] = {
    "rhythm": PRODUCT_LABELS,
    "diagnostic": STATEMENT_LABELS + _SUPERCLASS_LABELS,
}


def make_bundle(
    source: Path, data: Path, out: Path, which: Which, version: str, say: Callable[[str], None]
) -> Manifest:
    """Write a bundle folder; `say` hears each figure as it is measured.

    Raises
    ------
    CalibrationError
        When the graph does not reproduce the network.
    TrainingError, EdgeError
        When checkpoint, data or the finished bundle cannot be used.
    """
    model, names = checkpoint.load_model(source)
    if names != NAMES:
        raise CalibrationError(f"{source}: its outputs are not today's label table; train again")
    validation = Validation(data)
    deployed = graph.Deployed(model, [NAMES.index(label.abbreviation) for label in _LABELS[which]])
    out.mkdir(parents=True, exist_ok=True)
    facts = _write_graph(deployed, out / GRAPH, validation, say)
    facts.insert(
        0,
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, graph of ONNX opset "
        f"{graph.OPSET}, {(out / GRAPH).stat().st_size / 1e6:.1f} MB",
    )
    write_golden(out / GOLDEN, deployed, INPUT)
    (out / SEEN).write_text(json.dumps(validation.seen_records()) + "\n", encoding="utf-8")
    labels, choices = _thresholds(_LABELS[which], validation, model, which, say)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=f"ecg-nat-{which}",
        version=version,
        input=INPUT,
        pooling=POOLING,
        labels=labels,
        graphs={"fp32": GRAPH},
        files={},
        data_sets=DATA_SETS,
    )
    write_manifest(out, manifest)
    manifest = msgspec.structs.replace(manifest, metrics=_measure(out, data, which, say))
    command = _text(source / checkpoint.COMMAND)
    (out / CARD).write_text(render_card(manifest, choices, facts, command, _text(source / LOG)), encoding="utf-8")
    return write_manifest(out, manifest)


def _write_graph(deployed: graph.Deployed, path: Path, validation: Validation, say: Callable[[str], None]) -> list[str]:
    graph.export(deployed, len(LEADS), INPUT.window_samples, path)
    signal, keep = validation.windows(_PARITY_WINDOWS)
    difference = graph.worst_difference(deployed, path, signal, keep)
    if not difference <= MAX_DIFFERENCE:
        raise CalibrationError(f"{path}: differs from torch by {difference:.2g}, more than {MAX_DIFFERENCE:g}")
    speed = graph.latency_ms(path, signal, keep)
    facts = [
        f"largest difference from torch over {len(signal)} real windows: {difference:.1e} in probability",
        f"ONNX Runtime, CPU, one thread, batch 1: {speed:.1f} ms a window (median, build machine)",
    ]
    for fact in facts:
        say(fact)
    return facts


def _thresholds(
    labels: tuple[Label, ...], validation: Validation, model: EcgNat, which: Which, say: Callable[[str], None]
) -> tuple[tuple[Label, ...], list[Choice]]:
    """Choose thresholds for the labels that the device may alarm on; the statements keep 0.5."""
    if which == "diagnostic":
        return tuple(msgspec.structs.replace(label, priority="none") for label in labels), []
    windows = as_one(validation.judge(model))
    choices = [choose(windows, label) for label in labels]
    for choice in choices:
        say(
            f"{choice.label:10s} threshold {choice.threshold:.3f}  sinus above {choice.sinus_above} of "
            f"{choice.sinus_windows}  found {choice.found} of {choice.positive}  false {choice.false}"
        )
    pairs = zip(labels, choices, strict=True)
    return tuple(msgspec.structs.replace(label, threshold=choice.threshold) for label, choice in pairs), choices


def _measure(out: Path, data: Path, which: Which, say: Callable[[str], None]) -> tuple[Metric, ...]:
    """Score the bundle as `ecg-train evaluate` does: PTB-XL fold 9, the judged part of CinC 2017."""
    from training.evaluation import cinc2017, ptb_xl
    from training.splits import JUDGE_FOLD

    bundle = load_bundle(out)
    result = ptb_xl.evaluate(bundle, data / "ptb-xl", {JUDGE_FOLD}, 1, lambda _done, _total: None)
    protocol = f"{result['protocol']}; fold {JUDGE_FOLD}, {result['records']} records"
    metrics = [
        Metric(name=f"ptb-xl.macro_auc.{name}", value=value, ci95=result["ci95"][name], protocol=protocol)
        for name, value in result["macro_auc"].items()
    ]
    if which == "rhythm":
        result = cinc2017.evaluate(bundle, data / "cinc2017", "judge", 1, lambda _done, _total: None)
        protocol = f"{result['protocol']}; {result['records']} records that neither trained nor chose"
        metrics += [
            Metric(name=f"cinc2017.f1.{name}", value=value, ci95=result["ci95"].get(name), protocol=protocol)
            for name, value in result["f1"].items()
        ]
    for metric in metrics:
        say(
            f"{metric.name} {metric.value:.4f}"
            + (f" [{metric.ci95[0]:.4f}, {metric.ci95[1]:.4f}]" if metric.ci95 else "")
        )
    return tuple(metrics)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.is_file() else f"({path.name} is not there)"
