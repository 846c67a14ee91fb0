"""Bundles of a cross-validation: each record is scored with the one that never saw it."""

import json
import shutil

import msgspec
import pytest

from edge.bundle.manifest import MANIFEST, load_bundle
from edge.core.errors import BundleError
from edge.lab.results_page import write_section
from edge.lab.scoring.folder import ScoreConfig, score_folder
from edge.lab.scoring.folds import FOLDS, find_bundle_or_folds, open_folds
from edge.lab.scoring.markdown import SEEN, TITLE, render


@pytest.fixture(scope="session")
def folds(tiny_bundle_path, tmp_path_factory):
    """Two bundles, of which the one for 201 and 302 never raises AF."""
    path = tmp_path_factory.mktemp("folds")
    deaf, other = (shutil.copytree(tiny_bundle_path, path / name) for name in ("fold-1", "fold-2"))
    manifest = load_bundle(other).manifest
    labels = tuple(msgspec.structs.replace(label, threshold=1.0) for label in manifest.labels)
    (deaf / MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, labels=labels)))
    (path / FOLDS).write_text(json.dumps({"201": "fold-1", "302": "fold-1", "301": "fold-2"}))
    return path


def test_each_record_is_scored_with_the_bundle_that_never_saw_it(folder, folds):
    score = score_folder(find_bundle_or_folds(str(folds)), ScoreConfig(folder=folder, start_s=0.0))
    assert score.record_names == ("201", "301", "302"), "for 202 there is no such bundle"
    assert score.bundle.name == "tiny out of fold"
    alarms = {record.record: record.labels["AF"].counts["alarms"] for record in score.records}
    assert alarms == {"201": 0, "301": 2, "302": 0}


def test_a_record_that_every_fold_has_seen(folder, folds):
    with pytest.raises(BundleError, match="record 202 has no fold"):
        score_folder(open_folds(folds), ScoreConfig(folder=folder, only=("202",)))


@pytest.mark.parametrize("text", ["{", "{}", '{"201": "../fold-1"}', '{"201": "absent"}'])
def test_lists_that_cannot_be_used(folds, tmp_path, text):
    (tmp_path / FOLDS).write_text(text)
    with pytest.raises(BundleError):
        open_folds(tmp_path)


def test_the_section_marks_what_was_seen(folder, tiny_bundle_path, tmp_path):
    bundle = shutil.copytree(tiny_bundle_path, tmp_path / "bundle")
    (bundle / "seen_records.json").write_text('{"mitdb": {"train": ["201"]}}')
    config = ScoreConfig(folder=folder, start_s=0.0, only=("201", "301"))
    score = score_folder(find_bundle_or_folds(str(bundle)), config)
    text = render(score, "Both", "how")
    assert f"| 201 {SEEN} |" in text
    assert "| 301 |" in text
    assert "not seen in training: 301" in text
    alone = score_folder(find_bundle_or_folds(str(bundle)), ScoreConfig(folder=folder, start_s=0.0, only=("201",)))
    assert f"## One, {SEEN}\n" in render(alone, "One", "how")
    file = tmp_path / "RESULTS.md"
    for name in ("a", "b", "a"):
        write_section(file, TITLE, name, text)
    assert file.read_text().count("### Patient by patient") == 2
