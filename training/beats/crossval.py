"""Cross-validation of the beat network, patient by patient, with the figures of EC57 on beats it never saw."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from edge.beats.classes import CLASSES, S, V, X
from edge.beats.classifier import gate_supraventricular
from edge.lab.scoring.beats import Beats, Confusion, compare
from training.beats.dataset import BeatCache, BeatSet
from training.beats.description import CLEAN, FIRST_LEAD, RecordBeats
from training.beats.network import BeatNetwork
from training.beats.recording import PACED, SETS, Record
from training.beats.trainer import TrainConfig, fit, predict
from training.data.reporting import ReportLine

_SCORED = (CLEAN, FIRST_LEAD)


@dataclass(frozen=True)
class FoldScore:
    """Figures of one set and version, over the records of all folds; None where undefined."""

    data_set: str
    version: str
    veb_f1: float | None
    sveb_f1: float | None

    def line(self) -> str:
        """Return the figures for a reader."""
        return f"{self.data_set} {self.version}: VEB F1 {_text(self.veb_f1)}, SVEB F1 {_text(self.sveb_f1)}"

    def to_json(self) -> dict[str, str | float | None]:
        """Return the figures for a file."""
        return asdict(self)


def crossval(
    cache: BeatCache,
    records: Sequence[Record],
    beats: BeatSet,
    configs: Sequence[TrainConfig],
    folds: int,
    report: ReportLine,
) -> list[FoldScore]:
    """Train the networks of each fold without its patients, and score them on these patients.

    Parameters
    ----------
    beats : of all these records
    configs : of the networks whose outputs are averaged
    folds : number of folds
    """
    confusions = {(name, version.name): Confusion() for name in SETS for version in _SCORED}
    fold_of = patient_folds(beats, folds)
    for fold in range(folds):
        held_out = {patient for patient, own in fold_of.items() if own == fold}
        report(f"fold {fold + 1} of {folds}: {len(held_out)} patients held out")
        allowed = ~np.isin(beats.patient, sorted(held_out))
        networks = [fit(beats, config, report, allowed) for config in configs]
        for record in records:
            if record.patient in held_out and (record.data_set != "mitdb" or record.name not in PACED):
                for version in _SCORED:
                    confusions[record.data_set, version.name] += score(
                        networks, cache.read(record, version), record.annotation().qrs
                    )
    return [FoldScore(*key, *_f1s(confusion)) for key, confusion in confusions.items()]


def patient_folds(beats: BeatSet, folds: int) -> dict[str, int]:
    """Deal the patients of each set to folds, those with most ectopic beats first, so that folds are alike."""
    patients, numbers = np.unique(beats.patient, return_inverse=True)
    weights = np.select([beats.label == V, beats.label == S], [1.0, 0.5])
    burden = np.bincount(numbers, weights, len(patients))
    fold_of: dict[str, int] = {}
    for name in SETS:
        own = [row for row in np.argsort(-burden, kind="stable").tolist() if patients[row].startswith(f"{name}/")]
        for place, row in enumerate(own):
            # There and back again: 0 1 2 2 1 0. Plain rounds would give the first fold the most every time.
            turn = place % (2 * folds)
            fold_of[str(patients[row])] = turn if turn < folds else 2 * folds - 1 - turn
    return fold_of


def score(networks: Sequence[BeatNetwork], beats: RecordBeats, reference: Beats | None) -> Confusion:
    """Compare the classes that the device would report with the reference beats."""
    if reference is None:
        return Confusion()
    probabilities = gate_supraventricular(predict(networks, beats), beats.features[:, -1])
    chosen: NDArray[np.int64] = probabilities.argmax(axis=1)
    kept = chosen != X
    return compare(reference, Beats(beats.time_s[kept], "".join(CLASSES[kind] for kind in chosen[kept])))


def _f1s(confusion: Confusion) -> tuple[float | None, float | None]:
    rates = confusion.rates()
    return _f1(rates["veb_se"], rates["veb_ppv"]), _f1(rates["sveb_se"], rates["sveb_ppv"])


def _f1(sensitivity: float | None, predictivity: float | None) -> float | None:
    if sensitivity is None or predictivity is None or not sensitivity + predictivity:
        return None
    return 2 * sensitivity * predictivity / (sensitivity + predictivity)


def _text(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
