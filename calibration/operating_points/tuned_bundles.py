"""Bundles with chosen operating points: the one that ships, and one for each fold that never saw its patients.

OUT/bundle/    the bundle with the chosen settings in its manifest and on its card
OUT/folds/     a bundle for each fold, whose settings were chosen without the fold's patients; folds.json
"""

import json
import shutil
from pathlib import Path

import msgspec

from calibration.bundle.manifest import write_manifest
from calibration.errors import CalibrationError
from calibration.export import graph
from calibration.export.card import put_section
from calibration.export.golden import write_golden
from calibration.operating_points.alarm_runs import Setting
from calibration.operating_points.tuning import Run, Settings, Tuned
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
    """Return a manifest whose labels have these settings."""
    pooling = manifest.pooling
    usual = 1 if pooling.kind == "none" else pooling.windows
    pooled = {label: one.pooled for label, one in settings.items() if one.pooled != usual}
    kept = {label: windows for label, windows in pooling.labels.items() if label not in settings}
    return msgspec.structs.replace(
        manifest,
        labels=tuple(_set(label, settings.get(label.abbreviation)) for label in manifest.labels),
        pooling=Pooling("mean", usual, kept | pooled) if kept or pooled else pooling,
    )


def _set(label: Label, setting: Setting | None) -> Label:
    if setting is None:
        return label
    return msgspec.structs.replace(
        label,
        threshold=setting.threshold,
        clear_threshold=None if setting.clear_threshold == setting.threshold else round(setting.clear_threshold, 4),
        on_delay_s=setting.on_delay_s,
        off_delay_s=setting.off_delay_s,
    )


def write_bundle(bundle: Bundle, tuned: Tuned, table: str, out: Path) -> Manifest:
    """Copy a bundle with the chosen settings in its manifest and the table of them on its card."""
    if out.resolve() != bundle.path.resolve():
        shutil.copytree(bundle.path, out, dirs_exist_ok=True)
    card = out / CARD
    text = card.read_text(encoding="utf-8") if card.is_file() else f"# {bundle.manifest.name}\n"
    card.write_text(put_section(text, CARD_TITLE, table), encoding="utf-8")
    return write_manifest(out, with_settings(bundle.manifest, tuned.settings()))


def write_folds(bundle: Bundle, run: Run, tuned: Tuned, out: Path) -> None:
    """Write a bundle for each fold, and the list that says which one judges which record.

    Raises
    ------
    CalibrationError
        When a fold's checkpoint has other outputs than today's label table.
    """
    columns = [NAMES.index(label.abbreviation) for label in bundle.manifest.labels]
    for fold in run.folds:
        model, names = checkpoint.load_model(run.path / fold)
        if names != NAMES:
            raise CalibrationError(f"{run.path / fold}: its outputs are not today's label table; train again")
        folder = out / fold
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        deployed = graph.Deployed(model, columns)
        graph.export(deployed, len(LEADS), bundle.manifest.input.window_samples, folder / GRAPH)
        write_golden(folder / GOLDEN, deployed, bundle.manifest.input)
        seen = {"mitdb": {"train": sorted((MITDB_TRAIN | MITDB_VALIDATION) - set(run.folds[fold]))}}
        (folder / SEEN).write_text(json.dumps(seen) + "\n", encoding="utf-8")
        manifest = msgspec.structs.replace(
            with_settings(bundle.manifest, tuned.settings(fold)),
            graphs={"fp32": GRAPH},
            metrics=(),
            golden_tolerances={},
        )
        write_manifest(folder, manifest)
    by_record = {record: fold for fold, records in run.folds.items() for record in records}
    (out / FOLDS).write_text(json.dumps(by_record, indent=1) + "\n", encoding="utf-8")
