"""Records whose alarms with the tiny bundle of tests/edge can be computed by hand."""

import numpy as np
import wfdb

RATE_HZ = 250
SECONDS = 120


def write_record(folder, name, loud, rhythms, *, symbols=None, seconds=SECONDS):
    """Write a lead of an 8 Hz sine, 0.2 mV but where `loud` says, with a beat a second and rhythm notes.

    The tiny bundle calls AF from a mean square of 0.05 mV^2 (0.2 mV have 0.02, 0.5 mV 0.125), and VT from 0.4.
    """
    times_s = np.arange(seconds * RATE_HZ) / RATE_HZ
    amplitude = np.full(times_s.size, 0.2)
    for start, end, mv in loud:
        amplitude[(times_s >= start) & (times_s < end)] = mv
    signal = (amplitude * np.sin(2 * np.pi * 8 * times_s))[:, None]
    wfdb.wrsamp(name, RATE_HZ, ["mV"], ["II"], p_signal=signal, fmt=["16"], write_dir=str(folder))
    symbols = symbols or "N" * seconds
    marks = [((0.5 + beat) * RATE_HZ, symbol, "") for beat, symbol in enumerate(symbols)]
    marks += [(start * RATE_HZ, "+", note) for note, start in rhythms]
    marks.sort()
    wfdb.wrann(
        name,
        "atr",
        np.array([mark[0] for mark in marks]).astype(int),
        symbol=[mark[1] for mark in marks],
        aux_note=[mark[2] for mark in marks],
        write_dir=str(folder),
    )
