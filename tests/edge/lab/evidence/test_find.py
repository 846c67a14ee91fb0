"""An alert is found by its id in any file of alerts; damaged, hostile or ambiguous input is one clear line."""

import json
import os

import msgspec
import pytest

from edge.core.errors import ConfigError, EdgeError, FrameError
from edge.core.output import write_json
from edge.lab.evidence.find import check_alert_id, find_in_files
from edge.lab.evidence.strip import strip_of_alert
from edge.publish.cloud_events import AlertEvent
from edge.publish.payloads import encode

NO_ID = "0" * 8


def alert(raised, **changes):
    """Return an alert as the service sends it, with the evidence of a replay."""
    data = {
        "label": "VT",
        "name": "ventricular tachycardia",
        "snomed": None,
        "kind": "physiological",
        "priority": "high",
        "alarm_id": raised.alarm_id,
        "probability": 0.9,
        "threshold": 0.5,
        "onset_sample": 1000,
        "onset_s": 10.0,
        "first_sample": 0,
        "end_sample": 2500,
        "end_s": 25.0,
        "sample_rate_hz": 250.0,
        "leads": ["II"],
        "reason": None,
        "bundle": {"name": "tiny", "version": "1", "sha256": "0" * 64},
        "epoch": "e",
        "latency_ms": 3.0,
        "historical": False,
        "evidence": raised.evidence,
    }
    event = {
        "id": raised.id,
        "source": "ecg-nat/d/s",
        "type": "ecg-nat.alarm.raised",
        "subject": "VT",
        "time": "2026-11-22T12:00:00Z",
        "data": data | changes.pop("data", {}),
    }
    return msgspec.convert(msgspec.to_builtins(event | changes), AlertEvent)


def line(payload):
    return b'{"topic": "t", "retained": false, "payload": %b}\n' % payload


def test_from_a_report_and_from_lines_by_any_beginning_of_an_id(report, raised, tmp_path):
    write_json(report, tmp_path / "report.json")
    (tmp_path / "lines").write_bytes(b"\n" + line(b"null") + line(encode(alert(raised))) + b'{"topic": "t", "payl')
    for name in ("report.json", "lines"):
        for wanted in (raised.id, raised.id[:8], raised.alarm_id, "latest"):
            strip = find_in_files([tmp_path / name], wanted)
            assert strip.leads == ("II", "V1")
            if wanted != "latest":
                assert strip.id == raised.id
                assert (strip.signal_mv == raised.evidence.signal_mv()).all()
            assert "no medical device" in strip.details[-1]


def test_an_alert_that_is_absent_ambiguous_or_empty_is_one_line(report, raised, tmp_path):
    path = tmp_path / "lines"
    twins = [alert(raised, id=raised.id[:-1] + digit) for digit in "01"]
    path.write_bytes(b"".join(line(encode(twin)) for twin in twins))
    with pytest.raises(EdgeError, match="is the beginning of 2 ids"):
        find_in_files([path], raised.id[:8])
    with pytest.raises(EdgeError, match=f"no alert {NO_ID} in"):
        find_in_files([path], NO_ID)
    with pytest.raises(EdgeError, match="No such file"):
        find_in_files([tmp_path / "none"], NO_ID)
    path.write_text('{\n"alerts": 3}')
    with pytest.raises(EdgeError, match="neither a report of a replay nor"):
        find_in_files([path], NO_ID)
    write_json(report, path)
    off = next(one for one in report.alerts if one.label == "LEAD_OFF" and one.event == "raised")
    with pytest.raises(FrameError, match=r"its window was not good \(lead_off\)"):
        find_in_files([path], off.id)


@pytest.mark.parametrize("text", ["", "../../etc", "1234567", "x" * 8, "0" * 37, "0" * 7 + "\n", "00000000/"])
def test_an_id_is_checked_before_it_is_used(text):
    with pytest.raises(ConfigError, match="is not the id of an alert"):
        check_alert_id(text)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"id": "../../../etc/passwd"}, "not the id of an alert"),
        ({"data": {"evidence": None}}, "carries no evidence"),
        ({"data": {"samples": b"\0" * 6}}, "do not divide"),
        ({"data": {"samples": b""}}, "it has no samples"),
        ({"data": {"sample_rate_hz": 25.0, "samples": bytes(2 * 2 * 3000)}}, "more than 60 s"),
    ],
)
def test_text_from_the_network_reaches_no_file_name(raised, changes, text):
    data = changes.get("data", {})
    if "evidence" not in data:
        data = {"evidence": msgspec.structs.replace(raised.evidence, **data)}
    with pytest.raises(FrameError, match=text):
        strip_of_alert(alert(raised, **{**changes, "data": data}))


def test_texts_from_the_network_are_plain_and_short(raised):
    hostile = "\x1b[31m\n" + "x" * 10_000
    strip = strip_of_alert(alert(raised, source=hostile, data={"name": hostile, "label": "$\\frac{$\n"}))
    for text in (strip.heading, strip.label, strip.note, *strip.details):
        assert text.isprintable()
        assert len(text) <= 240


def test_lines_are_bounded(raised, tmp_path):
    """A file may hold anything: a line of any length is read in pieces, never whole."""
    path = tmp_path / "lines"
    good = line(encode(alert(raised)))
    with path.open("wb") as file:
        file.write(b"x" * 1_000_000 + os.linesep.encode() + json.dumps("y" * 500_000).encode() + b"\n" + good)
    assert find_in_files([path], raised.id).id == raised.id
