"""From counts to figures: for one record and for a set, gross and average, with intervals over patients.

Gross figures are quotients of sums, so that a record with many episodes weighs more; average ones are means over the
records in which they are defined (both EC57). The interval is the 95% percentile interval of the gross figure over
resampled patients (Efron 1979): records of one patient stay together. With few patients it is wide, and what never
happened in any of them has an interval of no width: it says nothing about patients who are not there. Where a whole
set has no false alarm, the interval of their rate is that of a Poisson count of none: up to -ln(.025) in the hours.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.lab.scoring.beats import Confusion
from edge.lab.scoring.bootstrap import Interval, draw_counts, percentile_interval
from edge.lab.scoring.episodes import Counts, quantile
from edge.lab.scoring.record import Verdict

RESAMPLES = 1000


class Delay(msgspec.Struct, frozen=True):
    """Seconds from the start of the episodes that were found until their first alarm was raised."""

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


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a set of records."""

    record_names: tuple[str, ...]
    patients: int
    hours: float  # after the learning period
    false_alarms_per_hour: float | None  # of all labels that are annotated
    other_alarms_per_hour: dict[str, float]  # of those that are not: right or false, nobody knows
    labels: dict[str, LabelScore]
    qrs: QrsScore
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


@dataclass(frozen=True)
class Judged:
    """One record with what became of it."""

    record: str
    patient: str
    hours: float
    verdict: Verdict
    qrs: Confusion = field(default_factory=Confusion)
    seen_in_training: bool = False
    sinus_throughout: bool = False

    @property
    def false_alarms(self) -> int:
        """False alarms of all labels that are annotated."""
        return sum(counts.alarms - counts.right for counts in self.verdict.labels.values())


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


def record_score(judged: Judged) -> RecordScore:
    """Return the figures of one record."""
    verdict = judged.verdict
    return RecordScore(
        record=judged.record,
        patient=judged.patient,
        seen_in_training=judged.seen_in_training,
        sinus_throughout=judged.sinus_throughout,
        hours=judged.hours,
        false_alarms_per_hour=judged.false_alarms / judged.hours if judged.hours else None,
        other_alarms=verdict.apart,
        labels={label: label_score(counts) for label, counts in verdict.labels.items()},
        qrs=qrs_score(judged.qrs),
    )


def total(records: Sequence[Judged]) -> Total:
    """Return the figures of a set of records."""
    hours = sum(judged.hours for judged in records)
    alarms = np.array([[judged.false_alarms, judged.hours] for judged in records]).reshape(-1, 2)
    groups = _by_patient(records)
    overall = interval(np.array([alarms[group].sum(axis=0) for group in groups]))
    if overall is not None and not alarms[:, 0].any():
        overall = 0.0, -math.log(0.025) / hours
    names = dict.fromkeys(label for judged in records for label in judged.verdict.labels)
    apart: Counter[str] = Counter()
    for judged in records:
        apart.update(judged.verdict.apart)
    return Total(
        record_names=tuple(judged.record for judged in records),
        patients=len(groups),
        hours=hours,
        false_alarms_per_hour=float(alarms[:, 0].sum()) / hours if hours else None,
        other_alarms_per_hour={label: count / hours for label, count in apart.items() if hours},
        labels={label: _pooled(records, groups, label) for label in names},
        qrs=_pooled_qrs(records, groups),
        ci95={} if overall is None else {"false_alarms_per_hour": overall},
    )


def _by_patient(records: Sequence[Judged]) -> list[list[int]]:
    """Return the indices of each patient's records."""
    groups: dict[str, list[int]] = {}
    for index, judged in enumerate(records):
        groups.setdefault(judged.patient, []).append(index)
    return list(groups.values())


def _pooled(records: Sequence[Judged], groups: Sequence[Sequence[int]], label: str) -> LabelScore:
    """Return the figures of one label over all records that annotate it."""
    counts = [judged.verdict.labels.get(label, Counts()) for judged in records]
    patients = [sum((counts[index] for index in group), Counts()) for group in groups]
    average, intervals = {}, {}
    for name in Counts().ratios():
        values = [value for one in counts if (value := one.figures()[name]) is not None]
        found = interval(np.array([patient.ratios()[name] for patient in patients]))
        if values:
            average[name] = float(np.mean(values))
        if found is not None:
            intervals[name] = found
    delay = _delay_interval([patient.delays_s for patient in patients])
    if delay is not None:
        intervals["delay_s.median"] = delay
    gross = label_score(sum(counts, Counts()))
    return msgspec.structs.replace(gross, average=average, ci95=intervals)


def _pooled_qrs(records: Sequence[Judged], groups: Sequence[Sequence[int]]) -> QrsScore:
    scores = [qrs_score(judged.qrs) for judged in records]
    patients = np.array([np.sum([records[index].qrs.qrs for index in group], axis=0) for group in groups], np.float64)
    average, intervals = {}, {}
    for name, wrong in (("se", 1), ("ppv", 2)):
        values = [value for score in scores if (value := getattr(score, name)) is not None]
        found = interval(np.stack([patients[:, 0], patients[:, 0] + patients[:, wrong]], axis=1))
        if values:
            average[name] = float(np.mean(values))
        if found is not None:
            intervals[name] = found
    gross = qrs_score(sum((judged.qrs for judged in records), Confusion()))
    return msgspec.structs.replace(gross, average=average, ci95=intervals)


def interval(parts: NDArray[np.float64]) -> Interval | None:
    """Return the interval of a quotient of sums over (patients, 2) numerators and denominators.

    Resamples in which it is undefined are left out; None for fewer than two patients, or when it always is.
    """
    if len(parts) < 2:
        return None
    sums = draw_counts(len(parts), RESAMPLES) @ parts
    defined = sums[sums[:, 1] > 0]
    return percentile_interval(defined[:, 0] / defined[:, 1]) if defined.size else None


def _delay_interval(delays_s: Sequence[Sequence[float]]) -> Interval | None:
    """Return the interval of the median delay over patients, each with the delays of all episodes found."""
    if len(delays_s) < 2 or not any(delays_s):
        return None
    pooled = np.concatenate([np.asarray(delays, np.float64) for delays in delays_s])
    owner = np.repeat(np.arange(len(delays_s)), [len(delays) for delays in delays_s])
    drawn = (np.repeat(pooled, counts[owner]) for counts in draw_counts(len(delays_s), RESAMPLES))
    return percentile_interval(np.array([np.median(delays) for delays in drawn if delays.size]))
