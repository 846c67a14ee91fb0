"""Alarms against reference episodes: what was found, how late, and how often nothing was there.

After ANSI/AAMI EC57 as `epicmp` of the WFDB Software Package 10 does it for atrial fibrillation, here for every label:

    episode_se    reference episodes that an alarm overlaps, of all reference episodes
    episode_ppv   alarms that overlap a reference episode, of all alarms
    duration_se   time of both, of the time of the reference episodes
    duration_ppv  time of both, of the time of the alarms

Any overlap counts, the learning period is cut off, and where the reference is open nothing is held against an alarm:
an AF alarm within annotated flutter is none, as EC57 has it. Two figures are of the ward and not of EC57:
`false_alarms_per_hour`, of alarms that overlap nothing, and the delay from an episode's start until its first alarm is
raised. An episode that began under an alarm that was on already was announced by another, and has no delay.

A window over the threshold says that something is somewhere in it, so overlap is asked of all that an alarm's windows
saw; time is counted from the middle of its first window over the threshold to the middle of its last, and so has
neither a lead nor a lag of half a window. Pure; knows no label and no record.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from edge.lab.scoring.spans import Spans, clip, intersect, nothing, seconds, subtract, union, within


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm of one label; stream time in seconds."""

    raised_s: float  # when it was announced
    seen: tuple[float, float]  # what its windows over the threshold cover
    claim: tuple[float, float]  # what they speak for


@dataclass(frozen=True)
class Reference:
    """What the annotation says about one label."""

    episodes: Spans
    open: Spans = field(default_factory=nothing)  # where it says nothing
    timed: bool = True  # False: the episodes are moments, whose length means nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What figures are made of; those of several records add up to EC57's gross statistics."""

    hours: float = 0.0
    episodes: int = 0  # of the reference
    found: int = 0
    already_on: int = 0  # of those found: an alarm was on when they began
    alarms: int = 0
    right: int = 0
    reference_s: float = 0.0
    alarm_s: float = 0.0
    both_s: float = 0.0
    windows_with: int = 0  # by the reference
    windows_over: int = 0  # over the threshold
    windows_right: int = 0
    delays_s: tuple[float, ...] = ()

    def __add__(self, other: "Counts") -> "Counts":
        """Add up two records."""
        return Counts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)})

    def ratios(self) -> dict[str, tuple[float, float]]:
        """Return numerator and denominator of each figure; both are sums over records."""
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

    An episode that began before `start_s` has no delay either.
    """
    episodes = clip(reference.episodes, start_s, end_s)
    left_open = subtract(clip(reference.open, start_s, end_s), episodes)
    raised_s = np.array([alarm.raised_s for alarm in alarms])
    seen, claims = (np.array([getattr(alarm, name) for alarm in alarms]).reshape(-1, 2) for name in ("seen", "claim"))
    claims = np.clip(claims, start_s, end_s)
    here = claims[:, 1] > claims[:, 0]
    raised_s, seen, claims = raised_s[here], seen[here], claims[here]
    meets = (seen[:, :1] < episodes[:, 1]) & (seen[:, 1:] > episodes[:, 0])  # (alarms, episodes)
    right = meets.any(axis=1)
    claimed = subtract(union(claims), left_open)
    first_s = np.where(meets, raised_s[:, None], np.inf).min(axis=0, initial=np.inf)
    late_s = first_s - episodes[:, 0]
    new = np.isin(episodes[:, 0], reference.episodes[:, 0]) & (late_s >= 0) & np.isfinite(late_s)
    timed = reference.timed
    return Counts(
        hours=max(end_s - start_s, 0.0) / 3600,
        episodes=len(episodes),
        found=int(np.isfinite(first_s).sum()),
        already_on=int((late_s < 0).sum()),
        alarms=int((right | ~within(left_open, claims)).sum()),
        right=int(right.sum()),
        reference_s=seconds(episodes) if timed else 0.0,
        alarm_s=seconds(claimed) if timed else 0.0,
        both_s=seconds(intersect(claimed, episodes)) if timed else 0.0,
        delays_s=tuple(late_s[new].tolist()),
    )


def quantile(values: Sequence[float], share: float) -> float | None:
    """Return a quantile; None of nothing."""
    return float(np.quantile(values, share)) if len(values) else None
