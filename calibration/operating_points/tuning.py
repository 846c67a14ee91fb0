"""From out-of-fold outputs to operating points: tries every setting of every alarm, and chooses within a budget.

`ecg-calibrate export` chooses thresholds on validation windows. For the labels that MIT-BIH annotates, the settings
chosen here replace them: they are measured by whole alarms on whole records that the network never saw.
"""

import itertools
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec

from calibration.errors import CalibrationError
from calibration.operating_points.choice import Budget, choose, unproven_labels
from calibration.operating_points.scoring import OutOfFoldRecord, SettingResults, SettingScorer
from calibration.operating_points.settings import Setting, candidate_settings, manifest_setting
from edge.bundle.manifest import InputSpec, Manifest
from edge.lab.scoring.annotation import patient_of, read_annotation
from edge.lab.scoring.episodes import Counts
from training.data.reporting import ReportProgress
from training.evaluation.outputs import load_outputs
from training.supervised.crossval import REPORT

Settings = dict[str, Setting]  # by label


@dataclass(frozen=True)
class CrossvalRun:
    """A finished cross-validation, read for one manifest."""

    path: Path
    folds: dict[str, tuple[str, ...]]
    records: tuple[OutOfFoldRecord, ...]

    def records_of(self, folds: Collection[str]) -> list[int]:
        """Return the numbers of the records in these folds."""
        names = {name for fold in folds for name in self.folds[fold]}
        return [number for number, record in enumerate(self.records) if record.name in names]


@dataclass(frozen=True)
class TuningResult:
    """The chosen settings and their counts.

    `nested` settings are chosen without the records of a fold. Their counts on that fold are the figures to report:
    neither the network nor the settings saw these patients.
    """

    budget_per_hour: float  # false alarms
    results: tuple[SettingResults, ...]
    chosen: tuple[int, ...]  # number of each label's setting
    nested: dict[str, tuple[int, ...]]  # by fold
    before: tuple[Counts, ...]  # of each label, with the bundle's own setting
    after: tuple[Counts, ...]  # with the chosen setting
    nested_counts: tuple[Counts, ...]  # with the nested settings, each on its fold

    def settings(self, fold: str | None = None) -> Settings:
        """Return the chosen settings by label, or those chosen without one fold."""
        numbers = self.chosen if fold is None else self.nested[fold]
        return {one.label.abbreviation: one.settings[k] for one, k in zip(self.results, numbers, strict=True)}


def read_crossval(path: Path, mitdb: Path, manifest: Manifest) -> CrossvalRun:
    """Read the folder that `ecg-train crossval` wrote.

    Raises
    ------
    CalibrationError
        When there is no finished cross-validation, or it was made for other windows or labels.
    TrainingError, EdgeError
        When outputs or annotations cannot be read.
    """
    try:
        report = json.loads((path / REPORT).read_text(encoding="utf-8"))
        folds = {name: tuple(records) for name, records in report["folds"].items()}
        labels, spec = report["labels"], msgspec.convert(report["input"], InputSpec)
    except (OSError, ValueError, KeyError, AttributeError) as exc:  # msgspec's errors are ValueErrors
        raise CalibrationError(f"{path}: no finished cross-validation there ({exc}); run `ecg-train crossval`") from exc
    if spec != manifest.input:
        raise CalibrationError(f"{path}: its windows are not the bundle's; cross-validate the network that you ship")
    names = [label.abbreviation for label in manifest.labels]
    if not set(names) <= set(labels):
        raise CalibrationError(f"{path}: lacks outputs of the bundle: {', '.join(sorted(set(names) - set(labels)))}")
    columns = [labels.index(name) for name in names]
    records = []
    for record in sorted(itertools.chain(*folds.values())):
        outputs = load_outputs(path / "probabilities" / f"{record}.npz")
        outputs = replace(outputs, probabilities=outputs.probabilities[:, columns])
        records.append(OutOfFoldRecord(record, patient_of(record), read_annotation(mitdb / record), outputs))
    return CrossvalRun(path, folds, tuple(records))


def tune(manifest: Manifest, run: CrossvalRun, budget_per_hour: float, progress: ReportProgress) -> TuningResult:
    """Try every setting of every label that the records annotate, and choose within a budget of false alarms an hour.

    The budget holds on all records, and also on those that are sinus rhythm throughout: there every alarm is false.
    """
    scorer = SettingScorer(manifest, run.records)
    current = tuple(manifest_setting(label, manifest) for label in scorer.scored_labels)
    results, before = _score_all(scorer, current, progress)
    choice = _Choice(run, results, current, budget_per_hour)
    folds = tuple(run.folds)
    chosen = choice.proven(folds)
    nested = {fold: choice.proven([other for other in folds if other != fold]) for fold in folds}
    every = range(len(run.records))
    return TuningResult(
        budget_per_hour,
        results,
        chosen,
        nested,
        before,
        tuple(one.total(k, every) for one, k in zip(results, chosen, strict=True)),
        tuple(_held_out_counts(one, [picks[k] for picks in nested.values()], run) for k, one in enumerate(results)),
    )


def _score_all(
    scorer: SettingScorer, current: Sequence[Setting], progress: ReportProgress
) -> tuple[tuple[SettingResults, ...], tuple[Counts, ...]]:
    """Score the candidate settings of each label, and the counts of its current setting."""
    labels, every = scorer.scored_labels, range(len(scorer.records))
    total, done = len(labels) * len(every), itertools.count(1)
    results, before = [], []
    for label, setting in zip(labels, current, strict=True):
        record_done = partial(_count, progress, label.abbreviation, done, total)
        results.append(scorer.score(label, candidate_settings(label), record_done))
        before.append(scorer.score(label, [setting], lambda: None).total(0, every))
    return tuple(results), tuple(before)


def _count(progress: ReportProgress, label: str, done: Iterator[int], total: int) -> None:
    progress(label, next(done), total)


@dataclass(frozen=True)
class _Choice:
    """Chooses settings on the records of some folds."""

    run: CrossvalRun
    results: tuple[SettingResults, ...]
    current: tuple[Setting, ...]
    budget_per_hour: float

    def proven(self, folds: Sequence[str]) -> tuple[int, ...]:
        """Choose settings, with the alarms suppressed that are of no use on a fold when set on the other folds."""
        held_out = [(self.run.records_of([fold]), self._on([o for o in folds if o != fold])) for fold in folds]
        return tuple(self._on(folds, unproven_labels(self.results, held_out)))

    def _on(self, folds: Sequence[str], suppressed: Collection[int] = ()) -> list[int]:
        records = self.run.records_of(folds)
        return choose(self.results, self.current, records, self._budgets(records), suppressed)

    def _budgets(self, records: Sequence[int]) -> list[Budget]:
        sinus = [number for number in records if self.run.records[number].annotation.sinus_throughout]
        return [Budget(tuple(some), int(self.budget_per_hour * self._hours(some))) for some in (records, sinus)]

    def _hours(self, records: Sequence[int]) -> float:
        return sum(self.run.records[number].hours for number in records)


def _held_out_counts(one: SettingResults, picks: Sequence[int], run: CrossvalRun) -> Counts:
    """Add up the counts of each fold's setting on the records that had no part in its choice."""
    total = Counts()
    for fold, setting in zip(run.folds, picks, strict=True):
        total += one.total(setting, run.records_of([fold]))
    return total
