"""Sets of stretches of time: (spans, 2) float64, start and end in seconds, sorted, disjoint. Pure.

A stretch without length is none. Knows nothing of what happens in them.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Spans = NDArray[np.float64]


def nothing() -> Spans:
    """Return no stretch."""
    return np.zeros((0, 2))


def union(pairs: Iterable[tuple[float, float]] | Spans, gap_s: float = 0.0) -> Spans:
    """Put stretches together; those that overlap, touch or lie within `gap_s` of each other become one."""
    spans = np.asarray(pairs if isinstance(pairs, np.ndarray) else list(pairs), np.float64).reshape(-1, 2)
    spans = spans[spans[:, 1] > spans[:, 0]]
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    if len(spans) < 2:
        return spans
    reached = np.maximum.accumulate(spans[:, 1])
    first = np.concatenate([[True], spans[1:, 0] - reached[:-1] > gap_s])
    last = np.concatenate([first[1:], [True]])
    return np.stack([spans[first, 0], reached[last]], axis=1)


def clip(spans: Spans, start_s: float, end_s: float) -> Spans:
    """Return what lies in [start_s, end_s)."""
    return union(np.clip(spans, start_s, end_s))


def intersect(one: Spans, other: Spans) -> Spans:
    """Return what lies in both."""
    first = np.searchsorted(other[:, 1], one[:, 0], side="right")
    count = np.maximum(np.searchsorted(other[:, 0], one[:, 1], side="left") - first, 0)
    mine = np.repeat(np.arange(len(one)), count)
    theirs = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    starts = np.maximum(one[mine, 0], other[theirs, 0])
    return np.stack([starts, np.minimum(one[mine, 1], other[theirs, 1])], axis=1)


def subtract(one: Spans, other: Spans) -> Spans:
    """Return what lies in the first alone."""
    edges = np.concatenate([[-np.inf], other.reshape(-1), [np.inf]]).reshape(-1, 2)  # what the other leaves free
    return intersect(one, edges)


def seconds(spans: Spans) -> float:
    """Return the length of all together."""
    return float((spans[:, 1] - spans[:, 0]).sum())


def within(spans: Spans, parts: Spans) -> NDArray[np.bool_]:
    """Say of each of (parts, 2) stretches, which may overlap, whether all of it lies in the spans."""
    if not len(spans):
        return np.zeros(len(parts), np.bool_)
    near = np.searchsorted(spans[:, 0], parts[:, 0], side="right") - 1
    inside: NDArray[np.bool_] = (near >= 0) & (spans[near, 1] >= parts[:, 1])
    return inside
