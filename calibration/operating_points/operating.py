"""Where each alarm may be set, what every setting would have done on out-of-fold outputs, and the choice by a budget.

Each setting of a label is scored on every record by the rules of `edge.lab.scoring`. The choice is the combination, one
setting a label, of the greatest total worth whose false alarms together stay within each limit: exact, as false
alarms are whole numbers. The worth of a setting, times the weight of its alarm's priority:

    PVC PAC VT SVT   F1 of episodes: of sensitivity and predictivity
    other labels     F1 of time
    all              less `DELAY_COST` for each second of mean delay, and `SENSITIVE` for each higher threshold

Where F1 is below `WORTHLESS` nobody would miss the alarm: the fewer false ones the better. An alarm of low priority has
to prove itself on patients that had no part in its setting, too: `useless` says which do not, and `choose` keeps them
quiet. Alarms of a higher priority are never switched off on such thin evidence, and one of high priority is not to be
bought off at all: it is set where it finds at least `LEAST` of the episodes that the budget alone would let it find,
whatever the other alarms could do with that budget.

The threshold of PVC and PAC comes first, by the F1 of windows alone: they say of a window whether the beat is in
it, and no budget of alarms may spoil that. Their alarms are set by the delays; a beat is in five windows, so that a
delay of more than four seconds asks for another one.

Every figure is averaged with those of the next lower and higher threshold, so that no lucky point is picked; of equals
the lower threshold is, as a patient whom nobody has seen seldom reaches what the others do. A label that the records
never show keeps its setting as far as the limits let it; one that they do not annotate, entirely.
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration.operating_points.alarm_runs import Evidence, Setting, Step
from edge.bundle.manifest import Label, Manifest, Pooling
from edge.lab.scoring.annotation import Annotation
from edge.lab.scoring.beats import LEARNING_S
from edge.lab.scoring.episodes import Counts, compare
from edge.lab.scoring.reference import BEAT_LABELS, holds_in_window, references
from edge.monitor.pooling import pool_windows
from training.evaluation.outputs import RecordOutputs

THRESHOLDS = (0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.87, 0.92, 0.96, 0.98, 0.99)
CLEAR_SHARES = (1.0, 0.6)
ON_DELAYS_S = {"high": (0.0, 2.0, 3.0, 4.0), "medium": (5.0, 10.0, 20.0, 30.0), "low": (2.0, 5.0, 10.0, 20.0)}
BEAT_ON_DELAYS_S = (3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0)
OFF_DELAYS_S = (5.0, 30.0)
POOLED = {"high": (1, 3), "medium": (1, 5, 15), "low": (1, 5)}
BEAT_POOLED = (3,)
WEIGHTS = {"high": 3.0, "medium": 2.0, "low": 1.0}
DELAY_COST = 0.002
SENSITIVE = 0.002
WORTHLESS = 0.25  # F1 below which an alarm is kept quiet
RUNS = ("VT", "SVT")
LEAST = 0.5  # part of the episodes that can be found which an alarm of high priority finds
_FIELDS = ("episodes", "found", "alarms", "right", "reference_s", "alarm_s", "both_s")
_WINDOW_FIELDS = ("windows_with", "windows_over", "windows_right")
_Limits = Sequence[tuple[Sequence[int], int]]  # records, and the most false alarms on them together
_AWAY = 1e-3  # worth that is lost when a label that the records never show leaves its setting


@dataclass(frozen=True)
class Record:
    """One record with its reference and what its out-of-fold network said."""

    name: str
    patient: str
    annotation: Annotation
    outputs: RecordOutputs  # its columns are the labels of the manifest

    @property
    def hours(self) -> float:
        """Length after the learning period."""
        return max(self.annotation.end_s - LEARNING_S, 0.0) / 3600


@dataclass(frozen=True)
class Tried:
    """One label with all of its settings, and what each did on each record."""

    label: Label
    settings: tuple[Setting, ...]
    counts: tuple[tuple[Counts, ...], ...]  # (settings, records)
    sums: NDArray[np.float64]  # (settings, records, fields): `_FIELDS`, `_WINDOW_FIELDS`, delays, how many delays

    def total(self, setting: int, records: Sequence[int]) -> Counts:
        """Add up what one setting did on some records."""
        return sum((self.counts[setting][record] for record in records), Counts())


def settings_of(label: Label) -> tuple[Setting, ...]:
    """Return the settings that are tried, all of one threshold after all of the next lower one."""
    on_delays_s: Sequence[float] = ON_DELAYS_S[label.priority]
    pools = POOLED[label.priority]
    if label.abbreviation in BEAT_LABELS:
        on_delays_s, pools = BEAT_ON_DELAYS_S, BEAT_POOLED
    grid = itertools.product(THRESHOLDS, CLEAR_SHARES, on_delays_s, OFF_DELAYS_S, pools)
    return tuple(Setting(level, level * share, on_s, off_s, pooled) for level, share, on_s, off_s, pooled in grid)


def own_setting(label: Label, manifest: Manifest) -> Setting:
    """Return what a manifest says of a label."""
    clear = label.threshold if label.clear_threshold is None else label.clear_threshold
    pooled = manifest.pooling.of(label.abbreviation)
    return Setting(label.threshold, clear, label.on_delay_s, label.off_delay_s, pooled)


class Bench:
    """Scores settings of one manifest's labels on records."""

    def __init__(self, manifest: Manifest, records: Sequence[Record]) -> None:
        self._manifest, self.records = manifest, records
        self._window_s, self._hop_s = manifest.input.window_s, manifest.input.hop_s
        self._column = {label.abbreviation: number for number, label in enumerate(manifest.labels)}
        self._references = [references(record.annotation, self._window_s) for record in records]
        self._says = [self._evidence(record) for record in records]
        self._pooled: dict[tuple[int, int], NDArray[np.float32]] = {}
        self._truth: dict[tuple[str, int, int], tuple[NDArray[np.bool_], NDArray[np.intp]]] = {}

    @property
    def judged(self) -> list[Label]:
        """The labels that raise alarms and that every record annotates."""
        everywhere = set.intersection(*(set(reference) for reference in self._references))
        raised = (label for label in self._manifest.labels if label.priority != "none")
        return [label for label in raised if label.abbreviation in everywhere and label.kind == "physiological"]

    def try_all(self, label: Label, settings: Sequence[Setting], progress: Callable[[], None]) -> Tried:
        """Score every setting of a label on every record."""
        columns = []
        for number in range(len(self.records)):
            columns.append(self._score(label.abbreviation, number, settings))
            progress()
        counts = tuple(zip(*columns, strict=True))
        sums = np.array([[tuple(_numbers(one)) for one in row] for row in counts], np.float64)
        return Tried(label, tuple(settings), counts, sums)

    def evidence(self, label: str, record: int, pooled: int) -> Evidence:
        """Return the windows of a record that say something about a label."""
        outputs = self.records[record].outputs
        values = self._pool(record, pooled)[:, self._column[label]]
        rate_hz = outputs.sample_rate_hz
        return Evidence.of(values, outputs.first_sample / rate_hz, outputs.end_sample / rate_hz, self._says[record])

    def _evidence(self, record: Record) -> NDArray[np.bool_]:
        """Say which windows are evidence: good ones, unless a technical output is over its threshold."""
        probabilities = record.outputs.probabilities
        says = np.array(~np.isnan(probabilities).any(axis=1))
        for column, label in enumerate(self._manifest.labels):
            if label.kind == "technical":
                noise = pool_windows(probabilities[:, [column]], self._manifest.pooling, [label.abbreviation])
                says &= ~(noise[:, 0] >= label.threshold).astype(np.bool_)
        return says

    def _pool(self, record: int, pooled: int) -> NDArray[np.float32]:
        key = record, pooled
        if key not in self._pooled:
            pooling = Pooling("mean", pooled)
            self._pooled[key] = pool_windows(self.records[record].outputs.probabilities, pooling, list(self._column))
        return self._pooled[key]

    def _score(self, label: str, record: int, settings: Sequence[Setting]) -> list[Counts]:
        """Score settings on one record; those that make the same alarms are compared once."""
        evidence = {pooled: self.evidence(label, record, pooled) for pooled in {one.pooled for one in settings}}
        reference, end_s = self._references[record][label], self.records[record].annotation.end_s
        known: dict[tuple[int, tuple[Step, ...]], Counts] = {}
        counts = []
        for setting in settings:
            steps = tuple(evidence[setting.pooled].steps(setting))
            if (setting.pooled, steps) not in known:
                alarms = evidence[setting.pooled].alarms(steps, setting.pooled, self._window_s, self._hop_s)
                known[setting.pooled, steps] = compare(reference, alarms, LEARNING_S, end_s)
            one = known[setting.pooled, steps]
            counts.append(self._with_windows(one, label, record, setting) if label in BEAT_LABELS else one)
        return counts

    def _with_windows(self, counts: Counts, label: str, record: int, setting: Setting) -> Counts:
        """Add the figures by window, as `edge.lab.scoring.record` does."""
        holds, here = self._holds(label, record, setting.pooled)
        over = self._pool(record, setting.pooled)[here, self._column[label]] >= setting.threshold
        return replace(
            counts,
            windows_with=int(holds.sum()),
            windows_over=int(over.sum()),
            windows_right=int((holds & over).sum()),
        )

    def _holds(self, label: str, record: int, pooled: int) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
        """Return which windows have a beat, and which windows those are: good ones of which that can be said."""
        key = (label, record, pooled)
        if key not in self._truth:
            annotation, outputs = self.records[record].annotation, self.records[record].outputs
            start_s = outputs.first_sample / outputs.sample_rate_hz
            reach_s = (pooled - 1) * self._hop_s
            good = ~np.isnan(outputs.probabilities).any(axis=1) & (start_s >= LEARNING_S)
            spans = [(k, float(start_s[k]) - reach_s, float(start_s[k]) + self._window_s) for k in np.flatnonzero(good)]
            said = [(number, holds_in_window(annotation, label, start, end)) for number, start, end in spans]
            known = [(number, holds) for number, holds in said if holds is not None]
            self._truth[key] = (
                np.array([holds for _, holds in known], np.bool_),
                np.array([number for number, _ in known], np.intp),
            )
        return self._truth[key]


def _numbers(counts: Counts) -> Iterator[float]:
    for name in (*_FIELDS, *_WINDOW_FIELDS):
        yield getattr(counts, name)
    yield sum(counts.delays_s)
    yield len(counts.delays_s)


def choose(
    tried: Sequence[Tried],
    own: Sequence[Setting],
    records: Sequence[int],
    limits: _Limits,
    quiet: Collection[int] = (),
) -> list[int]:
    """Return the setting of each label: the best together, on the records, of those that stay within every limit.

    Where no combination does, each label's setting with the fewest false alarms. The labels of these numbers in `quiet`
    are set as high and as late as they can be.
    """
    options = [_front(*_judge(one, setting, records, limits)) for one, setting in zip(tried, own, strict=True)]
    for number in quiet:
        options[number] = [_quietest(tried[number], limits)]
    best: dict[tuple[int, ...], tuple[float, list[int]]] = {(0,) * len(limits): (0.0, [])}
    for front in options:
        grown: dict[tuple[int, ...], tuple[float, list[int]]] = {}
        for spent, (worth, picks) in best.items():
            for number, false, gain in front:
                total = tuple(one + other for one, other in zip(spent, false, strict=True))
                within = all(count <= most for count, (_, most) in zip(total, limits, strict=True))
                if within and (total not in grown or worth + gain > grown[total][0]):
                    grown[total] = worth + gain, [*picks, number]
        best = grown
    if not best:
        return [min(front, key=lambda option: option[1])[0] for front in options]
    return max(best.values())[1]


def useless(tried: Sequence[Tried], judged: Sequence[tuple[Sequence[int], Sequence[int]]]) -> set[int]:
    """Return the numbers of the labels of low priority that do no good on records that had no part in their setting.

    Beats are not among them: what a window says of them is of use without an alarm.

    Parameters
    ----------
    tried : every setting of every label
    judged : pairs of records and of the number of each label's setting, chosen without those records
    """
    found = set()
    for number, one in enumerate(tried):
        if one.label.priority != "low" or one.label.abbreviation in BEAT_LABELS:
            continue
        parts = [one.sums[picks[number], list(records)].sum(axis=0) for records, picks in judged]
        named = _named(np.sum(parts, axis=0) if parts else np.zeros(one.sums.shape[2]))
        if named["episodes"] and _f1(one.label.abbreviation, named) < WORTHLESS:
            found.add(number)
    return found


def _quietest(one: Tried, limits: _Limits) -> tuple[int, tuple[int, ...], float]:
    """Return an option: its number, its false alarms under each limit, and no worth."""
    number = max(range(len(one.settings)), key=lambda k: (one.settings[k].threshold, one.settings[k].on_delay_s))
    totals = [one.total(number, some) for some, _ in limits]
    return number, tuple(total.alarms - total.right for total in totals), 0.0


def _judge(
    one: Tried, own: Setting, records: Sequence[int], limits: _Limits
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the false alarms of each setting under each limit, (settings, limits), and its worth, both smoothed.

    The worth is minus infinity where the windows ask for another threshold, or high priority for more to be found.
    """
    false = np.stack([_smooth(named["alarms"] - named["right"]) for named in (_sums(one, some) for some, _ in limits)])
    counts = np.ceil(false.T - 1e-9).astype(np.int64)
    named = _sums(one, records)
    if not named["episodes"].any():
        return counts, np.array([-_AWAY * _distance(setting, own) for setting in one.settings])
    late_s = named["late_s"] / np.maximum(named["delays"], 1)
    steps = np.repeat(np.arange(len(THRESHOLDS)), len(one.settings) // len(THRESHOLDS))
    f1 = _smooth(_f1(one.label.abbreviation, named))
    worth = WEIGHTS[one.label.priority] * (f1 - DELAY_COST * late_s - SENSITIVE * steps)
    worth = np.where(f1 < WORTHLESS, _AWAY * (steps / len(THRESHOLDS) - counts.sum(axis=1) - 1.0), worth)
    if one.label.abbreviation in BEAT_LABELS:
        worth[~_by_windows(one, named)] = -np.inf
    if one.label.priority == "high":
        found = _smooth(named["found"])
        affordable = (counts <= [most for _, most in limits]).all(axis=1)
        worth[found < LEAST * found.max(initial=0.0, where=affordable)] = -np.inf
    return counts, worth


def _sums(one: Tried, records: Sequence[int]) -> dict[str, NDArray[np.float64]]:
    """Return the (settings,) sums over some records by name."""
    return _named(one.sums[:, list(records)].sum(axis=1))


def _named(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return dict(zip((*_FIELDS, *_WINDOW_FIELDS, "late_s", "delays"), sums.T, strict=True))


def _by_windows(one: Tried, sums: dict[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Say which settings have the threshold and the pooling of the best F1 by window."""
    f1 = _smooth(2 * sums["windows_right"] / np.maximum(sums["windows_with"] + sums["windows_over"], 1e-9))
    best = one.settings[int(f1.argmax())]
    same = [(each.threshold, each.pooled) == (best.threshold, best.pooled) for each in one.settings]
    return np.array(same, np.bool_)


def _f1(label: str, sums: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    if label in (*RUNS, *BEAT_LABELS):
        found, right = sums["found"] / sums["episodes"], sums["right"] / np.maximum(sums["alarms"], 1)
        part, whole = 2 * found * right, found + right
    else:
        part, whole = 2 * sums["both_s"], sums["reference_s"] + sums["alarm_s"]
    f1: NDArray[np.float64] = part / np.maximum(whole, 1e-9)
    return f1


def _smooth(figures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average each (settings,) figure with those of the next lower and higher threshold."""
    by_threshold = figures.reshape(len(THRESHOLDS), -1)
    around = np.concatenate([by_threshold[:1], by_threshold, by_threshold[-1:]])
    mean: NDArray[np.float64] = (around[:-2] + around[1:-1] + around[2:]) / 3
    return mean.reshape(-1)


def _distance(one: Setting, other: Setting) -> float:
    delays_s = abs(one.on_delay_s - other.on_delay_s) + abs(one.off_delay_s - other.off_delay_s)
    levels = abs(one.threshold - other.threshold) + abs(one.clear_threshold - other.clear_threshold)
    return levels + delays_s / 60 + (one.pooled != other.pooled)


def _front(false: NDArray[np.int64], worth: NDArray[np.float64]) -> list[tuple[int, tuple[int, ...], float]]:
    """Return number, false alarms and worth of the settings that no other one beats in all of them."""
    front: list[tuple[int, tuple[int, ...], float]] = []
    for number in np.argsort(-worth, kind="stable"):
        counts = tuple(false[number].tolist())
        beaten = any(all(one <= two for one, two in zip(other, counts, strict=True)) for _, other, _ in front)
        if np.isfinite(worth[number]) and not beaten:
            front.append((int(number), counts, float(worth[number])))
    return front
