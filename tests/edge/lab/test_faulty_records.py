"""`ecg-edge replay` on records that are damaged, empty or useless: one clear line, or a counted loss."""

import os

import msgspec
import numpy as np
import pytest
import wfdb
from command_line import ecg_edge

from edge.lab.report import Report

RATE, SECONDS = 250, 30
WAVE = (60 * np.sin(np.arange(RATE * SECONDS) / 5)).astype(np.int64)[:, None]
NO_VALUE = -(1 << 15)


def write(folder, signal=WAVE, *, lead="II", rate=RATE):
    wfdb.wrsamp(
        "r",
        rate,
        ["mV"],
        [lead],
        d_signal=signal,
        fmt=["16"],
        adc_gain=[200.0],
        baseline=[0],
        write_dir=str(folder),
    )
    return folder / "r"


def replay(record, model, out):
    return ecg_edge("replay", record, "--model", model, "--json", out)


def good(folder):
    return write(folder)


def cut_short(folder):
    os.truncate(write(folder).with_suffix(".dat"), 5001)
    return folder / "r"


def without_values(folder):
    holes = WAVE.copy()
    holes[1000:2000] = NO_VALUE
    return write(folder, holes)


def nothing_but_no_value(folder):
    return write(folder, np.full_like(WAVE, NO_VALUE))


def shorter_than_a_window(folder):
    return write(folder, WAVE[:100])


def garbage(folder):
    write(folder).with_suffix(".dat").write_bytes(np.random.default_rng(0).bytes(2 * RATE * SECONDS))
    return folder / "r"


@pytest.mark.parametrize(
    ("make", "samples_in", "missing"),
    [
        (good, 7500, {}),
        (cut_short, 7500, {"sequence_gap": 5000}),
        (without_values, 7500, {"invalid": 1000, "bad_quality": 1000}),
        (nothing_but_no_value, 7500, {"invalid": 7500}),
        (shorter_than_a_window, 100, {"tail": 100}),
        (garbage, 7500, {"bad_quality": 5250, "tail": 2250}),
    ],
)
def test_lost_samples_are_counted(tmp_path, tiny_bundle_path, make, samples_in, missing):
    out = tmp_path / "report.json"
    result = replay(make(tmp_path), tiny_bundle_path, out)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    report = msgspec.json.decode(out.read_bytes(), type=Report)
    assert (report.samples_in, report.missing, report.pending) == (samples_in, missing, 0)
    assert report.samples_in == report.classified + sum(report.missing.values())


def empty(folder):
    os.truncate(write(folder).with_suffix(".dat"), 0)
    return folder / "r"


def without_signal_file(folder):
    write(folder).with_suffix(".dat").unlink()
    return folder / "r"


def of_no_known_lead(folder):
    return write(folder, lead="RESP")


def too_slow(folder):
    return write(folder, rate=7)


def of_an_odd_rate(folder):
    return write(folder, rate=130.061)


def with_a_header_of_noise(folder):
    write(folder).with_suffix(".hea").write_bytes(np.random.default_rng(1).bytes(3000))
    return folder / "r"


def with_a_header_of_10_mb(folder):
    write(folder).with_suffix(".hea").write_bytes(b"x" * (10 << 20))
    return folder / "r"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (empty, "holds no samples"),
        (without_signal_file, "is missing"),
        (of_no_known_lead, "RESP"),
        (too_slow, "7 Hz"),
        (of_an_odd_rate, "give the nominal rate"),
        (with_a_header_of_noise, "cannot be read"),
        (with_a_header_of_10_mb, "cannot be read"),
    ],
)
def test_a_useless_record_is_one_clear_line(tmp_path, tiny_bundle_path, make, message):
    result = replay(make(tmp_path), tiny_bundle_path, tmp_path / "report.json")
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert not (tmp_path / "report.json").exists()
