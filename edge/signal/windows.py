"""Sliding windows over one stream, for any cut of the stream into blocks.

Sample indices count from the first sample of the stream's epoch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import InputSpec
from edge.core.errors import StreamError
from edge.core.leads import LEADS, lead_positions
from edge.core.samples import Cause
from edge.signal.analyzer import UNKNOWN_RATE, AnalyzedSecond, HeartRate, SignalAnalyzer
from edge.signal.conditioning import condition
from edge.signal.quality import QualityIssue
from edge.signal.resample import Step, StepResampler


@dataclass(frozen=True, slots=True)
class Window:
    """A window for the model, or the reason why it is bad."""

    first_sample: int  # native index of the first instant
    end_sample: int  # native index after the last instant
    settled_sample: int  # no later window holds an instant before this one, so the account can be settled
    cause: Cause  # PRESENT: at least one lead is good; otherwise the cause of most missing instants
    overload: bool  # windows were being shed when it arrived
    spec: InputSpec  # how it was cut
    positions: tuple[int, ...]  # rows of `signal` in the model's lead order
    signal: NDArray[np.float32]  # (kept leads, samples) mV, conditioned; no rows in a bad window
    all_positions: tuple[int, ...]  # of all leads of the stream in the model's lead order
    present: NDArray[np.float64]  # (all leads,) part of the samples that arrived, 0 to 1
    issues: tuple[QualityIssue, ...] = ()  # of all leads: the worst of the lead's seconds in the window
    heart_rate: HeartRate = UNKNOWN_RATE  # at its end
    seconds: tuple[AnalyzedSecond, ...] = ()  # that passed since the previous window

    @property
    def beats(self) -> tuple[int, ...]:
        """Native indices of the QRS complexes found since the previous window."""
        return tuple(beat for second in self.seconds for beat in second.beats)

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the leads that were kept."""
        return tuple(LEADS[position] for position in self.positions)

    def shed(self) -> "Window":
        """Return the same window as one that is shed: without its samples."""
        return replace(self, cause=Cause.SHED, overload=True, positions=(), signal=self.signal[:0])


class WindowStream:
    """Cuts a stream into windows of the length and hop of a bundle.

    Parameters
    ----------
    spec : the bundle's input specification
    sample_rate_hz : native rate of the stream
    leads : channel names; see `edge.core.leads.lead_positions`
    begins : native index of the first sample that will be pushed

    Raises
    ------
    StreamError
        When no channel is one of the twelve leads, or the rate cannot be resampled to the model's.
    """

    def __init__(self, spec: InputSpec, sample_rate_hz: float, leads: Sequence[str], begins: int = 0) -> None:
        positions = [(row, position) for row, position in enumerate(lead_positions(leads)) if position is not None]
        if not positions:
            raise StreamError(
                f"none of the channels {', '.join(map(repr, leads))} is one of the leads {' '.join(LEADS)}"
            )
        self.spec = spec
        rows = [row for row, _ in positions]
        self.rows = slice(None) if len(rows) == len(leads) else rows  # a slice copies nothing
        self._positions = tuple(position for _, position in positions)
        self._window, self._hop = spec.window_samples, spec.hop_samples
        self._resampler = StepResampler(
            len(positions),
            sample_rate_hz,
            spec.sample_rate_hz,
            first_step=self._window % self._hop or self._hop,
            step=self._hop,
        )
        self._values = np.zeros((len(positions), 2 * self._window + self._hop), np.float32)
        self._missing = np.zeros(self._values.shape, np.bool_)
        self._causes = np.zeros(self._values.shape[1], np.uint8)
        self._start = 0  # output index of the ring's first column
        self._end = 0  # output index after the last output
        self._begins = begins
        self._arrived = begins  # native index after the last instant
        self._next_first = 0  # output index at which the next window begins
        self._analyzer = SignalAnalyzer(len(positions), sample_rate_hz, spec.window_s)

    @property
    def leads(self) -> int:
        """Number of leads that are used."""
        return len(self._positions)

    @property
    def arrived(self) -> int:
        """Native index after the last instant that was taken."""
        return self._arrived

    def push(self, samples: NDArray[np.float32], missing: NDArray[np.uint8]) -> Iterator[Window]:
        """Take the next (channels, n) samples in mV, with a `Cause` for each, and yield each window they complete."""
        samples, missing = samples[self.rows], missing[self.rows]
        # A second at a time, as the analyzer keeps only the last seconds, which the windows then ask for.
        for first in range(0, samples.shape[1], self._analyzer.step):
            piece = slice(first, first + self._analyzer.step)
            self._arrived += samples[:, piece].shape[1]
            self._analyzer.push(samples[:, piece], missing[:, piece])
            for step in self._resampler.push(samples[:, piece], missing[:, piece]):
                yield from self._advance(step)

    def finish(self) -> Iterator[Window]:
        """End the stream: fill the last window with missing samples, and yield it if it is good all the same."""
        for step in self._resampler.flush():
            yield from self._advance(step)
        covered = self._next_first and self._next_first - self._hop + self._window
        if self._end > covered:
            short = self._next_first + self._window - self._end
            rows = len(self._positions)
            tail = np.full(short, Cause.TAIL, np.uint8)
            self._store(Step(np.zeros((rows, short), np.float32), np.ones((rows, short), np.bool_), tail))
            window = self._cut()
            if window.cause is Cause.PRESENT:
                yield window

    def instant_causes(self, missing: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Reduce (channels, n) causes to (n,): an instant is missing when every usable lead is."""
        causes: NDArray[np.uint8] = missing[self.rows].min(axis=0)
        return causes

    def _advance(self, step: Step) -> Iterator[Window]:
        self._store(step)
        if self._end == self._next_first + self._window:
            window = self._cut()
            self._next_first += self._hop
            yield window

    def _store(self, step: Step) -> None:
        at, new = self._end - self._start, step.causes.size
        if at + new > self._causes.size:  # drop what no later window needs
            shift = self._next_first - self._start
            for ring in (self._values, self._missing, self._causes):
                ring[..., : at - shift] = ring[..., shift:at]
            self._start, at = self._next_first, at - shift
        self._values[:, at : at + new] = step.values
        self._missing[:, at : at + new] = step.missing
        self._causes[at : at + new] = step.causes
        self._end += new

    def _native_index(self, output: int) -> int:
        return self._begins + self._resampler.native_index(output)

    def _cut(self) -> Window:
        first = self._next_first
        view = slice(first - self._start, first - self._start + self._window)
        values, missing = self._values[:, view], self._missing[:, view]
        end_sample = min(self._native_index(first + self._window), self._arrived)
        analyzed = end_sample - self._begins  # the analyzer counts from its first sample
        bad, issues = self._issues(first, analyzed)
        usable = 1.0 - (missing | bad).mean(axis=1) >= self.spec.min_coverage
        return Window(
            first_sample=self._native_index(first),
            end_sample=end_sample,
            settled_sample=self._native_index(first + self._hop),
            cause=Cause.PRESENT if usable.any() else _main_cause(self._causes[view]),
            overload=False,
            spec=self.spec,
            positions=tuple(position for position, kept in zip(self._positions, usable, strict=True) if kept),
            signal=condition(values[usable], missing[usable], self.spec.sample_rate_hz),
            all_positions=self._positions,
            present=1.0 - missing.mean(axis=1),
            issues=issues,
            heart_rate=self._analyzer.heart_rate(analyzed),
            seconds=self._take_seconds(analyzed),
        )

    def _take_seconds(self, end_sample: int) -> tuple[AnalyzedSecond, ...]:
        """Return the seconds up to `end_sample`, as the analyzer counts, with indices that count from the epoch."""
        seconds = self._analyzer.take_seconds(end_sample)
        return seconds if not self._begins else tuple(second.shifted(self._begins) for second in seconds)

    def _issues(self, first: int, end_sample: int) -> tuple[NDArray[np.bool_], tuple[QualityIssue, ...]]:
        """Return (leads, samples), True in bad seconds of the window at output `first`, and each lead's worst issue."""
        bad = np.zeros((len(self._positions), self._window), np.bool_)
        worst = [QualityIssue.NONE] * len(self._positions)
        for second in self._analyzer.seconds_until(end_sample):
            end = self._resampler.output_count(second.end_sample) - first
            if end <= 0 or not any(second.issues):
                continue
            begin = max(self._resampler.output_count(second.end_sample - self._analyzer.step) - first, 0)
            for lead, issue in enumerate(second.issues):
                bad[lead, begin:end] |= issue > QualityIssue.GAP  # a gap is in the mask of missing samples already
            worst = list(map(max, worst, second.issues))
        return bad, tuple(worst)


def _main_cause(causes: NDArray[np.uint8]) -> Cause:
    """Return the cause of most missing instants; BAD_QUALITY when fewer than 1 in 20 are missing."""
    missing = causes[causes != Cause.PRESENT]
    return Cause(int(np.bincount(missing).argmax())) if missing.size * 20 > causes.size else Cause.BAD_QUALITY
