"""Spans compared with sets of whole seconds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.lab.scoring.spans import clip, intersect, no_spans, seconds, subtract, union, within

pairs = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)


def cells(spans):
    return {second for start, end in spans for second in range(int(start), int(end))}


@given(pairs, pairs, st.integers(0, 30), st.integers(0, 30))
def test_against_sets_of_seconds(one, other, start, end):
    a, b = union(one), union(other)
    assert cells(a) == cells(one)
    assert cells(intersect(a, b)) == cells(one) & cells(other)
    assert cells(subtract(a, b)) == cells(one) - cells(other)
    assert cells(clip(a, start, end)) == cells(one) & set(range(start, end))
    assert seconds(a) == len(cells(one))
    if start < end:
        assert within(a, np.array([[start, end]])).tolist() == [set(range(start, end)) <= cells(one)]


@given(pairs)
def test_spans_are_sorted_and_disjoint(one):
    spans = union(one)
    assert (np.diff(spans.reshape(-1)) > 0).all()


def test_gaps_are_bridged():
    assert union([(0, 1), (3, 4), (8, 9)], gap_s=2).tolist() == [[0, 4], [8, 9]]


def test_no_spans():
    assert seconds(no_spans()) == 0
    assert not within(no_spans(), np.array([[0, 1]])).any()
    assert subtract(no_spans(), union([(0, 1)])).shape == (0, 2)
