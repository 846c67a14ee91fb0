"""Arithmetic of time spans: (spans, 2) float64, start and end in seconds, sorted and disjoint.

A span has a length: empty ones are dropped.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Spans = NDArray[np.float64]


def no_spans() -> Spans:
    """Return an empty set of spans."""
    return np.zeros((0, 2))


def union(pairs: Iterable[tuple[float, float]] | Spans, gap_s: float = 0.0) -> Spans:
    """Merge spans; those that overlap, touch or lie within `gap_s` of each other become one."""
    spans = np.asarray(pairs if isinstance(pairs, np.ndarray) else list(pairs), np.float64).reshape(-1, 2)
    spans = spans[spans[:, 1] > spans[:, 0]]
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    if len(spans) < 2:
        return spans
    latest_end = np.maximum.accumulate(spans[:, 1])  # a span may lie inside an earlier, longer one
    first = np.concatenate([[True], spans[1:, 0] - latest_end[:-1] > gap_s])
    last = np.concatenate([first[1:], [True]])
    return np.stack([spans[first, 0], latest_end[last]], axis=1)


def clip(spans: Spans, start_s: float, end_s: float) -> Spans:
    """Return the parts of the spans in [start_s, end_s)."""
    return union(np.clip(spans, start_s, end_s))


def intersect(one: Spans, other: Spans) -> Spans:
    """Return the time that lies in both."""
    # Spans are sorted and disjoint, so those of `other` that overlap one span are a run: from `first`, `count` of them.
    first = np.searchsorted(other[:, 1], one[:, 0], side="right")
    count = np.maximum(np.searchsorted(other[:, 0], one[:, 1], side="left") - first, 0)
    mine = np.repeat(np.arange(len(one)), count)
    theirs = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    starts = np.maximum(one[mine, 0], other[theirs, 0])
    return np.stack([starts, np.minimum(one[mine, 1], other[theirs, 1])], axis=1)


def subtract(one: Spans, other: Spans) -> Spans:
    """Return the time that lies in `one` but not in `other`."""
    outside = np.concatenate([[-np.inf], other.reshape(-1), [np.inf]]).reshape(-1, 2)  # the complement of `other`
    return intersect(one, outside)


def seconds(spans: Spans) -> float:
    """Return the total length."""
    return float((spans[:, 1] - spans[:, 0]).sum())


def within(spans: Spans, parts: Spans) -> NDArray[np.bool_]:
    """Return for each of (parts, 2) time spans, which may overlap, whether all of it lies in one span."""
    if not len(spans):
        return np.zeros(len(parts), np.bool_)
    nearest = np.searchsorted(spans[:, 0], parts[:, 0], side="right") - 1  # the last span that starts before the part
    inside: NDArray[np.bool_] = (nearest >= 0) & (spans[nearest, 1] >= parts[:, 1])
    return inside
