"""What every setting of an alarm does on out-of-fold outputs, by the rules of `edge.lab.scoring`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibration.operating_points.alarm_runs import AlarmWindows, Evidence
from calibration.operating_points.settings import Setting
from edge.bundle.manifest import Label, Manifest, Pooling
from edge.lab.scoring.annotation import Annotation
from edge.lab.scoring.beats import LEARNING_S
from edge.lab.scoring.episodes import Counts, compare
from edge.lab.scoring.reference import BEAT_LABELS, holds_in_window, references
from edge.monitor.pooling import pool_windows
from training.evaluation.outputs import RecordOutputs

_COUNT_FIELDS = ("episodes", "found", "alarms", "right", "reference_s", "alarm_s", "both_s")
_WINDOW_FIELDS = ("windows_with", "windows_over", "windows_right")
SUM_FIELDS = (*_COUNT_FIELDS, *_WINDOW_FIELDS, "delay_s", "delays")  # the last two: sum and number of all delays


@dataclass(frozen=True)
class OutOfFoldRecord:
    """One record with its reference and the outputs of the network that never saw its patient."""

    name: str
    patient: str
    annotation: Annotation
    outputs: RecordOutputs  # columns are the labels of the manifest

    @property
    def hours(self) -> float:
        """Length after the learning period."""
        return max(self.annotation.end_s - LEARNING_S, 0.0) / 3600


@dataclass(frozen=True)
class SettingResults:
    """All settings of one label, and their counts on each record."""

    label: Label
    settings: tuple[Setting, ...]  # sorted by threshold, equally many of each
    counts: tuple[tuple[Counts, ...], ...]  # (settings, records)
    sums: NDArray[np.float64]  # (settings, records, `SUM_FIELDS`): the same counts as numbers

    @classmethod
    def of(cls, label: Label, settings: Sequence[Setting], counts: Sequence[tuple[Counts, ...]]) -> "SettingResults":
        """Take (settings, records) counts."""
        sums = np.array([[tuple(_numbers(each)) for each in row] for row in counts], np.float64)
        return cls(label, tuple(settings), tuple(counts), sums)

    @property
    def levels(self) -> int:
        """Number of different thresholds."""
        return len({setting.threshold for setting in self.settings})

    def total(self, setting: int, records: Sequence[int]) -> Counts:
        """Add up the counts of one setting on some records."""
        return sum((self.counts[setting][record] for record in records), Counts())

    def sums_on(self, records: Sequence[int]) -> dict[str, NDArray[np.float64]]:
        """Return the (settings,) sums of each field over some records."""
        return dict(zip(SUM_FIELDS, self.sums[:, list(records)].sum(axis=1).T, strict=True))


def _numbers(counts: Counts) -> Iterator[float]:
    for name in (*_COUNT_FIELDS, *_WINDOW_FIELDS):
        yield getattr(counts, name)
    yield sum(counts.delays_s)
    yield len(counts.delays_s)


class SettingScorer:
    """Scores settings of the labels of one manifest on records."""

    def __init__(self, manifest: Manifest, records: Sequence[OutOfFoldRecord]) -> None:
        self._manifest, self.records = manifest, records
        self._window_s, self._hop_s = manifest.input.window_s, manifest.input.hop_s
        self._column = {label.abbreviation: number for number, label in enumerate(manifest.labels)}
        self._references = [references(record.annotation, self._window_s) for record in records]
        self._usable = [self._usable_windows(record) for record in records]
        # Settings share pooled outputs and references of windows; both are computed once.
        self._pooled: dict[tuple[int, int], NDArray[np.float32]] = {}
        self._beats: dict[tuple[str, int, int], tuple[NDArray[np.bool_], NDArray[np.intp]]] = {}

    @property
    def scored_labels(self) -> list[Label]:
        """The labels that raise alarms and that every record annotates."""
        everywhere = set.intersection(*(set(reference) for reference in self._references))
        raised = (label for label in self._manifest.labels if label.priority != "none")
        return [label for label in raised if label.abbreviation in everywhere and label.kind == "physiological"]

    def score(self, label: Label, settings: Sequence[Setting], done: Callable[[], None]) -> SettingResults:
        """Score every setting of a label on every record; `done` is called after each record."""
        columns = []
        for record in range(len(self.records)):
            columns.append(self._score_record(label.abbreviation, record, settings))
            done()
        return SettingResults.of(label, settings, tuple(zip(*columns, strict=True)))

    def evidence(self, label: str, record: int, pooled: int) -> Evidence:
        """Return the windows of a record that count for a label."""
        outputs = self.records[record].outputs
        values = self._pool(record, pooled)[:, self._column[label]]
        rate_hz = outputs.sample_rate_hz
        return Evidence.of(values, outputs.first_sample / rate_hz, outputs.end_sample / rate_hz, self._usable[record])

    def _usable_windows(self, record: OutOfFoldRecord) -> NDArray[np.bool_]:
        """Return which windows are evidence: good ones, except where a technical output is over its threshold."""
        probabilities = record.outputs.probabilities
        usable = np.array(~np.isnan(probabilities).any(axis=1))
        for column, label in enumerate(self._manifest.labels):
            if label.kind == "technical":
                noise = pool_windows(probabilities[:, [column]], self._manifest.pooling, [label.abbreviation])
                usable &= ~(noise[:, 0] >= label.threshold).astype(np.bool_)
        return usable

    def _pool(self, record: int, pooled: int) -> NDArray[np.float32]:
        key = record, pooled
        if key not in self._pooled:
            pooling = Pooling("mean", pooled)
            self._pooled[key] = pool_windows(self.records[record].outputs.probabilities, pooling, list(self._column))
        return self._pooled[key]

    def _score_record(self, label: str, record: int, settings: Sequence[Setting]) -> list[Counts]:
        """Score settings on one record; settings that raise the same alarms are compared once."""
        evidence = {pooled: self.evidence(label, record, pooled) for pooled in {each.pooled for each in settings}}
        reference, end_s = self._references[record][label], self.records[record].annotation.end_s
        known: dict[tuple[int, tuple[AlarmWindows, ...]], Counts] = {}
        result = []
        for setting in settings:
            found = tuple(evidence[setting.pooled].find_alarms(setting))
            if (setting.pooled, found) not in known:
                alarms = evidence[setting.pooled].to_alarms(found, setting.pooled, self._window_s, self._hop_s)
                known[setting.pooled, found] = compare(reference, alarms, LEARNING_S, end_s)
            counts = known[setting.pooled, found]
            result.append(self._add_windows(counts, label, record, setting) if label in BEAT_LABELS else counts)
        return result

    def _add_windows(self, counts: Counts, label: str, record: int, setting: Setting) -> Counts:
        """Add the counts by window, as `edge.lab.scoring.record` does."""
        holds, rows = self._beat_windows(label, record, setting.pooled)
        over = self._pool(record, setting.pooled)[rows, self._column[label]] >= setting.threshold
        return replace(
            counts,
            windows_with=int(holds.sum()),
            windows_over=int(over.sum()),
            windows_right=int((holds & over).sum()),
        )

    def _beat_windows(self, label: str, record: int, pooled: int) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
        """Return whether each good window has a beat of the label, and its row; without windows that are unclear."""
        key = (label, record, pooled)
        if key not in self._beats:
            annotation, outputs = self.records[record].annotation, self.records[record].outputs
            start_s = outputs.first_sample / outputs.sample_rate_hz
            reach_s = (pooled - 1) * self._hop_s
            good = ~np.isnan(outputs.probabilities).any(axis=1) & (start_s >= LEARNING_S)
            spans = [(k, float(start_s[k]) - reach_s, float(start_s[k]) + self._window_s) for k in np.flatnonzero(good)]
            all_rows = [(row, holds_in_window(annotation, label, start, end)) for row, start, end in spans]
            known = [(row, holds) for row, holds in all_rows if holds is not None]
            self._beats[key] = (
                np.array([holds for _, holds in known], np.bool_),
                np.array([row for row, _ in known], np.intp),
            )
        return self._beats[key]
