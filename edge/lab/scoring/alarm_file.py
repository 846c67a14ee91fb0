"""Writes alarms as a WFDB annotation file, so that any WFDB viewer shows them beside the reference.

Each alarm gets a comment (") where it was raised and one where it ended, such as `AF on` and `AF off`. A viewer finds
the file under the annotator `alarms` once its folder is on the WFDB path. Needs the `wfdb` package.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.alarms.machine import AlarmEvent
from edge.core.errors import RecordError

ANNOTATOR = "alarms"
_COMMENT = '"'
_NOTES = {"raised": "on", "cleared": "off"}


def write_alarms(folder: Path, record: str, sample_rate_hz: float, events: Sequence[AlarmEvent]) -> Path:
    """Write `<folder>/<record>.alarms` and return its path; a record without alarms gets no file.

    WFDB has no empty annotation files.

    Raises
    ------
    RecordError
        When the file cannot be written, or WFDB does not allow the record's name.
    """
    path = folder / f"{record}.{ANNOTATOR}"
    notes = [(event.end_sample, f"{event.spec.label} {_NOTES[event.kind]}") for event in events if event.kind in _NOTES]
    path.unlink(missing_ok=True)  # of an earlier run: a record without alarms must not keep it
    if not notes:
        return path
    try:
        import wfdb

        wfdb.wrann(
            record,
            ANNOTATOR,
            np.array([sample for sample, _ in notes], np.int64),
            symbol=[_COMMENT] * len(notes),
            aux_note=[note for _, note in notes],
            fs=sample_rate_hz,
            write_dir=str(folder),
        )
    except ImportError as exc:
        raise RecordError("annotation files need the wfdb package: pip install 'ecg-nat[data]'") from exc
    except (OSError, ValueError) as exc:
        raise RecordError(f"{path}: cannot be written: {exc}") from exc
    return path
