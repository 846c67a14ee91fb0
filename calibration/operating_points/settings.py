"""The settings of an alarm that tuning may choose from."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from edge.bundle.manifest import Label, Manifest
from edge.lab.scoring.reference import BEAT_LABELS

THRESHOLDS = (0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.87, 0.92, 0.96, 0.98, 0.99)
_CLEAR_SHARES = (1.0, 0.6)  # of the threshold
_ON_DELAYS_S = {"high": (0.0, 2.0, 3.0, 4.0), "medium": (5.0, 10.0, 20.0, 30.0), "low": (2.0, 5.0, 10.0, 20.0)}
_OFF_DELAYS_S = (5.0, 30.0)
_POOLED = {"high": (1, 3), "medium": (1, 5, 15), "low": (1, 5)}
# A beat is in about five windows, so an on delay of more than four seconds needs a second beat.
_BEAT_ON_DELAYS_S = (3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0)
_BEAT_POOLED = (3,)


@dataclass(frozen=True)
class Setting:
    """When one alarm is raised and ends; fields as of `edge.bundle.manifest.Label`, and the windows to pool."""

    threshold: float
    clear_threshold: float
    on_delay_s: float
    off_delay_s: float
    pooled: int


def candidate_settings(label: Label) -> tuple[Setting, ...]:
    """Return the settings to try, sorted by threshold."""
    on_delays_s: Sequence[float] = _ON_DELAYS_S[label.priority]
    pooled = _POOLED[label.priority]
    if label.abbreviation in BEAT_LABELS:
        on_delays_s, pooled = _BEAT_ON_DELAYS_S, _BEAT_POOLED
    grid = itertools.product(THRESHOLDS, _CLEAR_SHARES, on_delays_s, _OFF_DELAYS_S, pooled)
    return tuple(Setting(level, level * share, on_s, off_s, windows) for level, share, on_s, off_s, windows in grid)


def manifest_setting(label: Label, manifest: Manifest) -> Setting:
    """Return the setting of a label in a manifest."""
    clear = label.threshold if label.clear_threshold is None else label.clear_threshold
    pooled = manifest.pooling.of(label.abbreviation)
    return Setting(label.threshold, clear, label.on_delay_s, label.off_delay_s, pooled)
