"""Writes a strip as a WFDB record with an annotation, for any WFDB viewer. Needs the `wfdb` package.

Signals are the integers of the evidence at the model's rate, format 16; the header's comments describe the alert. The
annotation, a comment at the window's end, is under the annotator `alarms`, as `ecg-edge score --out` writes it.
"""

from pathlib import Path

import numpy as np

from edge.alarms.evidence import UNITS_PER_MV
from edge.core.errors import RecordError
from edge.lab.evidence.strip import Strip
from edge.lab.scoring.alarm_file import ANNOTATOR

_COMMENT = '"'


def write_record(strip: Strip, folder: Path) -> list[Path]:
    """Write `<folder>/<id>.hea`, `.dat` and `.alarms` and return their paths.

    Raises
    ------
    RecordError
        When wfdb is not installed, or the files cannot be written.
    """
    try:
        import wfdb
    except ImportError as exc:
        raise RecordError("a WFDB record needs the wfdb package: pip install 'ecg-nat[evidence]'") from exc
    # The integers of the evidence as they are, so that the record holds exactly what the model saw.
    count = len(strip.leads)
    try:
        wfdb.wrsamp(
            strip.id,
            fs=strip.sample_rate_hz,
            units=["mV"] * count,
            sig_name=list(strip.leads),
            d_signal=np.rint(strip.signal_mv.T * UNITS_PER_MV).astype(np.int16),
            fmt=["16"] * count,
            adc_gain=[float(UNITS_PER_MV)] * count,
            baseline=[0] * count,
            comments=[strip.heading, *strip.details],
            write_dir=str(folder),
        )
        wfdb.wrann(
            strip.id,
            ANNOTATOR,
            np.array([strip.signal_mv.shape[1] - 1], np.int64),
            symbol=[_COMMENT],
            aux_note=[strip.note],
            fs=strip.sample_rate_hz,
            write_dir=str(folder),
        )
    except (OSError, ValueError) as exc:
        raise RecordError(f"{folder / strip.id}: cannot be written: {exc}") from exc
    return [folder / f"{strip.id}.{extension}" for extension in ("hea", "dat", ANNOTATOR)]
