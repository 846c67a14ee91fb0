"""The account of a stream balances after every single step."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.core.samples import Cause
from edge.signal.account import Ledger

causes = st.lists(st.sampled_from([0, 0, 0, *range(1, 11)]), max_size=50)


def balanced(ledger):
    return ledger.samples_in == ledger.classified + sum(ledger.missing.values()) + ledger.pending


@given(st.lists(st.tuples(causes, st.integers(0, 60), st.booleans()), max_size=20))
def test_balances_at_any_moment(steps):
    ledger, settled = Ledger(), 0
    for codes, reach, good in steps:
        ledger.arrive(np.array(codes, np.uint8))
        assert balanced(ledger)
        if good:
            ledger.classify(settled, settled + reach)
            assert balanced(ledger)
        settled = min(settled + reach // 2, ledger.samples_in)
        ledger.settle(settled, Cause.BAD_QUALITY)
        assert balanced(ledger)
    ledger.settle(ledger.samples_in, Cause.TAIL)
    assert ledger.pending == 0
    assert balanced(ledger)
    assert ledger.samples_in == sum(len(codes) for codes, _, _ in steps)


def test_overlapping_windows_count_an_instant_once():
    ledger = Ledger()
    ledger.arrive(np.array([0, 0, Cause.CRC, 0, 0, 0], np.uint8))
    ledger.classify(0, 4)
    ledger.settle(2, Cause.BAD_QUALITY)
    ledger.classify(2, 6)
    assert (ledger.classified, ledger.pending, dict(ledger.missing)) == (5, 0, {Cause.CRC: 1})


def test_what_no_good_window_held_has_its_cause():
    ledger = Ledger()
    ledger.arrive(np.zeros(10, np.uint8))
    ledger.classify(0, 4)
    ledger.settle(7, Cause.BAD_QUALITY)
    ledger.settle(10, Cause.TAIL)
    assert (ledger.classified, dict(ledger.missing)) == (4, {Cause.BAD_QUALITY: 3, Cause.TAIL: 3})


runs = st.lists(st.tuples(st.sampled_from([0, Cause.SEQUENCE_GAP, Cause.SILENT, Cause.CRC]), st.integers(1, 9)))
spans = st.lists(st.tuples(st.integers(-5, 60), st.integers(0, 20)), max_size=12)


@given(runs, spans)
def test_what_comes_late_is_counted_once_however_often_it_comes(runs, spans):
    ledger, codes = Ledger(), [cause for cause, size in runs for _ in range(size)]
    for cause, size in runs:
        ledger.arrive(np.full(size, cause, np.uint8))
    for first, size in spans:
        came = ledger.come_late(first, first + size)
        late = [k for k in range(max(first, 0), first + size) if codes[k : k + 1] in ([1], [7])]
        assert came == len(late)
        for k in late:
            codes[k] = Cause.LATE
        assert dict(ledger.missing) == {Cause(c): codes.count(c) for c in set(codes) - {0}}
        assert balanced(ledger)
