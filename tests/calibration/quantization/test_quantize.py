"""A quantized bundle: the windows of its ranges, what stays wider than int8, and golden outputs of every graph."""

import json
import shutil

import numpy as np
import pytest
import toy_data
from click.testing import CliRunner

from calibration.__main__ import cli
from calibration.errors import CalibrationError
from calibration.quantization import calibration_set, sensitivity
from calibration.quantization.qdq import Layer
from calibration.quantization.quantizer import GRAPHS, QUANTIZATION, RECORDS
from calibration.quantization.ranges import METHODS
from calibration.quantization.sensitivity import Loss, choose_float_layers
from edge.bundle.manifest import load_bundle
from edge.classifiers.base import ClassifierConfig, check_golden
from edge.classifiers.opening import open_classifier
from edge.core.errors import BundleError
from training.data.windows import INPUT


@pytest.mark.parametrize("precision", list(GRAPHS))
def test_golden_outputs_hold_within_the_bundles_tolerance(quantized, precision):
    with open_classifier(quantized, ClassifierConfig(precision=precision)) as classifier:
        worst = check_golden(classifier, quantized, precision)
    assert worst <= quantized.manifest.golden_tolerances[precision]
    assert precision == "fp32" or worst > 1e-6, "another arithmetic gives other numbers"


def test_a_spoiled_int8_graph_fails_the_golden_check(quantized, tmp_path):
    copy = shutil.copytree(quantized.path, tmp_path / "copy")
    with np.load(copy / "golden.npz") as arrays:
        golden = {**arrays, "probabilities": 1.0 - arrays["probabilities"]}
    np.savez(copy / "golden.npz", **golden)
    _sign(copy)
    with pytest.raises(BundleError, match="golden windows"):
        open_classifier(load_bundle(copy), ClassifierConfig(precision="int8"))


def test_a_tolerance_that_allows_anything_is_refused(quantized, tmp_path):
    copy = shutil.copytree(quantized.path, tmp_path / "copy")
    _edit(copy, lambda m: m["golden_tolerances"].update(int8=1.0))
    with pytest.raises(BundleError, match="golden tolerance 1"):
        load_bundle(copy)


def test_calibration_records_are_training_records(quantized, toys):
    assert RECORDS in quantized.manifest.files, "the list is hashed"
    windows = json.loads((quantized.path / RECORDS).read_text())["windows"]
    assert {w["data_set"] for w in windows} == {"ptb-xl", "cinc2017", "mitdb"}
    for window in windows:
        assert toy_data.part_of(toys, window["data_set"], window["record"]) == "train"


def test_the_calibration_set_holds_every_kind_of_input(toys):
    drawn = calibration_set.draw(toys, INPUT, 90, seed=0)
    by_leads = {len(r["leads"]) for r in drawn.records if r["data_set"] == "ptb-xl"}
    assert {1, 12} <= by_leads
    assert len(by_leads) > 3
    noisy = [r["noise"] for r in drawn.records]
    assert any(noisy)
    assert not all(noisy)
    assert not (np.abs(drawn.signal).max(axis=2) * (drawn.keep == 0)).any(), "a lead that is not kept is zero"


def test_the_calibration_set_follows_from_its_seed(toys):
    first, again, other = (calibration_set.draw(toys, INPUT, 30, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.signal, again.signal)
    assert first.records == again.records
    assert first.records != other.records


def test_a_rare_label_is_always_drawn():
    target = np.zeros((1000, 3), bool)
    target[:, 0] = True
    target[:4, 1] = True
    chosen = calibration_set.stratified(target, np.arange(1000), 20, np.random.default_rng(0))
    assert chosen.size == len(set(chosen.tolist())) == 20
    assert {0, 1, 2, 3} <= set(chosen.tolist())


def test_no_more_rows_than_there_are():
    target = np.ones((5, 2), bool)
    assert calibration_set.stratified(target, np.arange(5) + 7, 20, np.random.default_rng(0)).tolist() == [
        *range(7, 12)
    ]


def test_too_few_windows(toys):
    with pytest.raises(CalibrationError, match="at least 3"):
        calibration_set.draw(toys, INPUT, 2, seed=0)


def test_the_bundle_records_what_stays_wider_and_why(quantized):
    content = json.loads((quantized.path / QUANTIZATION).read_text())
    assert set(content["logit_change"]) == {*METHODS, "each layer's best"}
    for layer in content["layers"]:
        best = min(layer["logit_change"], key=layer["logit_change"].get)
        assert content["activations"][layer["activation"]]["method"] == best
    kinds = {row["kind"] for row in content["wider"]}
    assert {"LayerNormalization", "Softmax", "Gemm", "MatMul"} <= kinds
    assert all(row["why"] for row in content["wider"])
    assert all(set(a["ranges"]) == set(METHODS) for a in content["activations"].values())


def test_graphs_get_smaller(quantized):
    sizes = {precision: quantized.graph(precision).stat().st_size for precision in GRAPHS}
    assert sizes["fp32"] > sizes["fp16"] > sizes["int8_fp16"]
    assert sizes["int8"] < sizes["fp32"]


def test_a_bundle_is_quantized_in_place(float_bundle, toys, tmp_path):
    copy = shutil.copytree(float_bundle, tmp_path / "copy")
    words = ["quantize", "--model", str(copy), "--data", str(toys), "--out", str(copy)]
    outcome = CliRunner().invoke(cli, [*words, "--method", "percentile", "--records", "12"])
    assert outcome.exit_code == 0, outcome.output
    assert "12 calibration windows" in outcome.output
    assert set(load_bundle(copy).manifest.graphs) == set(GRAPHS)
    activations = json.loads((copy / QUANTIZATION).read_text())["activations"]
    assert {activation["method"] for activation in activations.values()} == {"percentile"}


def layers(count):
    return [Layer(f"n{i}", f"layer {i}", "MatMul", f"a{i}", f"w{i}", 1) for i in range(count)]


def test_the_most_sensitive_layers_stay_float_until_the_loss_is_small(monkeypatch):
    monkeypatch.setattr(sensitivity.qdq, "insert", lambda _model, chosen, _limits: {c.node for c in chosen})
    changes = {"n0": 0.1, "n1": 0.9, "n2": 0.5, "n3": 0.2}

    def measure(chosen):
        return Loss(auc=0.01 if chosen & {"n1", "n2"} else 0.0, label_auc=0.0, flips=0.0)

    mixture = choose_float_layers(None, layers(4), {}, changes, measure)
    assert [layer.node for layer in mixture.kept] == ["n1", "n2"]
    assert [layer.node for layer in mixture.quantized] == ["n0", "n3"]


@pytest.mark.parametrize("loss", [Loss(0.002, 0, 0), Loss(0, 0.006, 0), Loss(0, 0, 0.004), Loss(float("nan"), 0, 0)])
def test_a_loss_that_is_not_small(loss):
    assert not loss.small()
    assert Loss(0.0, 0.0, 0.0).small()


def _edit(folder, change):
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _sign(folder):
    from edge.bundle.manifest import sha256_of

    _edit(folder, lambda m: m.update(files={name: sha256_of(folder / name) for name in m["files"]}))


def test_flips_count_windows_with_alarms_and_decisions_without():
    first, second = np.zeros((4, 2)), np.zeros((4, 2))
    second[0] = second[1, 1] = 0.9
    thresholds = np.full(2, 0.5)
    assert sensitivity.flips(first, second, thresholds, np.array([True, False])) == 0.25
    assert sensitivity.flips(first, second, thresholds, np.array([True, True])) == 0.5
    assert sensitivity.flips(first, second, thresholds, np.array([False, False])) == 3 / 8
