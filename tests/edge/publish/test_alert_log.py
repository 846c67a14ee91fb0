"""The alert log is bounded, drops the oldest alerts first, and never blocks its caller."""

import json
import threading

import pytest
from waiting import wait_until

from edge.core.errors import ConfigError
from edge.publish.alert_log import FILES, INCOMING, AlertLog, log_files


def numbers(path):
    """Return the numbers in the log, the newest first."""
    return [
        json.loads(line)["payload"]["n"] for name in log_files(path) for line in name.read_bytes().splitlines()[::-1]
    ]


def fill(log, count, first=0):
    for number in range(first, first + count):
        wait_until(lambda: log._lines.qsize() < INCOMING)
        log.put("t", b'{"n": %d}' % number)


def test_the_last_alerts_are_kept_and_the_bytes_are_bounded(tmp_path):
    path, most = tmp_path / "alerts.jsonl", 20_000
    for run in range(3):  # a restarted program appends
        log = AlertLog(path, most)
        fill(log, 500, 500 * run)
        log.close()
    kept = numbers(path)
    assert kept == list(range(1499, 1499 - len(kept), -1))
    assert 200 < len(kept) < 1500
    assert len(list(tmp_path.iterdir())) == FILES
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= most
    assert log.lost == 0


def test_half_a_line_of_a_killed_program_does_not_damage_the_next(tmp_path):
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(b'{"topic": "t", "retained": false, "payl')
    log = AlertLog(path, 1 << 20)
    log.put("t", b'{"n": 1}')
    log.close()
    assert json.loads(path.read_bytes().splitlines()[-1])["payload"] == {"n": 1}


def test_a_failing_disk_is_logged_once_and_counted_until_it_recovers(tmp_path, caplog):
    path = tmp_path / "alerts.jsonl"
    path.mkdir()  # cannot be opened
    log = AlertLog(path, 1 << 20)
    fill(log, 3)
    wait_until(lambda: log.lost == 3)
    path.rmdir()
    fill(log, 1, 3)
    log.close()
    assert numbers(path) == [3]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_hanging_writer_does_not_block_put(tmp_path, monkeypatch):
    go = threading.Event()
    log = AlertLog(tmp_path / "alerts.jsonl", 1 << 20)
    monkeypatch.setattr(log, "_write", lambda _line: go.wait(10))
    for _ in range(2 * INCOMING):
        log.put("t", b"{}")
    assert log.lost >= INCOMING - 1
    go.set()
    log.close()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ConfigError, match="there is no folder"):
        AlertLog(tmp_path / "none" / "alerts.jsonl", 1 << 20)
