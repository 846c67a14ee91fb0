"""The account of a stream balances after every step."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.core.samples import Cause
from edge.signal.account import SampleAccount

causes = st.lists(st.sampled_from([0, 0, 0, *range(1, 11)]), max_size=50)


def balanced(account):
    return account.samples_in == account.classified + sum(account.missing.values()) + account.pending


@given(st.lists(st.tuples(causes, st.integers(0, 60), st.booleans()), max_size=20))
def test_balances_at_any_moment(steps):
    account, settled = SampleAccount(), 0
    for codes, reach, good in steps:
        account.add(np.array(codes, np.uint8))
        assert balanced(account)
        if good:
            account.classify(settled, settled + reach)
            assert balanced(account)
        settled = min(settled + reach // 2, account.samples_in)
        account.settle(settled, Cause.BAD_QUALITY)
        assert balanced(account)
    account.settle(account.samples_in, Cause.TAIL)
    assert account.pending == 0
    assert balanced(account)
    assert account.samples_in == sum(len(codes) for codes, _, _ in steps)


def test_overlapping_windows_count_an_instant_once():
    account = SampleAccount()
    account.add(np.array([0, 0, Cause.CRC, 0, 0, 0], np.uint8))
    account.classify(0, 4)
    account.settle(2, Cause.BAD_QUALITY)
    account.classify(2, 6)
    assert (account.classified, account.pending, dict(account.missing)) == (5, 0, {Cause.CRC: 1})


def test_instants_in_no_good_window_have_their_cause():
    account = SampleAccount()
    account.add(np.zeros(10, np.uint8))
    account.classify(0, 4)
    account.settle(7, Cause.BAD_QUALITY)
    account.settle(10, Cause.TAIL)
    assert (account.classified, dict(account.missing)) == (4, {Cause.BAD_QUALITY: 3, Cause.TAIL: 3})


runs = st.lists(st.tuples(st.sampled_from([0, Cause.SEQUENCE_GAP, Cause.SILENT, Cause.CRC]), st.integers(1, 9)))
spans = st.lists(st.tuples(st.integers(-5, 60), st.integers(0, 20)), max_size=12)


@given(runs, spans)
def test_late_instants_are_counted_once_however_often_they_arrive(runs, spans):
    account, codes = SampleAccount(), [cause for cause, size in runs for _ in range(size)]
    for cause, size in runs:
        account.add(np.full(size, cause, np.uint8))
    for first, size in spans:
        arrived = account.arrive_late(first, first + size)
        late = [k for k in range(max(first, 0), first + size) if codes[k : k + 1] in ([1], [7])]
        assert arrived == len(late)
        for k in late:
            codes[k] = Cause.LATE
        assert dict(account.missing) == {Cause(c): codes.count(c) for c in set(codes) - {0}}
        assert balanced(account)
