"""A folder whose alarms can be worked out by hand with the tiny bundle of tests/edge."""

import pytest
from scoring_records import write_record


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
