"""The reference annotation of a WFDB record: beats, rhythms and noisy spans.

Written for MIT-BIH; other sets with rhythm notes or beats are read in the same way. Needs the `wfdb` package, imported
on first use. Symbols and notes: https://physionet.org/physiotools/wfdb/wfdb/ecgcodes.h and the MIT-BIH directory.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.core.errors import RecordError
from edge.lab.scoring.beats import Beats
from edge.lab.scoring.challenge import ListedAlarm

_BEATS = frozenset("NLRBAaJSVrFejnE/fQ!")  # beats, and the waves (!) of ventricular flutter
_QUALITY_CHANGE = "~"
_MARKS = _QUALITY_CHANGE + "|"  # and isolated artefacts
_PAST_END_S = 1.0  # annotators mark the last beat or the end itself a little late


class NamedSpan(NamedTuple):
    """The time between one change of rhythm, or of signal quality, and the next."""

    name: str
    start_s: float
    end_s: float

    def overlap_s(self, start_s: float, end_s: float) -> float:
        """Seconds of the span that lie in [start_s, end_s)."""
        return max(0.0, min(self.end_s, end_s) - max(self.start_s, start_s))


@dataclass(frozen=True)
class Annotation:
    """The reference annotation of one record."""

    times_s: NDArray[np.float64]  # (beats,)
    symbols: NDArray[np.str_]  # (beats,)
    rhythms: tuple[NamedSpan, ...]  # named by their notes, such as (AFIB
    end_s: float
    qrs: Beats | None = None  # as EC57 compares them; None where no beat is annotated
    noisy: tuple[NamedSpan, ...] = ()  # spans in which the annotators found any lead noisy
    classes: Beats | None = None  # with the classes that a beat network has; None where no class is annotated
    marks_s: tuple[float, ...] = ()  # artefacts and changes of signal quality; beats near them may not be annotated
    judged: frozenset[str] | None = None  # labels that the annotation tells; None: all that its content allows
    listed: ListedAlarm | None = None  # the alarm of a bedside monitor that the record is about

    def beats(self, start_s: float, end_s: float) -> NDArray[np.str_]:
        """Symbols of the beats in [start_s, end_s)."""
        first, last = np.searchsorted(self.times_s, (start_s, end_s))
        return self.symbols[first:last]

    def judges(self, label: str) -> bool:
        """Return whether the annotation may tell where a label holds."""
        return self.judged is None or label in self.judged

    def noted(self, *notes: str) -> list[tuple[float, float]]:
        """Start and end of the spans with one of these rhythm notes."""
        return [(start, end) for note, start, end in self.rhythms if note in notes]

    @property
    def sinus_throughout(self) -> bool:
        """Whether no rhythm but sinus rhythm is noted."""
        return {note for note, _, _ in self.rhythms} == {"(N"}


def read_annotation(path: Path, annotator: str = "atr") -> Annotation:
    """Read the annotation `<path>.<annotator>` of a record.

    Raises
    ------
    RecordError
        When it cannot be read, or wfdb is not installed.
    """
    try:
        import wfdb

        raw = wfdb.rdann(str(path), annotator)
        header = wfdb.rdheader(str(path))
        end_s = float(header.sig_len / header.fs)
    except ImportError as exc:
        raise RecordError("annotations need the wfdb package: pip install 'ecg-nat[data]'") from exc
    except (OSError, ValueError, IndexError, TypeError) as exc:  # all seen on bad files
        raise RecordError(f"{path}.{annotator}: cannot be read as a WFDB annotation ({exc})") from exc
    times, symbols = raw.sample / float(raw.fs or header.fs), np.array(raw.symbol, np.str_)
    _check(path, annotator, times, end_s)
    beats = np.isin(symbols, list(_BEATS))
    return Annotation(
        times[beats],
        symbols[beats],
        tuple(_rhythms(raw, times, end_s)),
        end_s,
        Beats.of(times, raw.symbol) if beats.any() else None,
        tuple(_noisy(raw, times, end_s)),
        Beats.of(times, raw.symbol) if beats.any() else None,
        tuple(map(float, times[np.isin(symbols, list(_MARKS))])),
    )


def _check(path: Path, annotator: str, times: NDArray[np.float64], end_s: float) -> None:
    """Raise RecordError when annotations at these times cannot belong to the record."""
    name = f"{path.name}.{annotator}"
    if not times.size:
        raise RecordError(f"{path}: {name} holds no annotations")
    if _is_text(Path(f"{path}.{annotator}")):
        raise RecordError(f"{path}: {name} is a text file, not a WFDB annotation")
    if (np.diff(times) < 0).any() or times[0] < 0:
        raise RecordError(f"{path}: the annotations in {name} are not in order of time")
    if times[-1] > end_s + _PAST_END_S:
        raise RecordError(f"{path}: the annotations end at {times[-1]:.0f} s, the record at {end_s:.0f} s")


def _is_text(path: Path) -> bool:
    content = path.read_bytes()
    return content.isascii() and "".join(content.decode("ascii").split()).isprintable()


def patient_of(record: str) -> str:
    """Name the patient of a record. Records 201 and 202 of MIT-BIH are one person; other records one person each."""
    return "201" if record == "202" else record


def _rhythms(raw: Any, times: NDArray[np.float64], end_s: float) -> Iterator[NamedSpan]:  # noqa: ANN401  of wfdb
    notes = ((note.rstrip("\x00"), time) for note, time in zip(raw.aux_note, times, strict=True) if note[:1] == "(")
    return _until_next(notes, end_s)


def _noisy(raw: Any, times: NDArray[np.float64], end_s: float) -> Iterator[NamedSpan]:  # noqa: ANN401  of wfdb
    changes = (
        ("noisy" if subtype else "", time)  # each bit of the subtype is a noisy lead; 0: all are clean again
        for symbol, subtype, time in zip(raw.symbol, raw.subtype, times, strict=True)
        if symbol == _QUALITY_CHANGE
    )
    return (span for span in _until_next(changes, end_s) if span.name)


def _until_next(changes: Iterator[tuple[str, float]], end_s: float) -> Iterator[NamedSpan]:
    """Yield a span from each change to the next one, the last span to the record's end."""
    for (name, start), (_, end) in itertools.pairwise([*changes, ("", end_s)]):
        yield NamedSpan(name, float(start), float(end))
