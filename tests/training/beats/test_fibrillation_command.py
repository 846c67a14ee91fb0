"""`ecg-train fibrillation` on one short record of each set, with a few steps, and its parts."""

import math

import numpy as np
import pytest
import torch
import wfdb
from safetensors.torch import load_file

from edge.beats.fibrillation import WINDOW, FibrillationNetwork, periods
from edge.beats.spectrum import SpectrumModel
from edge.lab.scoring.annotation import Annotation, NamedSpan
from edge.lab.scoring.beats import Beats
from edge.sources.synthetic import render
from training.beats import fibrillation
from training.beats.regression import fit_logistic
from training.beats.rhythm_spans import BENIGN, PER_S, UNSURE, VF, VT, kinds_of_alarm, kinds_of_time

RATE_HZ = 250
SECONDS = 40
NO_BEATS = (np.zeros(0), np.zeros(0, "<U1"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder of toy data sets: 20 s of sinus rhythm, then a fast sine."""
    folder = tmp_path_factory.mktemp("fibrillation")
    sinus = render("sinus", SECONDS, sample_rate_hz=float(RATE_HZ), seed=1)[1]
    time_s = np.arange(sinus.size) / RATE_HZ
    half = np.where(time_s < SECONDS / 2, sinus, np.sin(2 * np.pi * 5 * time_s))
    for name, record, note in (
        ("mitdb", "101", "(VT"),
        ("svdb", "800", "(N"),
        ("vfdb", "421", "(VFL"),
        ("cudb", "cu01", "(VT"),
    ):
        write_record(folder / name, record, half, RATE_HZ)
        at = np.array([10, SECONDS // 2 * RATE_HZ])
        wfdb.wrann(record, "atr", at, symbol=["+", "+"], aux_note=["(N", note], write_dir=str(folder / name))
    write_record(folder / "cinc2015", "v100s", np.resize(sinus, 180 * RATE_HZ), RATE_HZ)
    (folder / "cinc2015" / "ALARMS.csv").write_text("record,alarm,true,alarm_s\nv100s,Asystole,0,180\n")
    for name in ("bw", "ma"):
        write_record(folder / "nstdb", name, np.random.default_rng(1).normal(size=360 * 30), 360)
    return folder


def write_record(folder, name, samples, rate_hz):
    folder.mkdir(exist_ok=True)
    wfdb.wrsamp(
        name, rate_hz, ["mV"], ["ECG"], p_signal=samples[:, None].astype(float), fmt=["16"], write_dir=str(folder)
    )


def test_the_command_writes_what_the_device_runs(ecg_train, data, tmp_path):
    code, _, err = ecg_train("fibrillation", "--data", data, "--out", tmp_path, "--steps", 2)
    assert code == 0, err
    windows = np.random.default_rng(2).normal(size=(5, WINDOW)).astype(np.float32)
    network = fibrillation.FibrillationNetwork().eval()
    network.load_state_dict(load_file(tmp_path / fibrillation.WEIGHTS))
    with torch.no_grad():
        of_torch = torch.softmax(network(torch.from_numpy(windows)), 1).numpy()
    of_device = FibrillationNetwork(tmp_path / fibrillation.GRAPH).probabilities(windows)
    np.testing.assert_allclose(of_device, of_torch, atol=1e-5)
    sine = np.sin(2 * np.pi * 5 * np.arange(WINDOW) / 100)[None]
    assert SpectrumModel(tmp_path / "spectrum.npz").probabilities(sine, *periods(sine))[0] > 0.5


def test_the_notes_of_vfdb_are_kinds():
    spans = [(5, 10, "(N"), (10, 14, "(VT"), (14, 20, "(VFL"), (20, 25, "(NOISE")]
    annotation = Annotation(*NO_BEATS, tuple(NamedSpan(note, start, end) for start, end, note in spans), 25.0)
    kinds = kinds_of_time("vfdb", annotation)[::PER_S]
    assert kinds.tolist() == [UNSURE] * 5 + [BENIGN] * 5 + [VT] * 4 + [VF] * 6 + [UNSURE] * 5


def test_a_fast_run_of_ventricular_beats_is_tachycardia_and_a_short_one_is_unsure():
    times_s = np.concatenate([np.arange(10), 10 + 0.4 * np.arange(10), [20.0, 25.0, 25.4, 25.8, 28.0]])
    symbols = np.array([*"N" * 10, *"V" * 10, "N", *"VVV", "N"])
    kinds = kinds_of_time("svdb", Annotation(times_s, symbols, (), 30.0))
    assert kinds[:90].tolist() == [BENIGN] * 90
    assert kinds[100:130].tolist() == [VT] * 30
    assert kinds[250:258].tolist() == [UNSURE] * 8


def test_the_time_around_fibrillation_of_cudb_is_unsure():
    beats = Beats(np.array([1.0]), "N", ((60.0, 80.0),))
    kinds = kinds_of_time("cudb", Annotation(*NO_BEATS, (), 120.0, beats))[::PER_S]
    assert kinds.tolist() == [BENIGN] * 40 + [UNSURE] * 20 + [VF] * 20 + [UNSURE] * 30 + [BENIGN] * 10


def test_a_true_alarm_is_its_rhythm_and_a_false_one_benign():
    assert kinds_of_alarm("Ventricular_Tachycardia", 300.0, true=True)[1770] == VT
    assert kinds_of_alarm("Ventricular_Tachycardia", 300.0, true=False)[1770] == BENIGN
    assert kinds_of_alarm("Tachycardia", 300.0, true=True)[1770] == UNSURE


def test_the_regression_finds_the_odds_of_two_groups():
    x = np.repeat([[0.0], [1.0]], 100, axis=0)
    y = np.concatenate([np.arange(100) < 20, np.arange(100) < 80]).astype(float)
    weight, bias = fit_logistic(x, y, penalty=0.0)
    assert bias == pytest.approx(math.log(0.2 / 0.8))
    assert bias + weight[0] == pytest.approx(math.log(0.8 / 0.2))
