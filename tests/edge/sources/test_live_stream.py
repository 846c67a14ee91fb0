"""A stream of a live source: its true rate, and its silences."""

from collections import Counter

import numpy as np
import pytest

from edge.core.samples import Block
from edge.sources.live_stream import LiveStream


def block(first_sample, instants=125):
    shape = (1, instants)
    return Block("bed", 250.0, ("I",), first_sample, np.zeros(shape, np.float32), np.zeros(shape, np.uint8), 0.0)


def test_the_true_rate_is_measured_and_logged(caplog):
    caplog.set_level("INFO", "edge")
    live = LiveStream("bed", 5.0, Counter(), 0.0)
    assert live.true_rate_hz is None
    for first in range(0, 200_000, 125):
        live.receive([block(first)], (first + 125) / 250.5)
    assert live.true_rate_hz == pytest.approx(250.5, abs=0.001)
    assert [record.message for record in caplog.records] == ["stream bed: 250.5000 Hz, nominally 250 Hz"]


def test_silence_and_its_end_are_counted_and_logged(caplog):
    counters = Counter()
    live = LiveStream("bed", 5.0, counters, 0.0)
    live.receive([block(0)], 0.5)
    assert live.tick(5.0) == []
    silent = live.tick(9.0)[0]
    assert live.silent
    late = live.receive([block(silent.end_sample - 100)], 9.1)[0]
    assert late.first_sample == silent.end_sample
    assert not live.silent
    assert counters == {"silences": 1, "late_instants": 100}
    assert [record.message for record in caplog.records] == [
        "stream bed: no samples arrive",
        "stream bed: samples arrive again",
    ]
