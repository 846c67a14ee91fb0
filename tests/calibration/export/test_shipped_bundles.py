"""The shipped bundles: complete, small enough, trained on no test record, and accurate enough."""

import json

import numpy as np
import onnx
import pytest

from calibration.export.golden import golden_inputs
from calibration.export.graph_check import check_graph
from edge.bundle.shipped import find_bundle
from edge.classifiers.base import ClassifierConfig, check_golden
from edge.classifiers.opening import open_classifier
from training.data.labels import PRODUCT_LABELS, SUPERCLASSES
from training.data.reporting import no_progress
from training.data.sets.ptb_xl import read_entries
from training.data.splits import ptb_xl_part
from training.evaluation import ptb_xl

LARGEST_MB = 23  # four graphs
SUPERDIAGNOSTIC_FLOOR = 0.9


@pytest.fixture
def bundle():
    return find_bundle("rhythm")


def test_it_passes_its_golden_check_and_is_small(bundle):
    with open_classifier(bundle, ClassifierConfig()) as classifier:
        assert check_golden(classifier, bundle) < 1e-4
    for precision in bundle.manifest.graphs:
        open_classifier(bundle, ClassifierConfig(precision=precision)).close()  # which proves itself
    assert sum(path.stat().st_size for path in bundle.path.iterdir()) < LARGEST_MB * 1e6


def test_golden_windows_are_the_synthetic_ones(bundle):
    signal, keep = golden_inputs(bundle.manifest.input)
    golden = bundle.golden()
    assert np.allclose(golden.signal, signal, atol=1e-5)
    assert np.array_equal(golden.keep, keep)


def test_it_saw_no_test_record(bundle, data_dir):
    seen = json.loads((bundle.path / "seen_records.json").read_text())
    ds2 = {"100", "103", "105", "111", "113", "117", "121", "123", "200", "202", "210", "212", "213", "214"}
    ds2 |= {"219", "221", "222", "228", "231", "232", "233", "234"}
    assert not ds2 & set(seen["mitdb"]["train"] + seen["mitdb"]["validation"])
    parts = {e.ecg_id: ptb_xl_part(e.patient, e.fold) for e in read_entries(data_dir / "ptb-xl")}
    assert {parts[record] for record in seen["ptb-xl"]["train"]} == {"train"}
    assert {parts[record] for record in seen["ptb-xl"]["validation"]} == {"validation"}
    assert not set(seen["cinc2017"]["train"]) & set(seen["cinc2017"]["validation"])


def test_tensorrt_should_build_its_graphs(bundle):
    for path in map(bundle.graph, bundle.manifest.graphs):
        assert check_graph(onnx.load(path)) == []


def test_labels_and_alarms(bundle):
    labels = bundle.manifest.labels
    assert [x.abbreviation for x in labels][: len(PRODUCT_LABELS)] == [x.abbreviation for x in PRODUCT_LABELS]
    assert [x.priority for x in labels][: len(PRODUCT_LABELS)] == [x.priority for x in PRODUCT_LABELS]
    statements = {x.abbreviation: x.priority for x in labels if x.abbreviation.startswith("SCP_")}
    assert len(statements) == 71
    assert set(statements.values()) == {"none"}
    assert set(SUPERCLASSES) <= {x.abbreviation for x in labels}


def test_accuracy_on_records_that_it_never_saw(bundle, data_dir, tmp_path):
    """A lower limit on the first 250 records of fold 9."""
    source = data_dir / "ptb-xl"
    if not (source / "ptbxl_database.csv").is_file():
        pytest.skip(f"no PTB-XL in {data_dir}")
    header, *rows = (source / "ptbxl_database.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    wanted = [e.ecg_id for e in read_entries(source) if e.fold == 9][:250]
    starts = tuple(f"{ecg_id}," for ecg_id in wanted)
    kept = "".join(row for row in rows if row.startswith(starts))
    (tmp_path / "ptbxl_database.csv").write_text(header + kept, encoding="utf-8")
    for name in ("scp_statements.csv", "records100"):
        (tmp_path / name).symlink_to(source / name)
    result = ptb_xl.evaluate(bundle, tmp_path, {9}, 1, no_progress)
    assert result["records"] == 250
    assert result["macro_auc"]["superdiagnostic"] > SUPERDIAGNOSTIC_FLOOR
