"""The windows that INT8 ranges are measured on: of training records only, drawn by a seed.

They include every kind of input. Within a data set the product labels take turns, so that rare rhythms are in it. A
third of the windows with many leads keep one lead alone, and a third any subset. A quarter have recorded noise (nstdb
`bw` and `ma`, as in training).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from calibration.errors import CalibrationError
from calibration.held_out.records import DATA_SETS, LabelledRecord, records_of
from edge.bundle.manifest import InputSpec
from edge.core.leads import LEADS
from training.data.augment import Batch, add_noise, read_noise
from training.data.labels import PRODUCT_LABELS
from training.evaluation.device import classifiable_windows

NOISY_SHARE = 0.25
_GRID_S = 5.0  # between the starts of windows that may be drawn from a record
_SINGLE = ("I", "II", "V1", "V5")


@dataclass(frozen=True)
class CalibrationSet:
    """Windows as the device would give them to a graph, and the record of each."""

    signal: NDArray[np.float32]  # (windows, 12, samples) mV
    keep: NDArray[np.float32]  # (windows, 12)
    records: tuple[dict[str, Any], ...]  # of each window: data_set, record, start_s, leads, noise


def draw(data: Path, spec: InputSpec, count: int, seed: int) -> CalibrationSet:
    """Draw about `count` windows, equally many of each data set in `data`.

    Raises
    ------
    CalibrationError
        When `count` is less than one window for each data set.
    DataError
        When a data set cannot be read.
    """
    if count < len(DATA_SETS):
        raise CalibrationError(
            f"{count} calibration windows are too few; at least {len(DATA_SETS)} are needed, one of each data set"
        )
    random = np.random.default_rng(seed)
    parts = [_part(records_of(data, name, "train"), spec, count // len(DATA_SETS), random) for name in DATA_SETS]
    signal, keep = (np.concatenate([part[i] for part in parts]) for i in range(2))
    records = [record for part in parts for record in part[2]]
    signal, noisy = _with_noise(signal, keep, data / "nstdb", seed)
    for record, noise in zip(records, noisy, strict=True):
        record["noise"] = bool(noise)
    return CalibrationSet(signal, keep, tuple(records))


def stratified(
    target: NDArray[np.bool_], rows: NDArray[np.intp], count: int, random: np.random.Generator
) -> NDArray[np.intp]:
    """Draw up to `count` of `rows` without repetition; the labels of `target` (rows, labels) take turns.

    Windows without any of the labels are one more group.
    """
    columns = [*target.T, ~target.any(axis=1)]
    queues = [list(random.permutation(rows[column])) for column in columns]
    chosen: set[int] = set()
    # Each round takes one row of every label; rows that another label took are skipped.
    while len(chosen) < count and any(queues):
        for queue in queues:
            while queue and len(chosen) < count:
                row = int(queue.pop())
                if row not in chosen:
                    chosen.add(row)
                    break
    return np.sort(np.array(list(chosen), np.intp))


def _part(
    records: list[LabelledRecord], spec: InputSpec, count: int, random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[dict[str, Any]]]:
    candidates = [(number, start_s) for number, record in enumerate(records) for start_s in _starts(record, spec)]
    labels = [records[number].labels(start_s, start_s + spec.window_s) for number, start_s in candidates]
    target = np.stack([(each.target & each.known)[: len(PRODUCT_LABELS)] > 0 for each in labels])
    signals, keeps = [], []
    facts: list[dict[str, Any]] = []
    drawn: dict[int, list[float]] = {}  # start times by record
    for row in stratified(target, np.arange(len(candidates)), count, random):
        number, start_s = candidates[row]
        drawn.setdefault(number, []).append(start_s)
    for number, times in drawn.items():  # each record is read once
        record = records[number]
        start_s, signal, keep = classifiable_windows(record.path, spec, min(_GRID_S, spec.window_s))
        for time in times if start_s.size else ():
            row = int(np.argmin(np.abs(start_s - (time if record.annotated_s else random.choice(start_s)))))
            kept = _choose_leads(keep[row] > 0, len(facts), random)
            signals.append(signal[row] * kept[:, None])
            keeps.append(kept)
            leads = [lead for lead, is_kept in zip(LEADS, kept, strict=True) if is_kept]
            facts.append(
                {"data_set": record.data_set, "record": record.name, "start_s": float(start_s[row]), "leads": leads}
            )
    return np.stack(signals), np.stack(keeps), facts


def _starts(record: LabelledRecord, spec: InputSpec) -> NDArray[np.float64]:
    """Return the times at which windows may start; only one for a record whose labels do not change."""
    return np.arange(0.0, max((record.annotated_s or 0.0) - spec.window_s, _GRID_S), _GRID_S)


def _choose_leads(available: NDArray[np.bool_], number: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Keep all leads, one alone, or a random subset, in turn; at least one lead is kept."""
    match number % 3:
        case 1:
            wanted = np.array([lead == _SINGLE[number // 3 % len(_SINGLE)] for lead in LEADS])
        case 2:
            wanted = random.random(len(LEADS)) < random.random()
        case _:
            wanted = np.ones(len(LEADS), bool)
    kept = available & wanted
    return (kept if kept.any() else available).astype(np.float32)


def _with_noise(
    signal: NDArray[np.float32], keep: NDArray[np.float32], folder: Path, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Add recorded noise to some windows as training does; also return which windows got noise."""
    nothing = torch.zeros(len(signal), len(PRODUCT_LABELS))  # the labels do not matter here
    batch = Batch(torch.from_numpy(signal), torch.from_numpy(keep), nothing, nothing)
    noised = add_noise(batch, read_noise(folder), NOISY_SHARE, torch.Generator().manual_seed(seed)).signal.numpy()
    return noised * keep[:, :, None], (noised != signal).any(axis=(1, 2))
