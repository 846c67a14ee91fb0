"""Alarms of bedside monitors, true or false (PhysioNet/CinC Challenge 2015): which of them ours confirm.

An alarm of the monitor is confirmed when ours of the same kind is on at some time from 15 s before to 5 s after it
sounded: the challenge puts the onset within 10 s before the alarm, and the alarm sounds after its own delay. VT and VF
outrank EXTREME_TACHY and so confirm a tachycardia too. TPR: share of the true alarms that are confirmed; TNR: share of
the false ones that are not; score: (TP + TN) / (TP + TN + FP + 5 FN).
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge.core.errors import RecordError
from edge.lab.scoring.spans import Spans

ALARMS_CSV = "ALARMS.csv"
KINDS = {
    "Asystole": ("ASYSTOLE",),
    "Bradycardia": ("EXTREME_BRADY",),
    "Tachycardia": ("EXTREME_TACHY", "VT", "VF"),
    "Ventricular_Tachycardia": ("VT",),
    "Ventricular_Flutter_Fib": ("VF", "VFL"),
}
_BEFORE_S, _AFTER_S = 15.0, 5.0


class KindScore(msgspec.Struct, frozen=True):
    """Figures of one kind of alarm; None where undefined."""

    tpr: float | None
    tnr: float | None
    score: float | None
    true: int
    false: int


class ChallengeScore(msgspec.Struct, frozen=True):
    """Figures of all alarms, and by kind."""

    tpr: float | None
    tnr: float | None
    score: float | None
    by: dict[str, KindScore]


@dataclass(frozen=True, slots=True)
class ListedAlarm:
    """An alarm of a bedside monitor, as `ALARMS.csv` lists it."""

    kind: str
    true: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one listed alarm."""

    kind: str
    true: bool
    confirmed: bool


def read_alarms(folder: Path) -> dict[str, ListedAlarm]:
    """Return the listed alarm of each record.

    Raises
    ------
    RecordError
        When the list cannot be read.
    """
    path = folder / ALARMS_CSV
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        listed = {row["record"]: ListedAlarm(row["alarm"], row["true"] == "1", float(row["alarm_s"])) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise RecordError(f"{path}: cannot be read as record,alarm,true,alarm_s ({exc})") from exc
    if unknown := {alarm.kind for alarm in listed.values()} - KINDS.keys():
        raise RecordError(f"{path}: {', '.join(sorted(unknown))} is none of {', '.join(KINDS)}")
    return listed


def judge(listed: ListedAlarm, alarms: dict[str, Spans]) -> Outcome:
    """Return whether an alarm that was on near the listed one confirms it."""
    start, end = listed.at_s - _BEFORE_S, listed.at_s + _AFTER_S
    spans = [span for label in KINDS[listed.kind] for span in alarms.get(label, ())]
    return Outcome(listed.kind, listed.true, any(first < end and last > start for first, last in spans))


def challenge_score(outcomes: Sequence[Outcome]) -> ChallengeScore:
    """Return the figures of these alarms."""
    total = _figures(outcomes)
    by = {kind: _figures([outcome for outcome in outcomes if outcome.kind == kind]) for kind in KINDS}
    return ChallengeScore(
        total.tpr, total.tnr, total.score, {kind: each for kind, each in by.items() if each.true + each.false}
    )


def _figures(outcomes: Sequence[Outcome]) -> KindScore:
    confirmed = [outcome.confirmed for outcome in outcomes if outcome.true]
    wrongly = [outcome.confirmed for outcome in outcomes if not outcome.true]
    tp, fp = sum(confirmed), sum(wrongly)
    fn, tn = len(confirmed) - tp, len(wrongly) - fp
    cost = tp + tn + fp + 5 * fn
    return KindScore(
        tp / len(confirmed) if confirmed else None,
        tn / len(wrongly) if wrongly else None,
        (tp + tn) / cost if cost else None,
        len(confirmed),
        len(wrongly),
    )
