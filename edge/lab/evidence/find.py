"""Finds an alert by its id, in files of alerts or among those arriving from a broker.

Files are those that `ecg-edge watch --json`, `ecg-edge replay --json` and the service's `alert_log` write. Lines that
are no alerts are skipped: a log may end in half a line.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge.alarms.evidence import Evidence
from edge.core.errors import ConfigError, EdgeError, FrameError
from edge.lab.evidence.strip import Strip, strip_of_alert, strip_of_report
from edge.lab.report import Report
from edge.mqtt.subscriber import Subscriber
from edge.publish.cloud_events import AlertEvent
from edge.publish.payloads import MAX_PAYLOAD_BYTES, decode

LATEST = "latest"
_ID = re.compile(r"[0-9a-f][0-9a-f-]{7,35}")
_MAX_LINE_BYTES = 2 * MAX_PAYLOAD_BYTES
_MAX_REPORT_BYTES = 256 << 20
_POLL_S = 0.2


class _WatchLine(msgspec.Struct, frozen=True):
    """A line of `watch --json`, without the fields not needed here."""

    payload: msgspec.Raw


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An alert that may be the wanted one."""

    id: str
    alarm_id: str
    event: str
    evidence: Evidence | None
    strip: Callable[[], Strip]

    def matches(self, wanted: str) -> bool:
        """Return whether `wanted` is the beginning of its id, or, if it raised the alarm, of the alarm's id."""
        if wanted == LATEST:
            return self.event == "raised" and self.evidence is not None and bool(self.evidence.kept)
        return self.id.startswith(wanted) or (self.event == "raised" and self.alarm_id.startswith(wanted))


def check_alert_id(text: str) -> str:
    """Return the id of an alert, or the beginning of one, in lower case.

    Raises
    ------
    ConfigError
        When it cannot be an id.
    """
    wanted = text.strip().lower()
    if wanted != LATEST and not _ID.fullmatch(wanted):
        raise ConfigError(
            f"{text[:80]!r} is not the id of an alert: give its first 8 to 36 characters, as `ecg-edge watch` shows "
            f"them, or {LATEST!r}"
        )
    return wanted


def find_in_files(paths: Sequence[Path], wanted: str) -> Strip:
    """Return the strip of an alert from files of alerts, the newest file first.

    Raises
    ------
    EdgeError
        When a file cannot be read, when no alert or more than one matches, or when the alert cannot be shown.
    """
    for path in paths:
        try:
            # By id: a broker may deliver an alert twice, and then it is twice in the log.
            found = {alert.id: alert for alert in _alerts(path, wanted) if alert.matches(wanted)}
        except OSError as exc:
            raise EdgeError(f"{path}: {exc.strerror}; name a file of alerts with --from") from exc
        if len(found) > 1 and wanted != LATEST:
            raise EdgeError(
                f"{wanted} is the beginning of {len(found)} ids: {', '.join(sorted(found)[:3])}; give more of it"
            )
        if found:
            return list(found.values())[-1].strip()
    raise EdgeError(f"no alert {wanted} in {', '.join(map(str, paths))}")


def await_alert(subscriber: Subscriber, wanted: str, timeout_s: float, stopped: Callable[[], bool]) -> Strip:
    """Return the strip of the first matching alert that arrives from now on; raises as `find_in_files` does."""
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s and not stopped():
        message = subscriber.get(_POLL_S)
        alert = None if message is None else _alert(message.payload)
        if alert is not None and alert.matches(wanted):
            return alert.strip()
    raise EdgeError(
        f"no alert {wanted} arrived within {timeout_s:g} s; to find past alerts, name their file with --from"
    )


def _alerts(path: Path, wanted: str) -> Iterator[_Candidate]:
    """Yield the alerts of a file that may match, in the file's order."""
    text = b'"' if wanted == LATEST else wanted.encode()  # decoding each line of a large log would take long
    with path.open("rb") as file:
        # A report is one indented object over many lines, so its first line is a lone brace.
        if file.read(1 << 10).split(maxsplit=1)[:1] == [b"{"]:  # JSON over many lines
            file.seek(0)
            yield from _report(path, file.read(_MAX_REPORT_BYTES + 1))
            return
        file.seek(0)
        while line := file.readline(_MAX_LINE_BYTES):
            alert = _line(line) if text in line else None
            if alert is not None:
                yield alert


def _line(line: bytes) -> _Candidate | None:
    try:
        return _alert(bytes(msgspec.json.decode(line, type=_WatchLine).payload))
    except msgspec.DecodeError:
        return None


def _alert(payload: bytes) -> _Candidate | None:
    try:
        alert = decode(payload, AlertEvent)
    except FrameError:
        return None
    event = alert.type.rpartition(".")[2]
    return _Candidate(alert.id, alert.data.alarm_id, event, alert.data.evidence, lambda: strip_of_alert(alert))


def _report(path: Path, raw: bytes) -> Iterator[_Candidate]:
    if len(raw) > _MAX_REPORT_BYTES:
        raise EdgeError(f"{path}: larger than {_MAX_REPORT_BYTES >> 20} MB")
    try:
        report = msgspec.json.decode(raw, type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise EdgeError(f"{path}: neither a report of a replay nor lines of `watch --json`: {exc}") from exc
    # A strip is made only for the alert that matches: decoding the samples of all would take long.
    for alert in report.alerts:
        make = lambda alert=alert: strip_of_report(alert, report)  # noqa: E731  binds this alert
        yield _Candidate(alert.id, alert.alarm_id, alert.event, alert.evidence, make)
