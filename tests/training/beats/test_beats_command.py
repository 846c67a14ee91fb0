"""`ecg-train beats` on two patients of mitdb and two of svdb, with a few steps."""

import json

import numpy as np
import pytest
import torch
import wfdb
from safetensors.torch import load_file

from edge.beats.classifier import BeatClassifier
from edge.beats.features import CHANNELS, FEATURES, LENGTH, Described
from edge.sources.synthetic import render
from training.beats.crossval import patient_folds
from training.beats.dataset import BeatSet
from training.beats.export import GRAPH
from training.beats.network import AveragedNetworks, BeatNetwork
from training.beats.recording import records_of

SECONDS = 12
RECORDS = {"mitdb": ("101", "208", "202"), "svdb": ("800", "801")}  # 202 belongs to DS2
RATE_HZ = {"mitdb": 360, "svdb": 128}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder of toy data sets."""
    folder = tmp_path_factory.mktemp("beats")
    for name, records in RECORDS.items():
        rate_hz = RATE_HZ[name]
        (folder / name).mkdir()
        for record in records:
            samples = render("sinus", SECONDS, sample_rate_hz=float(rate_hz), seed=int(record))[[1, 6]].T
            write_record(folder / name, record, samples, rate_hz, ["ECG1", "ECG2"])
            at = np.arange(rate_hz, rate_hz * (SECONDS - 1), rate_hz)
            wfdb.wrann(record, "atr", at, symbol=["N", "V"] * (at.size // 2), write_dir=str(folder / name))
    (folder / "nstdb").mkdir()
    for name in ("bw", "ma"):
        samples = np.random.default_rng(1).normal(size=(360 * 30, 2))
        write_record(folder / "nstdb", name, samples, 360, ["noise1", "noise2"])
    return folder


def write_record(folder, name, samples, rate_hz, leads):
    units, formats = ["mV"] * len(leads), ["16"] * len(leads)
    wfdb.wrsamp(name, rate_hz, units, leads, p_signal=samples.astype(float), fmt=formats, write_dir=str(folder))


def test_the_test_records_of_mitdb_do_not_train(data):
    assert [record.name for record in records_of(data)] == ["101", "208", "800", "801"]


def test_a_missing_set_is_named(ecg_train, data, tmp_path):
    (tmp_path / "mitdb").mkdir()
    code, _, err = ecg_train("beats", "--data", tmp_path, "--out", tmp_path / "run")
    assert code != 0
    assert "ecg-train fetch mitdb" in err


def test_the_command_writes_a_graph_that_the_device_runs(ecg_train, data, tmp_path):
    options = ("--data", data, "--out", tmp_path, "--steps", 1, "--feature-steps", 1, "--folds", 2, "--json", "-")
    code, out, err = ecg_train("beats", *options)
    assert code == 0, err
    figures = json.loads(out)
    assert figures["beats"] > 100
    assert [(score["data_set"], score["version"]) for score in figures["scores"]] == [
        ("mitdb", "clean"),
        ("mitdb", "lead0"),
        ("svdb", "clean"),
        ("svdb", "lead0"),
    ]
    networks = [load_network(tmp_path / f"beats-{number}.safetensors") for number in range(2)]
    beats = [a_beat(number, leads) for number, leads in enumerate((1, 2, 2))]
    of_device = BeatClassifier(tmp_path / GRAPH).probabilities(beats)
    of_torch = torch_probabilities(AveragedNetworks(networks).eval(), beats)
    np.testing.assert_allclose(of_device, of_torch, atol=1e-5)


def test_the_patients_of_each_set_are_dealt_evenly():
    patients = np.array([f"{name}/{number}" for name in ("mitdb", "svdb") for number in range(6)])
    nothing = np.zeros(len(patients))
    beats = BeatSet(nothing, nothing, nothing, np.zeros(len(patients), np.int64), nothing, patients)
    folds = patient_folds(beats, 3)
    for name in ("mitdb", "svdb"):
        own = [fold for patient, fold in folds.items() if patient.startswith(name)]
        assert sorted(own) == [0, 0, 1, 1, 2, 2]


def load_network(path):
    network = BeatNetwork()
    network.load_state_dict(load_file(path))
    return network


def a_beat(seed, leads):
    random = np.random.default_rng(seed)
    snippets = random.normal(size=(leads, CHANNELS, LENGTH)).astype(np.float32)
    features = random.normal(size=FEATURES).astype(np.float32)
    return Described(float(seed), snippets, np.ones(leads, np.bool_), features, None)


@torch.no_grad()
def torch_probabilities(model, beats):
    """Run each beat alone, so that the device's padding of leads is tested as well."""
    return np.concatenate(
        [
            model(
                torch.from_numpy(beat.snippets[None]),
                torch.from_numpy(beat.keep[None].astype(np.float32)),
                torch.from_numpy(beat.features[None]),
            ).numpy()
            for beat in beats
        ]
    )
