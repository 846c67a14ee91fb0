"""WFDB records: real ones compared with what wfdb reads, and small broken ones."""

import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import wfdb

from edge.core.errors import RecordError
from edge.core.leads import lead_positions
from edge.core.samples import Block, Cause
from edge.sources.record_path import resolve_record
from edge.sources.wfdb_record import WfdbRecord, WfdbRecordSource


def whole(blocks: list[Block]) -> np.ndarray:
    return np.concatenate([block.samples for block in blocks], axis=1)


def write(folder: Path, adc: np.ndarray, *, fmt: str = "16", units: str = "mV", gain: float = 200.0, **options) -> Path:
    count = adc.shape[1]
    wfdb.wrsamp(
        "r",
        fs=options.pop("fs", 250),
        units=[units] * count,
        sig_name=options.pop("sig_name", ["I", "V1"][:count]),
        d_signal=adc,
        fmt=[fmt] * count,
        adc_gain=[gain] * count,
        baseline=[0] * count,
        write_dir=str(folder),
        **options,
    )
    return folder / "r"


@pytest.fixture
def small(tmp_path):
    return write(tmp_path, np.arange(2000).reshape(1000, 2))


@pytest.mark.parametrize(("set_name", "record"), [("mitdb", "208"), ("mitdb", "114"), ("cinc2017", "A00001")])
def test_a_real_record_equals_wfdbs_reading(data_dir, set_name, record):
    if not (data_dir / set_name).is_dir():
        pytest.skip(f"no {set_name} in {data_dir}")
    blocks = list(WfdbRecordSource(f"{set_name}/{record}", block_s=1.0).blocks())
    theirs = wfdb.rdrecord(str(data_dir / set_name / record))
    expected = theirs.p_signal[:, [place is not None for place in lead_positions(theirs.sig_name)]].T
    assert blocks[0].sample_rate_hz == theirs.fs
    # float32 keeps 24 bits, so values up to 16 mV differ by less than 1e-6
    assert np.nanmax(np.abs(whole(blocks) - expected)) < 1e-6
    assert [block.first_sample for block in blocks[1:]] == [block.end_sample for block in blocks[:-1]]
    assert blocks[-1].last
    assert blocks[-1].end_sample == theirs.sig_len


def test_twelve_leads_of_ptb_xl(data_dir):
    header = next((data_dir / "ptb-xl").glob("records100/*/*.hea"), None)
    if header is None:
        pytest.skip(f"no ptb-xl in {data_dir}")
    blocks = list(WfdbRecordSource(str(header)).blocks())
    assert len(blocks[0].leads) == 12
    assert whole(blocks).shape == (12, 1000)


def test_the_block_length_does_not_change_the_samples(data_dir):
    one, other = (WfdbRecord("mitdb/101", block_s=length) for length in (0.1, 30.0))
    assert np.array_equal(whole(list(WfdbRecordSource(one).blocks())), whole(list(WfdbRecordSource(other).blocks())))


def test_a_name_is_searched_as_path_and_then_below_the_data_root(small, monkeypatch, tmp_path):
    assert resolve_record(str(small)).path == str(small)
    assert resolve_record(f"{small}.hea").path == str(small)
    (tmp_path / "root" / "set").mkdir(parents=True)
    for suffix in (".hea", ".dat"):
        shutil.copy(small.with_suffix(suffix), tmp_path / "root" / "set")
    monkeypatch.setenv("ECG_DATA", str(tmp_path / "root"))
    assert resolve_record("set/r").path == str(tmp_path / "root" / "set" / "r")
    reference = resolve_record("mitdb/x_108")
    assert (reference.path, reference.pn_dir) == ("x_108", "mitdb")


@pytest.mark.parametrize("name", ["nothing", "/no/such/file", "../mitdb/208", ""])
def test_an_unknown_name_is_an_error_with_advice(name):
    with pytest.raises(RecordError, match="give a path, or a name"):
        resolve_record(name)


def test_without_a_network_physionet_fails_in_one_line(monkeypatch, tmp_path):
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("ECG_DATA", str(tmp_path))
    with pytest.raises(RecordError, match="ECG_DATA") as caught:
        WfdbRecord("mitdb/208")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("units", "gain"), [("mV", 200.0), ("uV", 0.2), ("V", 200_000.0), ("nV", 0.0002)])
def test_every_unit_of_voltage_becomes_millivolts(tmp_path, units, gain):
    blocks = list(WfdbRecordSource(str(write(tmp_path, np.full((10, 1), 100), units=units, gain=gain))).blocks())
    assert whole(blocks) == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize(("fmt", "code"), [("16", -32768), ("212", -2048), ("24", -(1 << 23)), ("80", -128)])
def test_the_code_for_no_value_of_each_format_is_a_missing_sample(tmp_path, fmt, code):
    adc = np.full((100, 2), 7)
    adc[40:50, 1] = code
    blocks = list(WfdbRecordSource(str(write(tmp_path, adc, fmt=fmt))).blocks())
    missing = np.concatenate([block.missing for block in blocks], axis=1)
    expected = np.zeros((2, 100))
    expected[1, 40:50] = Cause.INVALID
    assert np.array_equal(missing, expected)
    assert np.isfinite(whole(blocks)).all()


@pytest.mark.parametrize("fmt", ["16", "212", "80"])
@pytest.mark.parametrize("part", [0.5, 0.333, 0.9999])
def test_a_truncated_record_gives_its_samples_and_a_gap(tmp_path, fmt, part):
    adc = np.arange(2000).reshape(1000, 2) % 100
    path = write(tmp_path, adc, fmt=fmt)
    data = path.with_suffix(".dat")
    data.write_bytes(data.read_bytes()[: int(data.stat().st_size * part)])
    *blocks, end = WfdbRecordSource(str(path)).blocks()
    held = blocks[-1].end_sample
    assert int(part * 1000) - 1 <= held < 1000
    assert np.array_equal(whole(blocks), adc[:held].T.astype(np.float32) / np.float32(200))
    assert (end.first_sample, end.samples.shape[1], end.last) == (1000, 0, True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("/mV", "/mmHg", id="unit that is not a voltage"),
        pytest.param("r 2 250", "r 2 1000000000", id="rate of a billion"),
        pytest.param("r 2 250", "r 2 0", id="rate of nothing"),
        pytest.param(" I\n", " RESP\n", id="no lead"),
        pytest.param("r.dat 16 ", "r.dat 999 ", id="unknown format"),
        pytest.param("r 2 250 1000", "r/2 2 250 1000", id="several segments"),
        pytest.param("r 2 250 1000", "r 0 250 1000", id="no signals"),
        pytest.param("r.dat", "other.dat", id="no signal file"),
    ],
)
def test_a_broken_header_is_refused_in_one_line(tmp_path, old, new):
    path = write(tmp_path, np.arange(1000).reshape(1000, 1))
    header = path.with_suffix(".hea")
    text = header.read_text("utf-8").replace("r 1 250", "r 2 250", 1)
    text += text.splitlines()[-1] + "\n"
    assert old in text
    header.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(RecordError) as caught:
        list(WfdbRecordSource(str(path)).blocks())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("header", [b"", bytes(range(128, 256)), b"r 2 250 0\n", b"r 1 250 100\n"])
def test_a_file_that_is_no_header_is_refused_in_one_line(small, header):
    small.with_suffix(".hea").write_bytes(header)
    with pytest.raises(RecordError) as caught:
        list(WfdbRecordSource(str(small)).blocks())
    assert "\n" not in str(caught.value)


def test_a_record_without_samples_is_refused(small):
    small.with_suffix(".dat").write_bytes(b"")
    with pytest.raises(RecordError, match="holds no samples"):
        WfdbRecord(str(small))


def test_leads_faster_than_the_frame_are_read_at_their_own_rate(tmp_path):
    """MIMIC records store four samples of an ECG lead per frame; their rate is four times the header's."""
    np.arange(400, dtype="<i2").tofile(tmp_path / "r.dat")
    (tmp_path / "r.hea").write_text("r 1 62.5 100\nr.dat 16x4 200(0)/mV 16 0 0 0 0 II\n", "utf-8")
    source = WfdbRecordSource(str(tmp_path / "r"))
    blocks = list(source.blocks())
    assert blocks[0].sample_rate_hz == 250.0
    assert np.array_equal(whole(blocks), np.arange(400, dtype=np.float32)[None] / np.float32(200))


def test_channels_that_are_not_leads_are_left_out(tmp_path):
    path = write(tmp_path, np.arange(200).reshape(100, 2), sig_name=["RESP", "V5"])
    blocks = list(WfdbRecordSource(str(path)).blocks())
    assert blocks[0].leads == ("V5",)
    assert blocks[0].samples[0, 0] == np.float32(1 / 200)


def test_stop_ends_the_record(small):
    source = WfdbRecordSource(str(small), block_s=0.1)
    blocks = source.blocks()
    next(blocks)
    source.stop()
    assert list(blocks) == []


@pytest.mark.parametrize(
    ("names", "leads"),
    [
        (["ECG1", "ECG2"], ("II", "V1")),
        (["ECG", "ECG"], ("II", "V1")),
        (["RESP", "ECG"], ("II",)),
        (["ECG lead II", "RESP"], ("II",)),
        (["modified lead II", "RESP"], ("II",)),
        (["V", "RESP"], ("V1",)),
        (["MCL1", "II"], ("MCL1", "II")),
        (["ML2", "V"], ("ML2", "V1")),
        (["D3", "D1"], ("D3", "D1")),
        (["ECG, ECG recorded using bedside monitor, lead II", "RESP"], ("II",)),
    ],
)
def test_names_of_public_sets(tmp_path, names, leads):
    path = write(tmp_path, np.arange(200).reshape(100, 2), sig_name=["first", "second"])
    header = path.with_suffix(".hea")
    text = header.read_text("utf-8").replace("first", names[0]).replace("second", names[1])  # wfdb refuses equal names
    header.write_text(text, "utf-8")
    assert WfdbRecord(str(path)).spec.leads == leads


@pytest.mark.parametrize("name", ["EKG", "ECG"])
def test_a_hand_held_recorders_only_channel(tmp_path, name):
    record = WfdbRecord(str(write(tmp_path, np.arange(100).reshape(100, 1), sig_name=[name])))
    assert record.spec.leads == ("I",)
    assert record.assignment.notice == f"{name} taken for I; --leads says otherwise"


def test_a_users_list_of_leads(tmp_path):
    path = str(write(tmp_path, np.arange(200).reshape(100, 2), sig_name=["RESP", "x"]))
    with pytest.raises(RecordError, match="--leads can name them"):
        WfdbRecord(path)
    (block, *_) = WfdbRecordSource(path, leads=("-", "V5")).blocks()
    assert block.leads == ("V5",)
    assert block.samples[0, 0] == np.float32(1 / 200)
    with pytest.raises(RecordError, match="3 leads for 2 channels"):
        WfdbRecord(path, leads=("I", "II", "III"))


def test_the_first_lead_alone(tmp_path):
    path = str(write(tmp_path, np.arange(200).reshape(100, 2), sig_name=["RESP", "V5"]))
    assert WfdbRecord(path, leads=("I", "II"), first_leads=1).spec.leads == ("I",)
    assert WfdbRecord(path, first_leads=1).spec.leads == ("V5",)


@pytest.mark.parametrize("set_name", ["mitdb", "svdb", "vfdb", "cudb", "nsrdb", "cinc2015", "mimic-perform-af"])
def test_every_record_of_a_set_opens(data_dir, set_name):
    if not (data_dir / set_name).is_dir():
        pytest.skip(f"no {set_name} in {data_dir}")
    for header in sorted((data_dir / set_name).glob("*.hea")):
        assert WfdbRecord(str(header)).spec.leads
