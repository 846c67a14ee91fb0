"""Records whose header names diagnoses by SNOMED CT: CPSC 2018 and the PhysioNet/CinC Challenges 2020 and 2021.

A header holds `#Dx: 426783006,164884008` (Perez Alday et al. 2020, doi 10.1088/1361-6579/abc960; Reyna et al.
2021, doi 10.23919/CinC53138.2021.9662687; CPSC 2018 as PhysioNet distributes it: Liu et al. 2018, doi
10.1166/jmihi.2018.2442). A label that occurs anywhere in a set is absent in the records that do not name it; a label
that never occurs is unknown. SR is also unknown if another rhythm of the sinus node is named. OTHER holds if a rhythm
is named that has no label of its own.

No patients are named, so each record counts as one patient; that may be wrong. Copies of PTB-XL are skipped, because
its fold 10 is a test set.
"""

from collections.abc import Iterator
from pathlib import Path

from training.data.labels import WindowLabels, statement_name
from training.data.windows import INPUT, STRETCH_S, Stretch, cut_stretch, read_record, stretch_starts
from training.errors import DataError

_CODES = {
    "SR": {"426783006"},
    "AF": {"164889003"},
    "AFL": {"164890007"},
    "SVT": {"426761007"},
    "VT": {"164895002", "111288001"},
    "PVC": {"427172004", "17338001", "164884008"},
    "PAC": {"284470004", "63593006"},
    "BIGEMINY": {"11157007"},
    "TRIGEMINY": {"251180001"},
    "SBRAD": {"426177001"},
    "STACH": {"427084000"},
    "AVB1": {"270492004"},
    "LBBB": {"164909002", "733534002"},
    "RBBB": {"59118001", "713427006"},
    "PACED": {"10370003"},
    statement_name("STD_"): {"429622005"},
    statement_name("STE_"): {"164931005"},
}
_OTHER = {"164890007", "426761007", "713422000", "11157007", "251180001", "10370003", "195042002", "27885002"}
_OTHER_SINUS = {"426177001", "427084000", "427393009"}  # bradycardia, tachycardia, arrhythmia
_PTB_XL = ("ptb-xl", "WFDB_PTBXL", "HR")  # folders, and the beginning of the records' names


def diagnoses(header: Path) -> frozenset[str]:
    """Read the SNOMED CT codes of a header; DataError if it names none."""
    try:
        # Some headers have names in another encoding; only the codes matter.
        lines = header.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as exc:
        raise DataError(f"{header}: cannot be read ({exc.strerror})") from exc
    for line in lines:
        key, _, codes = line.removeprefix("#").strip().partition(":")
        if key == "Dx":
            return frozenset(code.strip() for code in codes.split(",") if code.strip())
    raise DataError(f"{header}: names no diagnosis (#Dx: codes)")


def read_diagnoses(folder: Path) -> dict[Path, frozenset[str]]:
    """Read the codes of every record below a folder, by the path of its header; DataError if there is none."""
    headers = [path for path in sorted(folder.rglob("*.hea")) if not _is_ptb_xl(path.relative_to(folder))]
    if not headers:
        raise DataError(f"{folder}: no record (*.hea) there")
    return {path: diagnoses(path) for path in headers}


def _is_ptb_xl(path: Path) -> bool:
    *folders, first = _PTB_XL
    return path.name.startswith(first) or any(part in folders for part in path.parts)


def occurring_labels(sets_of_codes: Iterator[frozenset[str]]) -> frozenset[str]:
    """Return the labels that occur in a set."""
    every = frozenset[str]().union(*sets_of_codes)
    return frozenset(name for name, codes in _CODES.items() if codes & every)


def record_labels(codes: frozenset[str], occurring: frozenset[str]) -> WindowLabels:
    """Return the labels of a record with these codes, in a set in which the labels `occurring` occur."""
    labels = WindowLabels()
    for name in occurring:
        labels.set(name, bool(codes & _CODES[name]))
    if codes & _OTHER_SINUS and not codes & _CODES["SR"]:
        labels.set("SR", None)
    # Only a record of sinus rhythm and nothing else surely has no other abnormal rhythm.
    labels.set("OTHER", True if codes & _OTHER else (False if codes == _CODES["SR"] else None))
    return labels


def stretches(folder: Path) -> Iterator[Stretch]:
    """Yield the stretches of every record; a remainder shorter than a stretch is left out."""
    records = read_diagnoses(folder)
    occurring = occurring_labels(iter(records.values()))
    for header, codes in records.items():
        labels = record_labels(codes, occurring)
        recording = read_record(header.with_suffix(""))
        for start in stretch_starts(recording.samples.shape[1], STRETCH_S):
            signal, keep = cut_stretch(recording, start)
            yield Stretch(header.stem, header.stem, start / INPUT.sample_rate_hz, signal, keep, labels)
