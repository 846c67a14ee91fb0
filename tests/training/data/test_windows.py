"""Training gets the windows that the device would cut, also from the cache."""

import os
import shutil

import numpy as np
import pytest

from edge.core.leads import LEADS
from training.data import cache, splits
from training.data.labels import NAMES
from training.data.sets import mitdb
from training.data.windows import (
    INPUT,
    LAST_WINDOW_START,
    cut_stretch,
    cut_windows,
    read_record,
    stretch_starts,
    to_recording,
)
from training.errors import DataError
from training.evaluation.device import classifiable_windows

TOLERANCE_MV = 1e-4  # resampling a whole record and resampling a stream sum floats in another order


def test_training_and_device_cut_the_same_windows(data_dir):
    """A model that is trained on one preprocessing and runs on another silently loses accuracy."""
    path = data_dir / "mitdb" / "208"
    start_s, signal, keep = classifiable_windows(path, INPUT, hop_s=2.0)
    recording = read_record(path)
    positions = list(stretch_starts(recording.samples.shape[1], 2.0))
    assert np.allclose(start_s[: len(positions)] * INPUT.sample_rate_hz, positions, atol=0.5)
    for row in (0, 1, 100, len(positions) - 1):
        stretch, kept = cut_stretch(recording, positions[row])
        assert np.array_equal(kept, keep[row])
        assert np.abs(cut_windows(stretch[None], np.zeros(1, int)) - signal[row]).max() < TOLERANCE_MV
        later = cut_windows(stretch[None], np.array([200]))
        assert np.abs(later - signal[row + 1]).max() < TOLERANCE_MV, "anywhere in a stretch, as well"


def test_leads_go_where_the_model_expects_them():
    samples = np.stack([np.full(500, 1.0), np.full(500, 2.0)]).astype(np.float32)
    samples[1, 100:200] = np.nan
    recording = to_recording(samples, 100.0, ["V5", "MLII"])
    assert recording.samples[LEADS.index("V5"), 250] == 1.0
    assert recording.missing[LEADS.index("II")].sum() == 100
    assert recording.missing[LEADS.index("I")].all()


def test_a_short_record_is_padded_with_missing_samples():
    recording = to_recording(np.random.default_rng(0).normal(size=(1, 2700)).astype(np.float32), 300.0, ["ECG"])
    signal, keep = cut_stretch(recording, 0)
    assert keep.tolist() == [1] + [0] * 11, "nine seconds of ten are enough, and a lead without a name is lead I"
    assert np.ptp(signal[0, 899:]) == 0, "what is missing is bridged"
    _, keep = cut_stretch(recording, 200)
    assert not keep.any()


@pytest.fixture
def one_record(data_dir, tmp_path, monkeypatch):
    folder = tmp_path / "mitdb"
    folder.mkdir()
    for suffix in ("dat", "hea", "atr"):
        shutil.copy(data_dir / "mitdb" / f"208.{suffix}", folder)
    monkeypatch.setenv("ECG_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_the_cache_gives_back_the_windows(one_record):
    windows = cache.load("mitdb", one_record)
    again = cache.load("mitdb", one_record)
    assert np.array_equal(windows.signal, again.signal)
    row = 17
    direct = next(w for i, w in enumerate(mitdb.stretches(one_record / "mitdb")) if i == row)
    assert np.abs(windows.signal[row].astype(np.float32) - direct.signal).max() < 0.005
    assert np.array_equal(windows.target[row], direct.labels.target)
    assert np.array_equal(windows.known[row], direct.labels.known)
    assert windows.window_start[row] == direct.window_start
    assert set(windows.patient) == {"208"}
    assert windows.window_start.min() >= 0
    assert windows.window_start.max() <= LAST_WINDOW_START
    held = windows.target[:, NAMES.index("PVC")] & windows.known[:, NAMES.index("PVC")]
    assert held.mean() > 0.5, "record 208 has 992 premature beats"
    assert splits.rows_of(windows, one_record)["validation"].size == len(windows.record)


def test_two_processes_that_build_a_cache_at_once_leave_one(one_record, monkeypatch):
    read = cache.READERS["mitdb"]

    def overtaken(folder):
        yield from read(folder)
        monkeypatch.setattr(os, "getpid", lambda: 1)  # another process
        monkeypatch.setitem(cache.READERS, "mitdb", read)
        cache.load("mitdb", one_record)

    monkeypatch.setitem(cache.READERS, "mitdb", overtaken)
    windows = cache.load("mitdb", one_record)
    assert windows.record.size == sum(1 for _ in read(one_record / "mitdb")) > 0
    assert [path.name for path in cache.cache_root().iterdir()] == [cache.cache_folder("mitdb").name]


def test_a_failed_build_leaves_no_cache(one_record):
    (one_record / "mitdb" / "208.dat").unlink()
    with pytest.raises(DataError, match="cannot be read"):
        cache.load("mitdb", one_record)
    assert not list(cache.cache_root().iterdir())


def test_splits_keep_patients_apart():
    assert splits.mitdb_part("208") == "validation"
    assert splits.mitdb_part("203") == "train"
    assert splits.mitdb_part("100") is None, "a record of DS2 is never used"
    assert splits.ptb_xl_part("5", 9) == "judge"
    assert splits.ptb_xl_part("5", 10) is None
    shares = [splits.ptb_xl_part(str(patient), 1 + patient % 8) for patient in range(4000)]
    assert 0.04 < shares.count("validation") / 4000 < 0.08
    assert splits.ptb_xl_part("77", 1) == splits.ptb_xl_part("77", 8)
    assert splits.hash_share("ptb-xl/1") == pytest.approx(0.194726, abs=1e-6)
