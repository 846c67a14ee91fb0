"""Data without labels: the stretches of any folder, and that no patient who judges is ever drawn from a set."""

import numpy as np
import pytest
import wfdb
from rich.console import Console

from training.data import cache, splits
from training.data.cache import StretchSet
from training.data.labels import NAMES
from training.data.sets import wfdb_folder
from training.errors import DataError
from training.masked.pretrain import open_sets
from training.masked.windows import training_windows


def open_folder(folder):
    (opened,) = open_sets(None, (), [folder], "cpu", Console(quiet=True))
    return opened


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ECG_CACHE", str(tmp_path / "cache"))


def write(folder, name, seconds, rate_hz, leads):
    folder.mkdir(parents=True, exist_ok=True)
    wave = np.sin(np.arange(round(seconds * rate_hz)) / rate_hz * 9.0)[:, None] * np.ones(len(leads))
    wfdb.wrsamp(name, rate_hz, ["mV"] * len(leads), leads, wave, fmt=["16"] * len(leads), write_dir=str(folder))


def test_a_folder_gives_windows_without_labels(tmp_path):
    folder = tmp_path / "mine"
    write(folder, "long", 25, 250, ["II", "V1"])
    write(folder / "below", "short", 6, 500, ["I"])
    write(folder, "pressure", 20, 125, ["ABP"])
    windows = list(wfdb_folder.stretches(folder))
    assert [(w.record, w.start_s) for w in windows] == [("long", 0.0), ("long", 10.0)]
    assert windows[0].keep.nonzero()[0].tolist() == [1, 6]
    assert not any(w.labels.known.any() for w in windows)


def test_a_folder_is_cached_until_it_changes(tmp_path):
    folder = tmp_path / "mine"
    for number in range(30):
        write(folder, f"r{number}", 12, 100, ["II"])
    first = open_folder(folder)
    assert first.train.size + first.validation.size == 30
    assert 0 < first.validation.size < 6
    assert not set(first.train) & set(first.validation)
    assert first.stretches.name == open_folder(folder).stretches.name
    write(folder, "more", 12, 100, ["II"])
    assert open_folder(folder).stretches.signal.shape[0] == 31
    signal, keep = training_windows([first], 8)
    assert signal.shape == (8, 12, 512)
    assert keep.sum() == 8


@pytest.mark.parametrize("marker", ["ptbxl_database.csv", "REFERENCE-v3.csv", "208.atr"])
def test_a_known_set_is_refused_as_a_plain_folder(tmp_path, marker):
    write(tmp_path / "set", "r1", 12, 100, ["II"])
    (tmp_path / "set" / marker).touch()
    with pytest.raises(DataError, match="use --set"):
        wfdb_folder.headers(tmp_path / "set")


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(DataError, match="no WFDB record"):
        open_folder(tmp_path)


def ptb_xl_like():
    """500 patients, two records each, over folds 1 to 10."""
    records = np.arange(1000).astype(str)
    patient = (np.arange(1000) // 2).astype(str)
    labels, keep = np.zeros((1000, len(NAMES)), np.uint8), np.ones((1000, 12), np.uint8)
    start = np.full(1000, -1, np.int16)
    signal = np.zeros((1000, 12, 1000), np.float16)
    return StretchSet("ptb-xl", signal, keep, labels, labels, start, records, patient, np.zeros(1000))


def test_pretraining_sees_no_patient_who_validates_judges_or_tests(tmp_path, monkeypatch):
    stretches = ptb_xl_like()
    folder = tmp_path / "ptb-xl"
    folder.mkdir()
    lines = [f"{i},{i // 2},{1 + i // 2 % 10},{{}},,,,,x\n" for i in range(1000)]
    columns = "ecg_id,patient_id,strat_fold,scp_codes,baseline_drift,static_noise,burst_noise,electrodes_problems"
    (folder / "ptbxl_database.csv").write_text(f"{columns},filename_lr\n{''.join(lines)}")
    monkeypatch.setattr(cache, "load", lambda *_: stretches)
    (opened,) = open_sets(tmp_path, ["ptb-xl"], (), "cpu", Console(quiet=True))
    drawn = {int(patient) for patient in stretches.patient[opened.train]}
    assert len(drawn) > 300
    for patient in drawn:
        assert 1 + patient % 10 <= 8
        assert splits.ptb_xl_part(str(patient), 1 + patient % 10) == "train"
    assert not drawn & {int(patient) for patient in stretches.patient[opened.validation]}
