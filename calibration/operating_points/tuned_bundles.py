"""Bundles with chosen operating points: the one to ship, and one for each fold, which never saw the fold's patients.

OUT/bundle/    the bundle with the chosen settings in its manifest and on its card
OUT/folds/     a bundle for each fold, with settings chosen without its patients; `folds.json` assigns the records
"""

import json
import shutil
from pathlib import Path

import msgspec

from calibration.bundle.manifest import write_manifest
from calibration.export import graph
from calibration.export.card import put_section
from calibration.export.golden import write_golden
from calibration.operating_points.settings import Setting
from calibration.operating_points.tuning import CrossvalRun, Settings, TuningResult
from edge.bundle.manifest import GOLDEN, Bundle, Label, Manifest, Pooling
from edge.core.leads import LEADS
from edge.lab.scoring.folder import SEEN
from edge.lab.scoring.folds import FOLDS
from training.data.labels import NAMES
from training.data.splits import MITDB_TRAIN, MITDB_VALIDATION
from training.loop import checkpoint

CARD, GRAPH = "MODEL_CARD.md", "model.onnx"
CARD_TITLE = "## Operating points"


def with_settings(manifest: Manifest, settings: Settings) -> Manifest:
    """Return a manifest with these settings in its labels."""
    pooling = manifest.pooling
    default = 1 if pooling.kind == "none" else pooling.windows
    pooled = {label: one.pooled for label, one in settings.items() if one.pooled != default}
    kept = {label: windows for label, windows in pooling.labels.items() if label not in settings}
    return msgspec.structs.replace(
        manifest,
        labels=tuple(_with_setting(label, settings.get(label.abbreviation)) for label in manifest.labels),
        pooling=Pooling("mean", default, kept | pooled) if kept or pooled else pooling,
    )


def _with_setting(label: Label, setting: Setting | None) -> Label:
    if setting is None:
        return label
    return msgspec.structs.replace(
        label,
        threshold=setting.threshold,
        clear_threshold=None if setting.clear_threshold == setting.threshold else round(setting.clear_threshold, 4),
        on_delay_s=setting.on_delay_s,
        off_delay_s=setting.off_delay_s,
    )


def write_bundle(bundle: Bundle, result: TuningResult, table: str, out: Path) -> Manifest:
    """Copy a bundle with the chosen settings in its manifest and the table of them on its card."""
    if out.resolve() != bundle.path.resolve():
        shutil.copytree(bundle.path, out, dirs_exist_ok=True)
    card = out / CARD
    text = card.read_text(encoding="utf-8") if card.is_file() else f"# {bundle.manifest.name}\n"
    card.write_text(put_section(text, CARD_TITLE, table), encoding="utf-8")
    return write_manifest(out, with_settings(bundle.manifest, result.settings()))


def write_folds(bundle: Bundle, run: CrossvalRun, result: TuningResult, out: Path) -> None:
    """Write a bundle for each fold, and the list of records that each one is scored on.

    Raises
    ------
    CheckpointError
        When a fold's checkpoint has other outputs than the current label table.
    """
    columns = [NAMES.index(label.abbreviation) for label in bundle.manifest.labels]
    for fold in run.folds:
        folder = out / fold
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        deployed = graph.Deployed(checkpoint.load_classifier(run.path / fold), columns)
        graph.export(deployed, len(LEADS), bundle.manifest.input.window_samples, folder / GRAPH)
        write_golden(folder / GOLDEN, deployed, bundle.manifest.input)
        seen = {"mitdb": {"train": sorted((MITDB_TRAIN | MITDB_VALIDATION) - set(run.folds[fold]))}}
        (folder / SEEN).write_text(json.dumps(seen) + "\n", encoding="utf-8")
        manifest = msgspec.structs.replace(
            with_settings(bundle.manifest, result.settings(fold)),
            graphs={"fp32": GRAPH},
            metrics=(),  # those of the shipped network
            golden_tolerances={},
        )
        write_manifest(folder, manifest)
    by_record = {record: fold for fold, records in run.folds.items() for record in records}
    (out / FOLDS).write_text(json.dumps(by_record, indent=1) + "\n", encoding="utf-8")
