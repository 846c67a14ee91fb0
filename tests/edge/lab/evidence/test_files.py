"""The WFDB record holds what the model saw, and the picture has the millimetres of ECG paper."""

import dataclasses
import struct
import sys

import numpy as np
import pytest
import wfdb

from edge.core.errors import EdgeError, RecordError
from edge.lab.evidence.picture import MM_PER_MV, MM_PER_S, draw_strip
from edge.lab.evidence.record import write_record
from edge.lab.evidence.strip import strip_of_report


@pytest.fixture(scope="session")
def strip(report, raised):
    """Give a strip of 10 s in two leads."""
    return strip_of_report(raised, report)


def test_any_wfdb_reader_gets_the_window_and_its_annotation(strip, raised, tmp_path):
    paths = write_record(strip, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
    record = wfdb.rdrecord(str(tmp_path / raised.id))
    assert (record.fs, record.sig_name, record.units) == (100, ["II", "V1"], ["mV", "mV"])
    np.testing.assert_allclose(record.p_signal.T, raised.evidence.signal_mv(), atol=1e-6)
    assert any(f"{raised.label} raised" in comment for comment in record.comments)
    assert any("no medical device" in comment for comment in record.comments)
    note = wfdb.rdann(str(tmp_path / raised.id), "alarms")
    assert (note.sample.tolist(), note.aux_note, note.fs) == ([999], [f"{raised.label} raised"], 100)


def dark(pixels):
    return pixels[..., 0] < 0.6  # paper and marks are red


def test_the_picture_is_ecg_paper(strip, tmp_path):
    """A square wave of 1 mV and 1 s is 10 mm high and 25 mm long; a large square is 5 mm."""
    import matplotlib.image as mpimg

    wave = np.where(np.arange(1000) // 100 % 2, 0.5, -0.5)
    square = dataclasses.replace(strip, leads=("II",), signal_mv=wave[None].astype(np.float32))
    path = draw_strip(square, tmp_path / "strip.png")
    raw = path.read_bytes()
    assert raw.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", raw[16:24])
    pixels = mpimg.imread(path)[..., :3]
    assert pixels.shape[:2] == (height, width)
    per_mm = 160 / 25.4
    paper = pixels[: int(0.5 * height)]
    rows = np.flatnonzero(dark(paper[:, int(width / 2) :]).sum(axis=1) > 20 * per_mm)  # the flat parts of the wave
    rows = rows[rows > 10 * per_mm]  # below the heading
    assert (rows[-1] - rows[0]) / per_mm == pytest.approx(MM_PER_MV, abs=0.5)
    columns = np.flatnonzero(dark(paper[:, int(0.2 * width) :]).sum(axis=0) > 8 * per_mm)  # its edges
    edges = columns[np.flatnonzero(np.diff(columns, prepend=-100) > 10)]
    np.testing.assert_allclose(np.diff(edges) / per_mm, MM_PER_S, atol=0.5)


def test_texts_are_drawn_as_they_are(strip, tmp_path):
    draw_strip(dataclasses.replace(strip, heading="$\\frac{$ _^", details=("$x_{", "y")), tmp_path / "strip.png")


@pytest.mark.parametrize(
    ("write", "module", "error"), [(write_record, "wfdb", RecordError), (draw_strip, "matplotlib.figure", EdgeError)]
)
def test_a_missing_package_is_named(strip, tmp_path, monkeypatch, write, module, error):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(error, match="pip install"):
        write(strip, tmp_path)


@pytest.mark.parametrize(("write", "error"), [(write_record, RecordError), (draw_strip, EdgeError)])
def test_a_file_that_cannot_be_written_is_one_line(strip, tmp_path, write, error):
    with pytest.raises(error, match="cannot be written"):
        write(strip, tmp_path / "none" / "strip.png")
