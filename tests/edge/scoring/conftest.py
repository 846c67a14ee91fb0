"""A record whose alarms can be worked out by hand with the tiny bundle of tests/edge."""

import numpy as np
import pytest
import wfdb

RATE_HZ = 250
SECONDS = 120


def write_record(folder, name, loud, rhythms, *, symbols=None):
    """Write a lead of an 8 Hz sine, 0.2 mV but where `loud` says, with a beat a second and rhythm notes.

    The tiny bundle calls AF from a mean square of 0.05 mV^2 (0.2 mV have 0.02, 0.5 mV 0.125), and VT from 0.4.
    """
    times_s = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    amplitude = np.full(times_s.size, 0.2)
    for start, end, mv in loud:
        amplitude[(times_s >= start) & (times_s < end)] = mv
    signal = (amplitude * np.sin(2 * np.pi * 8 * times_s))[:, None]
    wfdb.wrsamp(name, RATE_HZ, ["mV"], ["II"], p_signal=signal, fmt=["16"], write_dir=str(folder))
    symbols = symbols or "N" * SECONDS
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


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Two records of one patient, one of another, one of sinus rhythm.

    201  AF from 20 to 40 s: found
    202  AF from 60 to 90 s: not found; an alarm at the end of the record instead
    301  AF from 30 to 50 s: found; a run of VT that raises AF and VT
    302  sinus rhythm without an alarm
    """
    path = tmp_path_factory.mktemp("set") / "mitdb"
    path.mkdir()
    write_record(path, "201", [(20, 40, 0.5)], [("(N", 0), ("(AFIB", 20), ("(N", 40)])
    write_record(path, "202", [(100, 120, 0.5)], [("(N", 0), ("(AFIB", 60), ("(N", 90)])
    vt = "N" * 80 + "V" * 4 + "N" * 36
    write_record(
        path,
        "301",
        [(30, 50, 0.5), (80, 84, 1.8)],
        [("(N", 0), ("(AFIB", 30), ("(N", 50), ("(VT", 80), ("(N", 84)],
        symbols=vt,
    )
    write_record(path, "302", [], [("(N", 0)])
    return path
