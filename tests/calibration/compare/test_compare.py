"""The comparison with FP32: figures beside those of other code, and a gate that refuses a spoiled bundle."""

import json
import shutil

import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from calibration.__main__ import cli
from calibration.bundle.manifest import write_manifest
from calibration.commands.compare import write_card
from calibration.compare import comparison, latency, results
from calibration.errors import CalibrationError
from calibration.held_out import paired
from calibration.held_out.windows import CHOOSING, JUDGING, load_windows
from calibration.quantization.quantizer import GRAPHS
from edge.bundle.manifest import load_bundle
from training.data.reporting import no_progress
from training.errors import DataError
from training.evaluation.metrics import auc, f1

LATENCY_KEYS = {"b1", "b8", "b32"}


@pytest.fixture(scope="session")
def compared(quantized, toys, tmp_path_factory):
    """Return what the command printed and wrote for the good bundle."""
    out = tmp_path_factory.mktemp("compare")
    return run(quantized.path, toys, out), out


def run(bundle, data, out):
    words = ["compare", "--model", str(bundle), "--data", str(data), "--rounds", "5", "--resamples", "40"]
    words += ["--json", str(out / "c.json"), "--results", str(out / "R.md"), "--pictures", str(out / "pictures")]
    return CliRunner().invoke(cli, words)


def spoil(folder, precision):
    """Negate the head's weights of one graph, so that its outputs are the opposite."""
    bundle = load_bundle(folder)
    model = onnx.load(bundle.graph(precision))
    head = next(n for n in reversed(model.graph.node) if n.op_type == "Gemm")
    weight = next(t for t in model.graph.initializer if t.name == head.input[1])
    weight.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weight), weight.name))
    onnx.save(model, bundle.graph(precision))
    write_manifest(folder, bundle.manifest)


def test_the_json_has_the_promised_keys(compared):
    result = json.loads((compared[1] / "c.json").read_text())
    assert set(result["precisions"]) == set(GRAPHS)
    for found in result["precisions"].values():
        assert {"macro_auc", "delta", "delta_ci95", "flips", "size_mb", "latency_ms", "labels"} <= set(found)
        assert set(found["latency_ms"]) == LATENCY_KEYS
        assert all(times["p99"] >= times["p50"] > 0 for times in found["latency_ms"].values())
        assert found["delta_ci95"][0] <= found["delta"] + 1e-9
        assert set(found["data_sets"]) == {"ptb-xl", "cinc2017", "mitdb"}
    fp32 = result["precisions"]["fp32"]
    assert fp32["delta"] == fp32["flips"] == fp32["probability_error"]["p100"] == 0
    assert result["precisions"]["int8"]["probability_error"]["p100"] > 0


def test_tables_and_pictures(compared):
    outcome, out = compared
    text = (out / "R.md").read_text()
    for word in ("| int8_fp16 |", "### Time", "onnxruntime/fp16", "What stays wider", "LayerNormalization", "mitdb"):
        assert word in text
    assert text.strip().splitlines()[-1] == "<!-- end of toy -->"
    assert "macro AUC" in outcome.output
    assert {path.name for path in (out / "pictures").iterdir()} == {"toy-labels.png", "toy-activations.png"}
    assert all(path.stat().st_size > 5000 for path in (out / "pictures").iterdir())


def test_a_second_run_replaces_the_bundles_section_only(tmp_path):
    path = tmp_path / "R.md"
    for name, text in (("a", "first"), ("b", "other"), ("a", "second \\1")):
        results.write_section(path, name, text)
    content = path.read_text()
    assert "first" not in content
    assert content.count("other") == content.count("second \\1") == content.count("# Precisions") == 1


def test_the_gate_refuses_a_spoiled_bundle(quantized, toys, tmp_path):
    copy = shutil.copytree(quantized.path, tmp_path / "copy")
    spoil(copy, "int8")
    outcome = run(copy, toys, tmp_path)
    assert isinstance(outcome.exception, CalibrationError), "which the command line turns into one line and exit 1"
    assert "refused: " in str(outcome.exception)
    assert "\n" not in str(outcome.exception)
    found = json.loads((tmp_path / "c.json").read_text())
    assert any(line.startswith("int8 may lose") for line in found["refusals"])
    assert found["precisions"]["int8"]["flips"] > 10 * found["precisions"]["int8_fp16"]["flips"]
    assert "The gate refuses" in (tmp_path / "R.md").read_text()


def figures(low, labels=()):
    rows = {name: {"delta_ci95": (bound, 0.0), "positives": count} for name, bound, count in labels}
    return {"fp32": {}, "int8": {"delta_ci95": (low, 0.0), "labels": rows}}


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        (figures(-0.0029), 0),
        (figures(-0.0031), 1),
        (figures(float("nan")), 1),
        (figures(0.0, [("AF", -0.0099, 30), ("VT", -0.5, 29)]), 0),
        (figures(0.0, [("AF", -0.0101, 30)]), 1),
        (figures(-0.01, [("AF", -0.02, 99), ("VT", float("nan"), 30)]), 3),
    ],
)
def test_the_gates_limits(found, lines):
    assert len(comparison.refusals(found)) == lines


def random_scores(windows=400, labels=4):
    random = np.random.default_rng(3)
    target = (random.random((windows, labels)) < 0.3).astype(np.uint8)
    known = (random.random((windows, labels)) < 0.8).astype(np.uint8)
    scores = np.round(random.normal(size=(windows, labels)) + target, 1).astype(np.float32)  # with ties
    return scores, target, known


def test_weighted_auc_is_the_auc_of_the_repeated_windows():
    scores, target, known = random_scores()
    weights = paired.resample(np.array([f"r{i // 4}" for i in range(len(scores))]), 5, seed=0)
    found = paired.aucs(scores, target, known, weights)
    for row, weight in enumerate(weights):
        rows = np.repeat(np.arange(len(scores)), weight.astype(int))
        for label in range(scores.shape[1]):
            seen = rows[known[rows, label] > 0]
            assert found[row, label] == pytest.approx(auc(scores[seen, label], target[seen, label] > 0))


def test_weighted_f1_is_the_f1_of_the_repeated_windows():
    scores, target, known = random_scores()
    above = scores > 1.0
    weights = paired.resample(np.arange(len(scores)).astype(str), 3, seed=0)
    found = paired.f1s(above, target, known, weights)
    for row, weight in enumerate(weights):
        rows = np.repeat(np.arange(len(scores)), weight.astype(int))
        for label in range(scores.shape[1]):
            seen = rows[known[rows, label] > 0]
            assert found[row, label] == pytest.approx(f1(above[seen, label], target[seen, label] > 0))


def test_records_are_resampled_whole():
    record = np.repeat(["a", "b", "c"], 5)
    weights = paired.resample(record, 50, seed=0)
    assert (weights[0] == 1).all()
    for name in "abc":
        assert (weights[:, record == name] == weights[:, record == name][:, :1]).all()
    assert (weights.sum(axis=1) == 15).all()


def test_a_paired_difference_has_a_narrower_interval_than_its_terms():
    scores, target, known = random_scores()
    weights = paired.resample(np.arange(len(scores)).astype(str), 200, seed=0)
    worse = scores + np.random.default_rng(1).normal(0, 0.1, scores.shape).astype(np.float32)
    first, second = (paired.aucs(s, target, known, weights) for s in (scores, worse))
    figure = paired.macro(first, second)
    assert figure.ci95[0] <= figure.delta <= figure.ci95[1]
    alone = np.percentile(first[1:].mean(axis=1), (2.5, 97.5))
    assert figure.ci95[1] - figure.ci95[0] < 0.5 * (alone[1] - alone[0])
    assert paired.macro(first, first).ci95 == (0.0, 0.0)


def test_labels_without_a_positive_are_left_out():
    scores, target, known = random_scores()
    target[:, 2] = 0
    weights = paired.resample(np.arange(len(scores)).astype(str), 5, seed=0)
    found = paired.aucs(scores, target, known, weights)
    assert np.isnan(found[:, 2]).all()
    assert np.isfinite(paired.macro(found, found).first)


def test_held_out_windows_trained_nothing(quantized, toys):
    judging = load_windows(toys, quantized.manifest, JUDGING)
    seen = {
        f"{w['data_set']}/{w['record']}"
        for w in json.loads((quantized.path / "calibration_records.json").read_text())["windows"]
    }
    choosing = load_windows(toys, quantized.manifest, CHOOSING)
    assert not seen & set(judging.record.tolist())
    assert not set(choosing.record.tolist()) & set(judging.record.tolist())
    assert judging.target.shape == (len(judging.first), len(quantized.manifest.labels))
    assert len(judging.signal) > 2 * len(judging.first), "decisions are pooled"


def test_a_bundle_whose_labels_no_data_set_annotates(tiny_manifest, toys):
    with pytest.raises(DataError, match="XYZ"):
        load_windows(toys, tiny_manifest, JUDGING)


@pytest.fixture
def tiny_manifest(quantized):
    label = msgspec.structs.replace(quantized.manifest.labels[0], abbreviation="XYZ")
    return msgspec.structs.replace(quantized.manifest, labels=(label,))


def test_runtimes_take_turns_and_give_ordered_quantiles():
    calls = []
    runs = {name: (lambda signal, _keep, n=name: calls.append((n, len(signal)))) for name in ("a", "b")}
    signal, keep = np.zeros((64, 12, 10), np.float32), np.zeros((64, 12), np.float32)
    times = latency.measure(runs, signal, keep, 10, no_progress)
    assert [name for name, _ in calls[:6]] == ["a", "b"] * 3
    assert {size for _, size in calls} == {1, 8, 32}
    assert times["a"]["b1"]["runs"] == 10


def test_the_card_gets_one_table(compared):
    result = json.loads((compared[1] / "c.json").read_text())
    card = "# name\n\n## Measured\n\nx\n\n## Known weaknesses\n\ny\n"
    once = results.put_on_card(card, result)
    assert once.index("## Measured") < once.index("## Precisions") < once.index("## Known weaknesses")
    assert results.put_on_card(once, result) == once


def test_the_bundle_is_whole_with_the_table_on_its_card(quantized, compared, tmp_path):
    copy = shutil.copytree(quantized.path, tmp_path / "copy")
    write_card(json.loads((compared[1] / "c.json").read_text()), copy)
    assert "| int8_fp16 |" in (copy / "MODEL_CARD.md").read_text()
    assert "MODEL_CARD.md" in load_bundle(copy).manifest.files
