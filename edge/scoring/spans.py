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
    merged: list[list[float]] = []
    for start, end in sorted((float(start), float(end)) for start, end in pairs):
        if end <= start:
            continue
        if merged and start - merged[-1][1] <= gap_s:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return np.array(merged, np.float64).reshape(-1, 2)


def clip(spans: Spans, start_s: float, end_s: float) -> Spans:
    """Return what lies in [start_s, end_s)."""
    return union(np.clip(spans, start_s, end_s))


def intersect(one: Spans, other: Spans) -> Spans:
    """Return what lies in both."""
    return union((max(a, c), min(b, d)) for a, b in one for c, d in other)


def subtract(one: Spans, other: Spans) -> Spans:
    """Return what lies in the first alone."""
    edges = np.concatenate([[-np.inf], other.reshape(-1), [np.inf]]).reshape(-1, 2)  # what the other leaves free
    return intersect(one, edges)


def seconds(spans: Spans) -> float:
    """Return the length of all together."""
    return float((spans[:, 1] - spans[:, 0]).sum())


def touches(spans: Spans, start_s: float, end_s: float) -> bool:
    """Say whether any part lies in (start_s, end_s)."""
    return bool(((spans[:, 0] < end_s) & (spans[:, 1] > start_s)).any())
