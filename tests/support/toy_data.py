"""Small data sets in the layouts of the real ones, with the real splits."""

import csv

import numpy as np

from edge.core.leads import LEADS
from edge.sources.synthetic import render
from training.data import splits
from training.data.statements import SCP_STATEMENTS

# rhythm of the synthetic source -> statements in PTB-XL, class in CinC 2017, rhythm and beats in MIT-BIH
RHYTHMS = {
    "sinus": ("SR NORM", "N", "(N", "N"),
    "af": ("AFIB NDT", "A", "(AFIB", "N"),
    "pvc": ("SR PVC", "O", "(N", "V"),
    "tachycardia": ("STACH IMI", "O", "(N", "N"),
    "noise": ("SR CLBBB", "~", "(N", "L"),
}
_CLASSES = {"NORM": "NORM", "NDT": "STTC", "IMI": "MI", "CLBBB": "CD", "LVH": "HYP"}  # of some statements alone
_FORM, _RHYTHM = {"NDT", "PVC"}, {"SR", "AFIB", "STACH"}
_PATIENTS = ("101", "203", "215", "208", "201", "106")
_RECORDS, _NAMES = 120, 120
_MITDB_S = 60


def write(data):
    """Write ptb-xl, cinc2017, mitdb and nstdb's noise records under `data`."""
    random = np.random.default_rng(1)
    beats = {kind: render(kind, 10.0, sample_rate_hz=100.0, seed=1) for kind in RHYTHMS}
    _write_ptb_xl(data / "ptb-xl", beats, random)
    _write_cinc2017(data / "cinc2017", beats, random)
    _write_mitdb(data / "mitdb", random)
    noise = random.normal(size=(2, 250 * 45))
    for name in ("bw", "ma"):
        _write_record(data / "nstdb", name, noise, 250, ("a", "b"))


def _write_ptb_xl(folder, beats, random):
    """Write folds 1 to 9 in turn."""
    folder.mkdir(parents=True)
    with (folder / "ptbxl_database.csv").open("w", newline="", encoding="utf-8") as file:
        columns = ["ecg_id", "patient_id", "strat_fold", "scp_codes", "filename_lr", "baseline_drift"]
        columns += ["static_noise", "burst_noise", "electrodes_problems"]
        table = csv.DictWriter(file, columns, restval="")
        table.writeheader()
        for number, kind in enumerate(random.choice(list(RHYTHMS), _RECORDS), 1):
            codes = dict.fromkeys(RHYTHMS[kind][0].split(), 100.0)
            line = {"ecg_id": number, "patient_id": number, "strat_fold": 1 + number % 9, "scp_codes": codes}
            table.writerow(line | {"filename_lr": f"r{number}"})
            _write_record(folder, f"r{number}", _varied(beats[kind], random), 100, LEADS)
    with (folder / "scp_statements.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass"])
        for code in SCP_STATEMENTS:
            held = _CLASSES.get(code, "")
            groups = ["1.0" if held else "", "1.0" if code in _FORM else "", "1.0" if code in _RHYTHM else ""]
            table.writerow([code, *groups, held, held and code])


def _write_cinc2017(folder, beats, random):
    folder.mkdir()
    with (folder / "REFERENCE-v3.csv").open("w", newline="", encoding="utf-8") as file:
        for number, kind in enumerate(random.choice(list(RHYTHMS), _NAMES)):
            csv.writer(file).writerow([f"A{number:05d}", RHYTHMS[kind][1]])
            _write_record(folder, f"A{number:05d}", _varied(beats[kind][:1], random), 100, ("ECG",))


def _write_mitdb(folder, random):
    import wfdb

    folder.mkdir()
    for name, kind in zip(_PATIENTS, [*RHYTHMS, "sinus"], strict=True):
        samples = render(kind, _MITDB_S, sample_rate_hz=100.0, seed=int(name))[[1, 6]]
        _write_record(folder, name, _varied(samples, random), 100, ("MLII", "V1"))
        _, _, rhythm, beat = RHYTHMS[kind]
        at = np.arange(20, 100 * _MITDB_S, 80)
        symbols, notes = ["+", *[beat] * (at.size - 1)], [rhythm, *[""] * (at.size - 1)]
        wfdb.wrann(name, "atr", at, symbols, aux_note=notes, fs=100, write_dir=str(folder))


def _varied(samples, random):
    return samples * random.uniform(0.5, 2.0) + random.normal(0, 0.05, samples.shape)


def _write_record(folder, name, samples, rate_hz, leads):
    """Write (channels, samples) mV as 16-bit integers of 5 uV; by hand, since `wfdb.wrsamp` takes ten times as long."""
    folder.mkdir(exist_ok=True)
    lines = [f"{name}.dat 16 200(0)/mV 16 0 0 0 0 {lead}" for lead in leads]
    header = f"{name} {len(leads)} {rate_hz} {samples.shape[1]}"
    (folder / f"{name}.hea").write_text("\n".join([header, *lines, ""]), encoding="ascii")
    np.round(samples.T * 200).astype("<i2").tofile(folder / f"{name}.dat")


def part_of(data, data_set, record):
    """Return the part of the splits that a record belongs to."""
    match data_set:
        case "ptb-xl":
            entry = next(e for e in splits.read_entries(data / "ptb-xl") if e.ecg_id == record)
            return splits.ptb_xl_part(entry.patient, entry.fold)
        case "cinc2017":
            return splits.cinc2017_part(record)
        case _:
            return splits.mitdb_part(record)
