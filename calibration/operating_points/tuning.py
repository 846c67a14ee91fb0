"""From out-of-fold outputs to operating points: reads a cross-validation, tries every setting, chooses by a budget.

`ecg-calibrate export` chooses thresholds on validation windows; here they are superseded for every label that MIT-BIH
annotates, by what whole alarms did on whole records that the network had not seen.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from calibration.errors import CalibrationError
from calibration.operating_points.alarm_runs import Setting
from calibration.operating_points.operating import Bench, Record, Tried, choose, own_setting, settings_of, useless
from edge.bundle.manifest import InputSpec, Manifest
from edge.lab.scoring.annotation import patient_of, read_annotation
from edge.lab.scoring.episodes import Counts
from training.evaluation.outputs import load_outputs
from training.supervised.crossval import REPORT

Progress = Callable[[str, int, int], None]
Settings = dict[str, Setting]


@dataclass(frozen=True)
class Run:
    """A finished cross-validation, read for one manifest."""

    path: Path
    folds: dict[str, tuple[str, ...]]
    records: tuple[Record, ...]

    def of(self, folds: Collection[str]) -> list[int]:
        """Return the numbers of the records that these folds hold."""
        held = {name for fold in folds for name in self.folds[fold]}
        return [number for number, record in enumerate(self.records) if record.name in held]


@dataclass(frozen=True)
class Tuned:
    """What was chosen, and what it did on records that neither network nor, for `nested`, settings had seen."""

    budget: float  # false alarms an hour
    tried: tuple[Tried, ...]
    own: tuple[Setting, ...]
    chosen: tuple[int, ...]
    nested: dict[str, tuple[int, ...]]  # by fold
    before: tuple[Counts, ...]  # of each label, with its own setting
    after: tuple[Counts, ...]  # with the chosen one
    judged: tuple[Counts, ...]  # with those chosen without the fold

    def settings(self, fold: str | None = None) -> Settings:
        """Return the chosen settings by label, or those chosen without one fold."""
        numbers = self.chosen if fold is None else self.nested[fold]
        return {one.label.abbreviation: one.settings[at] for one, at in zip(self.tried, numbers, strict=True)}


def read_run(path: Path, mitdb: Path, manifest: Manifest) -> Run:
    """Read what `ecg-train crossval` wrote.

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
    for record in sorted(record for fold in folds.values() for record in fold):
        outputs = load_outputs(path / "probabilities" / f"{record}.npz")
        outputs = replace(outputs, probabilities=outputs.probabilities[:, columns])
        records.append(Record(record, patient_of(record), read_annotation(mitdb / record), outputs))
    return Run(path, folds, tuple(records))


def tune(manifest: Manifest, run: Run, budget: float, progress: Progress) -> Tuned:
    """Try every setting of every label that the records annotate, and choose within `budget` false alarms an hour.

    The budget holds on all records and on those that are sinus rhythm throughout, where no other alarm excuses one.
    """
    bench, everyone = Bench(manifest, run.records), range(len(run.records))
    labels, tried, before = bench.judged, [], []
    own = tuple(own_setting(label, manifest) for label in labels)
    total = len(labels) * len(run.records)
    for number, (label, setting) in enumerate(zip(labels, own, strict=True)):
        done = iter(range(number * len(run.records) + 1, total + 1))
        tell = lambda done=done, label=label: progress(label.abbreviation, next(done), total)  # noqa: E731
        tried.append(bench.try_all(label, settings_of(label), tell))
        before.append(bench.try_all(label, [setting], lambda: None).total(0, everyone))

    def chosen_on(folds: Sequence[str], quiet: Collection[int] = ()) -> list[int]:
        records = run.of(folds)
        return choose(tried, own, records, _limits(budget, run.records, records), quiet)

    def proven_on(folds: Sequence[str]) -> tuple[int, ...]:
        """Choose twice: to see what does no good on the fold that it was set without, and then without that."""
        judged = [(run.of([fold]), chosen_on([other for other in folds if other != fold])) for fold in folds]
        return tuple(chosen_on(folds, useless(tried, judged)))

    folds = tuple(run.folds)
    chosen = proven_on(folds)
    nested = {fold: proven_on([other for other in folds if other != fold]) for fold in folds}
    return Tuned(
        budget,
        tuple(tried),
        own,
        chosen,
        nested,
        tuple(before),
        tuple(one.total(at, everyone) for one, at in zip(tried, chosen, strict=True)),
        tuple(_judged(one, [picks[k] for picks in nested.values()], run) for k, one in enumerate(tried)),
    )


def _limits(budget: float, records: Sequence[Record], some: Sequence[int]) -> list[tuple[list[int], int]]:
    """Return how many false alarms a budget an hour allows on some of the records, and on the quiet ones of them."""
    quiet = [number for number in some if records[number].annotation.sinus_throughout]
    parts = [list(some), quiet]
    return [(part, int(budget * sum(records[number].hours for number in part))) for part in parts]


def _judged(one: Tried, picks: Sequence[int], run: Run) -> Counts:
    """Add up what each fold's setting did on the records that had no part in its choice."""
    total = Counts()
    for fold, setting in zip(run.folds, picks, strict=True):
        total += one.total(setting, run.of([fold]))
    return total
