"""Ventricular tachycardia, flutter and fibrillation in patients who have them (vfdb, cudb).

An episode is annotated VT, VFL, VF or VFIB (cudb: [ to ]), of 5 s or more; those that follow each other are one. It is
found when a VT, NSVT or VF alarm is on at some time within 15 s of its onset. Benign is the time outside all such
rhythms, however short, and outside noise and annotated asystole, with 5 s before and 15 s after each of them left out.
"""

from dataclasses import dataclass

import msgspec
import numpy as np

from edge.lab.scoring.annotation import Annotation
from edge.lab.scoring.spans import Spans, clip, intersect, seconds, subtract, union, within

LABELS = ("VT", "NSVT", "VF", "VFL")
TACHYCARDIA, FIBRILLATION = ("(VT", "(VFL"), ("(VF", "(VFIB")
UNSURE = ("(NOISE", "(ASYS")
_LEAST_S, _FOUND_WITHIN_S = 5.0, 15.0
_BEFORE_S, _AFTER_S = 5.0, 15.0


class LethalScore(msgspec.Struct, frozen=True):
    """Episodes of 5 s or more, and alarms in benign time; None without such time."""

    episodes: int
    found: int
    false_per_benign_hour: float | None
    benign_time_under_alarm: float | None  # share
    benign_hours: float


@dataclass(frozen=True, slots=True)
class LethalCounts:
    """What the figures are computed from; counts of records add up."""

    episodes: int = 0
    found: int = 0
    false: int = 0
    benign_s: float = 0.0
    alarm_s: float = 0.0  # of the benign time

    def __add__(self, other: "LethalCounts") -> "LethalCounts":
        """Add up two records."""
        return LethalCounts(
            self.episodes + other.episodes,
            self.found + other.found,
            self.false + other.false,
            self.benign_s + other.benign_s,
            self.alarm_s + other.alarm_s,
        )

    def score(self) -> LethalScore:
        """Return the figures."""
        return LethalScore(
            self.episodes,
            self.found,
            self.false * 3600.0 / self.benign_s if self.benign_s else None,
            self.alarm_s / self.benign_s if self.benign_s else None,
            self.benign_s / 3600.0,
        )


def lethal_spans(annotation: Annotation) -> Spans:
    """Return where VT, flutter or fibrillation is annotated."""
    flutter = () if annotation.qrs is None else annotation.qrs.flutter
    notes = TACHYCARDIA if flutter else (*TACHYCARDIA, *FIBRILLATION)  # brackets tell the end, notes may not
    return clip(union([*annotation.noted(*notes), *flutter]), 0.0, annotation.end_s)


def count_lethal(annotation: Annotation, alarms: dict[str, Spans], start_s: float) -> LethalCounts:
    """Compare the episodes with the time in which the alarms of `LABELS` were on, from `start_s` on."""
    lethal, end_s = lethal_spans(annotation), annotation.end_s
    long = lethal[(lethal[:, 1] - lethal[:, 0] >= _LEAST_S) & (lethal[:, 0] >= start_s)]
    on = union(np.concatenate([alarms.get(label, np.zeros((0, 2))) for label in LABELS]))
    found = [((on[:, 0] <= start + _FOUND_WITHIN_S) & (on[:, 1] > start)).any() for start, _ in long]
    near = union([(start - _BEFORE_S, end + _AFTER_S) for start, end in [*lethal, *annotation.noted(*UNSURE)]])
    benign = subtract(clip(np.array([[0.0, end_s]]), start_s, end_s), near)
    raised = np.stack([on[:, 0], on[:, 0]], axis=1)
    return LethalCounts(
        len(long), int(sum(found)), int(within(benign, raised).sum()), seconds(benign), seconds(intersect(on, benign))
    )
