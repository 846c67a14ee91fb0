"""Alarms compared with reference episodes: which were found, how late, and how many alarms were false.

After ANSI/AAMI EC57, as `epicmp` of the WFDB Software Package 10 scores atrial fibrillation; here for every label:

    episode_se    share of the reference episodes that an alarm overlaps (sensitivity)
    episode_ppv   share of the alarms that overlap a reference episode (positive predictivity)
    duration_se   share of the reference time that is also alarm time
    duration_ppv  share of the alarm time that is also reference time

Two figures are not from EC57: `false_alarms_per_hour`, and the delay from an episode's start to its first alarm. Where
the reference is unknown, an alarm is neither right nor false: EC57 ignores AF alarms within annotated flutter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from edge.lab.scoring.spans import Spans, clip, intersect, no_spans, seconds, subtract, union, within


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm of one label; stream time in seconds.

    A window over its threshold says that the event is somewhere inside it. Overlap is therefore tested on all that the
    windows cover. Time runs from the middle of the first window to the middle of the last one, because whole windows
    would make each alarm longer than its episode by a window.
    """

    raised_s: float
    covered_s: tuple[float, float]  # all that its windows over the threshold cover
    active_s: tuple[float, float]  # from the middle of the first of these windows to the middle of the last


@dataclass(frozen=True)
class Reference:
    """What the annotation says about one label."""

    episodes: Spans
    unknown: Spans = field(default_factory=no_spans)  # where it cannot be told from the annotation
    timed: bool = True  # False: the episodes are single beats, so that their length has no meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the figures are computed from; the sum over records gives EC57's gross statistics."""

    hours: float = 0.0
    episodes: int = 0  # of the reference
    found: int = 0
    already_on: int = 0  # of those found: an alarm was on when they began, so they have no delay
    alarms: int = 0
    right: int = 0  # alarms that overlap an episode
    reference_s: float = 0.0
    alarm_s: float = 0.0
    both_s: float = 0.0
    windows_with: int = 0  # windows that have the label in the reference
    windows_over: int = 0  # over the threshold
    windows_right: int = 0
    delays_s: tuple[float, ...] = ()

    def __add__(self, other: "Counts") -> "Counts":
        """Add up two records."""
        return Counts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)})

    def ratios(self) -> dict[str, tuple[float, float]]:
        """Return numerator and denominator of each figure; both can be summed over records."""
        return {
            "episode_se": (self.found, self.episodes),
            "episode_ppv": (self.right, self.alarms),
            "duration_se": (self.both_s, self.reference_s),
            "duration_ppv": (self.both_s, self.alarm_s),
            "false_alarms_per_hour": (self.alarms - self.right, self.hours),
            "window_f1": (2 * self.windows_right, self.windows_with + self.windows_over),
        }

    def median_delay_s(self) -> float | None:
        """Return the median delay; None where there is none."""
        return quantile(self.delays_s, 0.5)

    def figures(self) -> dict[str, float | None]:
        """Return each figure, None where it is undefined."""
        return {name: part / whole if whole else None for name, (part, whole) in self.ratios().items()}


def compare(reference: Reference, alarms: Sequence[Alarm], start_s: float, end_s: float) -> Counts:
    """Compare the alarms of one label with its reference in [start_s, end_s).

    An episode has no delay where an alarm was already on when it began, or where it began before `start_s`.
    """
    episodes = clip(reference.episodes, start_s, end_s)
    unknown = subtract(clip(reference.unknown, start_s, end_s), episodes)
    raised_s = np.array([alarm.raised_s for alarm in alarms])
    covered_s = np.array([alarm.covered_s for alarm in alarms]).reshape(-1, 2)
    active_s = np.clip(np.array([alarm.active_s for alarm in alarms]).reshape(-1, 2), start_s, end_s)
    scored = active_s[:, 1] > active_s[:, 0]  # EC57 drops what lies in the learning period
    raised_s, covered_s, active_s = raised_s[scored], covered_s[scored], active_s[scored]
    overlaps = (covered_s[:, :1] < episodes[:, 1]) & (covered_s[:, 1:] > episodes[:, 0])  # (alarms, episodes)
    right = overlaps.any(axis=1)
    alarm_time = subtract(union(active_s), unknown)
    first_raised_s = np.where(overlaps, raised_s[:, None], np.inf).min(axis=0, initial=np.inf)
    delays_s = first_raised_s - episodes[:, 0]
    cut_off = ~np.isin(episodes[:, 0], reference.episodes[:, 0])  # began before `start_s`
    delayed = ~cut_off & (delays_s >= 0) & np.isfinite(delays_s)
    timed = reference.timed
    return Counts(
        hours=max(end_s - start_s, 0.0) / 3600,
        episodes=len(episodes),
        found=int(np.isfinite(first_raised_s).sum()),
        already_on=int((delays_s < 0).sum()),
        alarms=int((right | ~within(unknown, active_s)).sum()),
        right=int(right.sum()),
        reference_s=seconds(episodes) if timed else 0.0,
        alarm_s=seconds(alarm_time) if timed else 0.0,
        both_s=seconds(intersect(alarm_time, episodes)) if timed else 0.0,
        delays_s=tuple(delays_s[delayed].tolist()),
    )


def quantile(values: Sequence[float], share: float) -> float | None:
    """Return a quantile; None where there are no values."""
    return float(np.quantile(values, share)) if len(values) else None
