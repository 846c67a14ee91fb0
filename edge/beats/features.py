"""What the beat network sees of a beat: snippets, templates and features; the one code for training and device.

A beat is described when its snippet is complete and the next beat is known, or when none came for two seconds. So it
is at most one beat late. Pure; time is the stream's own, in seconds at 100 Hz.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.beats import intervals
from edge.beats.intervals import LONGEST_S, Intervals, LongIntervals
from edge.beats.snippets import AFTER, LENGTH, RATE_HZ, SnippetBuffer
from edge.beats.templates import NOT_KNOWN, QRS, Likeness, Templates, unit, unit_windows, wide_qrs

CHANNELS = 3  # of a snippet: beat, template, difference
_SEEN_NEXT_S = 0.22  # of the next beat: its QRS complex
_WAIT_S = LONGEST_S + _SEEN_NEXT_S + 0.2
_SEQUENCE = 8  # beats before that are features
_SEQUENCE_WIDTH = 4
_LIMIT = 6.0  # of a scaled snippet
_TOGETHER = 4  # beats before that a beat's shape is compared with
FEATURES = intervals.COUNT + 7 + _SEQUENCE * _SEQUENCE_WIDTH + _TOGETHER + 1 + 4 + LongIntervals.COUNT
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Described:
    """A beat as the network sees it."""

    time_s: float
    snippets: Array  # (leads, channels, samples), in heights of the template's QRS complex
    keep: NDArray[np.bool_]  # (leads,) True where the lead is good
    features: Array  # (features,)
    before_s: float | None  # interval to the beat before; None behind a gap


@dataclass(slots=True)
class _Pending:
    time_s: float
    joined: bool  # no gap lies between it and the beat before
    quality: NDArray[np.bool_]  # (leads,) True where the detector heard the lead


@dataclass(slots=True)
class _Past:
    """What is kept of a beat that was described."""

    rr: float  # log of the interval before it, of the usual one
    likeness: Likeness
    qrs: Array  # (leads, samples) as `unit` makes it
    keep: NDArray[np.bool_]


@dataclass
class BeatDescriber:
    """Describes the beats of one stream.

    Parameters
    ----------
    leads : number of leads
    """

    leads: int
    buffer: SnippetBuffer = field(init=False)

    def __post_init__(self) -> None:
        """Begin with nothing known."""
        self.buffer = SnippetBuffer(self.leads)
        self._templates = Templates(self.leads)
        self._intervals = Intervals()
        self._long = LongIntervals()
        self._pending: deque[_Pending] = deque()
        self._past: deque[_Past] = deque(maxlen=_SEQUENCE)
        self._last_s: float | None = None

    def add(self, times_s: Sequence[float], quality: NDArray[np.bool_], broken_until_s: float | None = None) -> None:
        """Take new beats in the order of time.

        Parameters
        ----------
        times_s : of the beats
        quality : (leads,) True where a lead is good
        broken_until_s : no interval may lead across this instant
        """
        for time_s in times_s:
            before = self._pending[-1].time_s if self._pending else self._last_s
            joined = before is not None and (broken_until_s is None or before >= broken_until_s)
            self._pending.append(_Pending(time_s, joined, quality))

    def take(self, end_s: float | None = None) -> Iterator[Described]:
        """Yield each beat that can be described now; with `end_s`, the end of the stream, all that are left."""
        there_s = self.buffer.end / RATE_HZ
        while self._pending:
            beat, follows = self._pending[0], self._pending[1] if len(self._pending) > 1 else None
            complete = there_s >= beat.time_s + AFTER / RATE_HZ
            known = there_s >= (follows.time_s + _SEEN_NEXT_S if follows else beat.time_s + _WAIT_S)
            if end_s is None and not (complete and known):
                return
            self._pending.popleft()
            yield self._describe(beat, follows)

    def _describe(self, beat: _Pending, follows: _Pending | None) -> Described:
        centre = round(beat.time_s * RATE_HZ)
        snippet, there = self.buffer.cut(centre)
        keep = there & beat.quality if (there & beat.quality).any() else there
        before_s = beat.time_s - self._last_s if beat.joined and self._last_s is not None else None
        after_s = follows.time_s - beat.time_s if follows and follows.joined else None
        if after_s is not None and after_s >= LONGEST_S:
            after_s = None
        likeness = self._templates.compare(snippet, keep)
        usual = self._intervals.usual()
        features = [
            *self._intervals.features(before_s, after_s),
            *likeness.values(),
            *self._sequence(),
            *self._together(snippet, keep, follows if after_s is not None else None),
            float(keep.sum() > 1),
            *self._long.features(before_s),
        ]
        described = Described(
            beat.time_s, self._channels(snippet, keep), keep, np.array(features, np.float32), before_s
        )
        self._remember(beat, snippet, keep, likeness, before_s, usual)
        return described

    def _channels(self, snippet: Array, keep: NDArray[np.bool_]) -> Array:
        scaled = np.clip(self._templates.scaled(snippet), -_LIMIT, _LIMIT)
        usual = np.clip(self._templates.scaled(self._templates.values), -_LIMIT, _LIMIT)
        channels = np.stack([scaled, usual, scaled - usual], axis=1)
        channels[~keep] = 0.0
        return channels

    def _sequence(self) -> list[float]:
        """Return how the beats before came and looked, the last first."""
        values: list[float] = []
        for past in reversed(self._past):
            values += [past.rr, past.likeness.qrs, past.likeness.p_change, past.likeness.height]
        return values + [0.0] * (_SEQUENCE * _SEQUENCE_WIDTH - len(values))

    def _together(self, snippet: Array, keep: NDArray[np.bool_], follows: _Pending | None) -> list[float]:
        """Return the QRS complex's likeness to those before and to the next, and the next one's to the template."""
        mine = unit_windows(snippet)
        before = self._like_before(mine, keep)
        if follows is None:
            return [*before, 0.0, 0.0, 0.0, 0.0]
        after, there = self.buffer.cut(round(follows.time_s * RATE_HZ))
        usual, height = self._templates.compare_qrs(wide_qrs(after), keep & there)
        return [*before, _alike(mine, keep, unit(after[:, QRS]), there), usual, height, float((keep & there).any())]

    def _like_before(self, windows: Array, keep: NDArray[np.bool_]) -> list[float]:
        past = list(self._past)[: -_TOGETHER - 1 : -1]
        if not past:
            return [0.0] * _TOGETHER
        leads = np.stack([beat.keep for beat in past]) & keep  # (beats, leads)
        alike = np.einsum("lsn,bln->bls", windows, np.stack([beat.qrs for beat in past]))
        mean = np.einsum("bls,bl->bs", alike, leads) / np.maximum(leads.sum(axis=1), 1)[:, None]
        return [*mean.max(axis=1).tolist(), *[0.0] * (_TOGETHER - len(past))]

    def _remember(
        self,
        beat: _Pending,
        snippet: Array,
        keep: NDArray[np.bool_],
        likeness: Likeness,
        before_s: float | None,
        usual: float,
    ) -> None:
        early = before_s is not None and before_s < intervals.EARLY * usual
        self._templates.take(snippet, keep, beat.time_s, early=early, alike=likeness.qrs)
        rr = 0.0 if before_s is None else float(np.log(min(max(before_s, 0.15), LONGEST_S) / usual))
        self._past.append(_Past(rr, likeness, unit(snippet[:, QRS]), keep))
        self._intervals.take(beat.time_s, before_s)
        self._long.take(beat.time_s, before_s)
        self._last_s = beat.time_s


def _alike(windows: Array, keep: NDArray[np.bool_], other: Array, other_keep: NDArray[np.bool_]) -> float:
    """Return the correlation at the best shift, mean over the leads that both have; 0 without any."""
    leads = keep & other_keep
    if not leads.any():
        return 0.0
    return float(np.einsum("lsn,ln->ls", windows[leads], other[leads]).mean(axis=0).max())


def nothing(leads: int) -> Array:
    """Return the snippets of a beat of which nothing is known."""
    return np.zeros((leads, CHANNELS, LENGTH), np.float32)


__all__ = ["CHANNELS", "FEATURES", "LENGTH", "NOT_KNOWN", "BeatDescriber", "Described", "nothing"]
