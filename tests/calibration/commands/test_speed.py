"""`ecg-calibrate speed`, on the smallest amounts: what it times and what it writes."""

import json
import sys

import pytest

from calibration.__main__ import main


def test_every_back_end_and_network_is_timed(tmp_path, monkeypatch, capsys):
    amounts = ("--batch-size", "2", "--steps", "1", "--rounds", "5", "--threads", "1")
    files = ("--json", str(tmp_path / "s.json"), "--results", str(tmp_path / "RESULTS.md"))
    monkeypatch.setattr(
        sys, "argv", ["ecg-calibrate", "speed", "--network", "tiny", "--network", "resnet", *amounts, *files]
    )
    with pytest.raises(SystemExit) as stopped:
        main()
    text = capsys.readouterr().out
    assert not stopped.value.code
    figures = json.loads((tmp_path / "s.json").read_text())
    timed = [(row["network"], row["backend"]) for row in figures["training"]]
    assert timed == [("tiny", "block"), ("tiny", "dense"), ("tiny", "gather"), ("resnet", "")]
    assert all(row["windows_per_s"] > 0 for row in figures["training"])
    rows = {(row["network"], row["window_s"]): round(row["mflop"]) for row in figures["forward"]}
    assert (rows["tiny", 5.12], rows["resnet", 5.12]) == (51, 153)
    assert rows["resnet", 2.56] == pytest.approx(77, abs=1)
    assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in figures["forward"])
    assert text.strip() in (tmp_path / "RESULTS.md").read_text()
