"""Figures of one record and of a set of records, with confidence intervals over patients.

Gross figures are quotients of sums over records, so that a record with many episodes weighs more; average figures are
means over the records in which they are defined (both EC57). Intervals are of the gross figures, by bootstrap over
patients. They are wide with few patients. An event that occurs in no patient gets an interval of zero width, which says
nothing about other patients; for false alarms a set without any gets the 97.5% limit of a Poisson rate instead.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.lab.scoring.beat_classes import BeatScore, beat_score
from edge.lab.scoring.beats import Confusion
from edge.lab.scoring.bootstrap import Interval, draw_counts, percentile_interval
from edge.lab.scoring.challenge import ChallengeScore, Outcome, challenge_score
from edge.lab.scoring.episodes import Counts, quantile
from edge.lab.scoring.lethal import LethalCounts, LethalScore
from edge.lab.scoring.pauses import PauseCounts, PauseScore
from edge.lab.scoring.record import AlarmCounts

RESAMPLES = 1000


class Delay(msgspec.Struct, frozen=True):
    """Seconds from the start of an episode to its first alarm, over the episodes that were found."""

    median: float
    p90: float
    episodes: int


class LabelScore(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one label; None where undefined. See `edge.lab.scoring.episodes`."""

    episode_se: float | None
    episode_ppv: float | None
    duration_se: float | None
    duration_ppv: float | None
    false_alarms_per_hour: float | None
    window_f1: float | None  # of beat labels
    delay_s: Delay | None
    counts: dict[str, float]
    average: dict[str, float] = {}  # of a set
    ci95: dict[str, Interval] = {}  # of a set


class QrsScore(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the QRS detector beat by beat; None where no beat is annotated, or none was found."""

    se: float | None
    ppv: float | None
    found: int
    missed: int
    extra: int
    average: dict[str, float] = {}  # of a set
    ci95: dict[str, Interval] = {}  # of a set


class AfScore(msgspec.Struct, frozen=True, kw_only=True):
    """Time under an AF alarm, as a share of the time with and of the time without AF; None without such time."""

    time_found: float | None
    time_false: float | None


class SetScore(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a set of records."""

    record_names: tuple[str, ...]
    patients: int
    hours: float  # after the learning period
    false_alarms_per_hour: float | None  # of all annotated labels
    false_urgent_alarms_per_hour: float | None  # those of medium or high priority
    other_alarms_per_hour: dict[str, float]  # of labels without annotation: not known whether right
    labels: dict[str, LabelScore]
    qrs: QrsScore
    beats: BeatScore | None = None  # where classes are annotated and the bundle has a beat network
    pauses: PauseScore | None = None  # where beats are annotated
    lethal: LethalScore | None = None  # where VT and VF are annotated
    alarms: ChallengeScore | None = None  # of bedside monitors, confirmed or not
    af: AfScore | None = None  # where AF is annotated
    ci95: dict[str, Interval]


class RecordScore(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one record."""

    record: str
    patient: str
    seen_in_training: bool
    sinus_throughout: bool
    hours: float
    false_alarms_per_hour: float | None
    other_alarms: dict[str, int]
    labels: dict[str, LabelScore]
    qrs: QrsScore
    beats: BeatScore | None = None
    pauses: PauseScore | None = None
    lethal: LethalScore | None = None
    confirmed: bool | None = None  # whether an alarm confirmed that of the bedside monitor


@dataclass(frozen=True)
class RecordCounts:
    """The counts of one record."""

    record: str
    patient: str
    hours: float
    alarms: AlarmCounts
    qrs: Confusion = field(default_factory=Confusion)
    seen_in_training: bool = False
    sinus_throughout: bool = False
    classes: Confusion | None = None  # of the classified beats
    first_lead: bool = False  # one lead alone was used
    pauses: PauseCounts | None = None
    lethal: LethalCounts | None = None
    outcome: Outcome | None = None  # of the bedside monitor's alarm

    @property
    def false_alarms(self) -> int:
        """False alarms of all annotated labels."""
        return sum(counts.alarms - counts.right for counts in self.alarms.labels.values())


def label_score(counts: Counts) -> LabelScore:
    """Return the figures of one label in one record."""
    median, late = counts.median_delay_s(), quantile(counts.delays_s, 0.9)
    delay = None if median is None or late is None else Delay(median, late, len(counts.delays_s))
    listed = {name: value for name, value in asdict(counts).items() if name != "delays_s"}
    return LabelScore(**counts.figures(), delay_s=delay, counts=listed)  # type: ignore[arg-type]  # names as in Counts


def qrs_score(confusion: Confusion) -> QrsScore:
    """Return the figures of the QRS detector in one record."""
    rates = confusion.rates()
    found, missed, extra = confusion.qrs
    return QrsScore(se=rates["qrs_se"], ppv=rates["qrs_ppv"], found=found, missed=missed, extra=extra)


def record_score(counts: RecordCounts) -> RecordScore:
    """Return the figures of one record."""
    return RecordScore(
        record=counts.record,
        patient=counts.patient,
        seen_in_training=counts.seen_in_training,
        sinus_throughout=counts.sinus_throughout,
        hours=counts.hours,
        false_alarms_per_hour=counts.false_alarms / counts.hours if counts.hours else None,
        other_alarms=counts.alarms.unannotated,
        labels={label: label_score(of_label) for label, of_label in counts.alarms.labels.items()},
        qrs=qrs_score(counts.qrs),
        beats=_beats_of_set([counts]),
        pauses=_pauses_of_set([counts]),
        lethal=_lethal_of_set([counts]),
        confirmed=None if counts.outcome is None else counts.outcome.confirmed,
    )


def score_set(records: Sequence[RecordCounts]) -> SetScore:
    """Return the figures of a set of records."""
    hours = sum(record.hours for record in records)
    false_alarms = np.array([[record.false_alarms, record.hours] for record in records]).reshape(-1, 2)
    patients = _by_patient(records)
    rate_interval = ratio_interval(np.array([false_alarms[group].sum(axis=0) for group in patients]))
    if rate_interval is not None and not false_alarms[:, 0].any():
        rate_interval = 0.0, -math.log(0.025) / hours  # of a Poisson count of 0; a resample never has any
    names = dict.fromkeys(label for record in records for label in record.alarms.labels)
    unannotated: Counter[str] = Counter()
    for record in records:
        unannotated.update(record.alarms.unannotated)
    return SetScore(
        record_names=tuple(record.record for record in records),
        patients=len(patients),
        hours=hours,
        false_alarms_per_hour=float(false_alarms[:, 0].sum()) / hours if hours else None,
        other_alarms_per_hour={label: count / hours for label, count in unannotated.items() if hours},
        false_urgent_alarms_per_hour=sum(record.alarms.urgent_false for record in records) / hours if hours else None,
        labels={label: _label_of_set(records, patients, label) for label in names},
        qrs=_qrs_of_set(records, patients),
        beats=_beats_of_set(records),
        pauses=_pauses_of_set(records),
        lethal=_lethal_of_set(records),
        alarms=challenge_score(outcomes) if (outcomes := [r.outcome for r in records if r.outcome]) else None,
        af=_af_of_set(records),
        ci95={} if rate_interval is None else {"false_alarms_per_hour": rate_interval},
    )


def _by_patient(records: Sequence[RecordCounts]) -> list[list[int]]:
    """Return the indices of each patient's records."""
    groups: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        groups.setdefault(record.patient, []).append(index)
    return list(groups.values())


def _label_of_set(records: Sequence[RecordCounts], groups: Sequence[Sequence[int]], label: str) -> LabelScore:
    """Return the figures of one label over all records that annotate it."""
    counts = [record.alarms.labels.get(label, Counts()) for record in records]
    patients = [sum((counts[index] for index in group), Counts()) for group in groups]
    average, intervals = {}, {}
    for name in Counts().ratios():
        values = [value for one in counts if (value := one.figures()[name]) is not None]
        found = ratio_interval(np.array([patient.ratios()[name] for patient in patients]))
        if values:
            average[name] = float(np.mean(values))
        if found is not None:
            intervals[name] = found
    delay = _delay_interval([patient.delays_s for patient in patients])
    if delay is not None:
        intervals["delay_s.median"] = delay
    gross = label_score(sum(counts, Counts()))
    return msgspec.structs.replace(gross, average=average, ci95=intervals)


def _qrs_of_set(records: Sequence[RecordCounts], groups: Sequence[Sequence[int]]) -> QrsScore:
    scores = [qrs_score(record.qrs) for record in records]
    patients = np.array([np.sum([records[index].qrs.qrs for index in group], axis=0) for group in groups], np.float64)
    average, intervals = {}, {}
    for name, wrong in (("se", 1), ("ppv", 2)):
        values = [value for score in scores if (value := getattr(score, name)) is not None]
        found = ratio_interval(np.stack([patients[:, 0], patients[:, 0] + patients[:, wrong]], axis=1))
        if values:
            average[name] = float(np.mean(values))
        if found is not None:
            intervals[name] = found
    gross = qrs_score(sum((record.qrs for record in records), Confusion()))
    return msgspec.structs.replace(gross, average=average, ci95=intervals)


def _beats_of_set(records: Sequence[RecordCounts]) -> BeatScore | None:
    classified = [record.classes for record in records if record.classes is not None]
    if not classified:
        return None
    return beat_score(sum(classified, Confusion()), first_lead=all(record.first_lead for record in records))


def _pauses_of_set(records: Sequence[RecordCounts]) -> PauseScore | None:
    counted = [record.pauses for record in records if record.pauses is not None]
    total = sum(counted, PauseCounts())
    return PauseScore(total.n, total.found, total.false) if counted else None


def _lethal_of_set(records: Sequence[RecordCounts]) -> LethalScore | None:
    counted = [record.lethal for record in records if record.lethal is not None]
    return sum(counted, LethalCounts()).score() if counted else None


def _af_of_set(records: Sequence[RecordCounts]) -> AfScore | None:
    counted = [record.alarms.labels["AF"] for record in records if "AF" in record.alarms.labels]
    if not counted:
        return None
    total = sum(counted, Counts())
    without_s = total.hours * 3600 - total.reference_s
    return AfScore(
        time_found=total.both_s / total.reference_s if total.reference_s else None,
        time_false=(total.alarm_s - total.both_s) / without_s if without_s > 0 else None,
    )


def ratio_interval(parts: NDArray[np.float64]) -> Interval | None:
    """Return the interval of a quotient of sums over (patients, 2) numerators and denominators.

    Resamples with a denominator of 0 are left out. None for fewer than two patients, or where no resample is left.
    """
    if len(parts) < 2:
        return None
    # The figures are quotients of sums, so a resample needs only a weighted sum over patients.
    sums = draw_counts(len(parts), RESAMPLES) @ parts
    defined = sums[sums[:, 1] > 0]
    return percentile_interval(defined[:, 0] / defined[:, 1]) if defined.size else None


def _delay_interval(delays_s: Sequence[Sequence[float]]) -> Interval | None:
    """Return the interval of the median delay; `delays_s` holds for each patient the delays of all episodes found."""
    if len(delays_s) < 2 or not any(delays_s):
        return None
    # A median is no quotient of sums: each delay is repeated as often as its patient was drawn.
    pooled = np.concatenate([np.asarray(delays, np.float64) for delays in delays_s])
    owner = np.repeat(np.arange(len(delays_s)), [len(delays) for delays in delays_s])
    drawn = (np.repeat(pooled, counts[owner]) for counts in draw_counts(len(delays_s), RESAMPLES))
    return percentile_interval(np.array([np.median(delays) for delays in drawn if delays.size]))
