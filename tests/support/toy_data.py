"""Small data sets in the window cache's own format, with the real splits: as fast to read as they are small."""

import csv

import numpy as np

from edge.sources.synthetic import render
from training import cache, splits
from training.labels import INDEX, LABELS

_RHYTHMS = {"sinus": "SR", "af": "AF", "pvc": "PVC", "tachycardia": "STACH", "vt": "VT"}
_PATIENTS = {"train": ("101", "203", "215"), "validation": ("208", "201", "106")}


def write(data, cache_folder):
    """Write ptb-xl, cinc2017, mitdb (windows only) and nstdb's noise records under `data`."""
    import wfdb

    rows = [*_ptb_xl(data / "ptb-xl")]
    _write_set("ptb-xl", cache_folder, rows, seed=1, leads=12)
    names = [f"A{number:05d}" for number in range(120)]
    _write_set("cinc2017", cache_folder, [(name, name) for name in names], seed=2, leads=1)
    patients = [p for part in _PATIENTS.values() for p in part]
    _write_set("mitdb", cache_folder, [(p, p) for p in patients for _ in range(16)], seed=3, leads=2)
    (data / "nstdb").mkdir(parents=True)
    noise = np.random.default_rng(0).normal(size=(250 * 45, 2))
    for name in ("bw", "ma"):
        wfdb.wrsamp(name, 250, ["mV"] * 2, ["a", "b"], noise, fmt=["16"] * 2, write_dir=str(data / "nstdb"))


def _ptb_xl(folder):
    """Write the table of records: folds 1 to 9 in turn; return (record, patient) pairs."""
    folder.mkdir(parents=True)
    with (folder / "ptbxl_database.csv").open("w", newline="", encoding="utf-8") as file:
        columns = ["ecg_id", "patient_id", "strat_fold", "scp_codes", "filename_lr", "baseline_drift"]
        columns += ["static_noise", "burst_noise", "electrodes_problems"]
        table = csv.DictWriter(file, columns, restval="")
        table.writeheader()
        for number in range(1, 181):
            line = {"ecg_id": number, "patient_id": number, "strat_fold": 1 + number % 9, "scp_codes": "{}"}
            table.writerow(line | {"filename_lr": f"r{number}"})
            yield str(number), str(number)


def _write_set(name, cache_folder, rows, seed, leads):
    random = np.random.default_rng(seed)
    folder = cache_folder / cache.cache_folder(name).name
    folder.mkdir(parents=True)
    keep = np.zeros((len(rows), 12), np.uint8)
    keep[:, [1, 6] if leads == 2 else slice(leads)] = 1
    kinds = random.integers(len(_RHYTHMS), size=len(rows))
    beats = {kind: render(kind, 10.0, sample_rate_hz=100.0, seed=seed) for kind in _RHYTHMS}
    target = np.zeros((len(rows), len(LABELS)), np.uint8)
    signal = np.zeros((len(rows), 12, 1000), np.float16)
    for row, kind in enumerate(kinds):
        rhythm = list(_RHYTHMS)[kind]
        target[row, INDEX[_RHYTHMS[rhythm]]] = 1
        signal[row] = (beats[rhythm] * random.uniform(0.5, 2.0) + random.normal(0, 0.05, (12, 1000))) * keep[
            row, :, None
        ]
    signal.tofile(folder / "signal.f16")
    arrays = {
        "keep": keep,
        "target": target,
        "known": np.ones_like(target),
        "place": np.full(len(rows), -1, np.int16),
        "record": np.array([record for record, _ in rows]),
        "patient": np.array([patient for _, patient in rows]),
        "start_s": np.arange(len(rows), dtype=float),
    }
    for key, values in arrays.items():
        np.save(folder / f"{key}.npy", values)


def part_of(data, data_set, record):
    """Part of the splits that a record of these sets belongs to, asked of the splits themselves."""
    match data_set:
        case "ptb-xl":
            entry = next(e for e in splits.read_entries(data / "ptb-xl") if e.ecg_id == record)
            return splits.ptb_xl_part(entry.patient, entry.fold)
        case "cinc2017":
            return splits.cinc2017_part(record)
        case _:
            return splits.mitdb_part(record)
