"""`ecg-calibrate add-beats`: the graphs run before they go into the bundle."""

import json
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from calibration.__main__ import main
from calibration.bundle.manifest import write_manifest
from edge.beats import spectrum
from edge.beats.classes import CLASSES
from edge.beats.classifier import INPUTS
from edge.beats.features import CHANNELS, FEATURES, LENGTH
from edge.beats.fibrillation import KINDS, WINDOW
from edge.beats.networks import BeatNetworks
from edge.bundle.manifest import SCHEMA_VERSION, Manifest, Pooling, load_bundle
from training.data.labels import PRODUCT_LABELS
from training.data.windows import INPUT

ALARMS = "record,alarm,true,alarm_s\nv100s,Asystole,0,180\n"


@pytest.fixture
def bundle(tmp_path):
    """Folder of a bundle whose graph is never run, with records that were seen before."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name in ("model.onnx", "golden.npz"):
        (folder / name).write_bytes(b"not run here")
    (folder / "seen_records.json").write_text(json.dumps({"mitdb": {"train": ["106"]}, "ptb-xl": {"train": ["1"]}}))
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name="toy",
        version="1",
        input=INPUT,
        pooling=Pooling(),
        labels=PRODUCT_LABELS,
        graphs={"fp32": "model.onnx"},
        files={},
    )
    write_manifest(folder, manifest)
    return folder


@pytest.fixture
def files(tmp_path):
    """Folder with the three files, and with the list of alarms."""
    (tmp_path / "data" / "cinc2015").mkdir(parents=True)
    (tmp_path / "data" / "cinc2015" / "ALARMS.csv").write_text(ALARMS)
    beat_inputs = dict(zip(INPUTS, (["b", "l", CHANNELS, LENGTH], ["b", "l"], ["b", FEATURES]), strict=True))
    write_graph(tmp_path / "beats.onnx", beat_inputs, "features", FEATURES, len(CLASSES))
    write_graph(tmp_path / "fibrillation.onnx", {"windows": ["b", WINDOW]}, "windows", WINDOW, len(KINDS))
    count = spectrum.features(np.ones((1, WINDOW)), np.ones(1), np.ones(1)).shape[1]
    ones = np.ones(count)
    np.savez(tmp_path / "spectrum.npz", centre=ones, spread=ones, weight=ones, bias=np.zeros(1))
    return tmp_path


def write_graph(path, inputs, used, width, outputs, scale=1.0):
    """Write a graph that gives the softmax of one input times random weights."""
    weights = (scale * np.random.default_rng(0).normal(size=(width, outputs))).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", [used, "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    taken = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    given = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["b", outputs])]
    graph = helper.make_graph(nodes, "toy", taken, given, [numpy_helper.from_array(weights, "weights")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture
def add_beats(monkeypatch, capsys, bundle, files):
    """Return a function that runs the command on these files, and returns its exit code and errors."""

    def command(*names):
        arguments = ["add-beats", "--model", bundle, "--out", files / "new", "--data", files / "data"]
        for name in names:
            arguments += [f"--{name.partition('.')[0]}", files / name]
        monkeypatch.setattr(sys, "argv", ["ecg-calibrate", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, capsys.readouterr().err

    return command


def test_the_finished_bundle_has_networks_that_the_device_opens(add_beats, bundle, files):
    assert add_beats("beats.onnx", "fibrillation.onnx", "spectrum.npz") == (0, "")
    new = load_bundle(files / "new")
    assert new.manifest.beats.files == ("beats.onnx", "fibrillation.onnx", "spectrum.npz")
    assert set(new.manifest.beats.files) < set(new.manifest.files)
    BeatNetworks(new)
    assert load_bundle(bundle).manifest.beats is None


def test_the_records_that_trained_count_as_seen(add_beats, files):
    add_beats("beats.onnx", "fibrillation.onnx", "spectrum.npz")
    seen = json.loads((files / "new" / "seen_records.json").read_text())
    assert seen["ptb-xl"] == {"train": ["1"]}
    assert {"101", "106"} < set(seen["mitdb"]["train"])
    assert "202" not in seen["mitdb"]["train"]  # of DS2
    assert seen["nstdb"] == {"train": ["bw", "ma"]}
    assert seen["cinc2015"] == {"train": ["v100s"]}
    assert {"svdb", "vfdb", "cudb"} < set(seen)


def test_the_beat_network_can_come_alone(add_beats, files):
    assert add_beats("beats.onnx") == (0, "")
    assert load_bundle(files / "new").manifest.beats.files == ("beats.onnx",)
    assert "vfdb" not in json.loads((files / "new" / "seen_records.json").read_text())


def test_fibrillation_needs_its_spectrum(add_beats):
    code, err = add_beats("beats.onnx", "fibrillation.onnx")
    assert code == 2
    assert "--spectrum" in err


@pytest.mark.parametrize("broken", ["beats.onnx", "fibrillation.onnx", "spectrum.npz"])
def test_a_broken_file_is_refused_before_anything_is_written(add_beats, files, broken):
    (files / broken).write_bytes(b"nonsense")
    code, err = add_beats("beats.onnx", "fibrillation.onnx", "spectrum.npz")
    assert code == 1
    assert "cannot be used" in err
    assert not (files / "new").exists()


def test_a_graph_without_finite_outputs_is_refused(add_beats, files):
    write_graph(files / "fibrillation.onnx", {"windows": ["b", WINDOW]}, "windows", WINDOW, len(KINDS), scale=np.nan)
    code, err = add_beats("beats.onnx", "fibrillation.onnx", "spectrum.npz")
    assert code == 1
    assert "not numbers" in err
