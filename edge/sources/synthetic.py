"""A synthetic patient from a script and a seed: twelve leads with known rhythms, as a source like any other.

    parse_scenario("sinus:30 af:40 lead_off:10")  ->  SyntheticSource(...).blocks()

Samples are ADC integers, so that any wire can carry them. The signal is made in cells of 10 s that depend neither on
each other nor on the block length, so that hours need the memory of one cell. Meant for demonstrations, tests and
golden windows. It is not fit to train or to evaluate a model.
"""

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.core.errors import ConfigError
from edge.core.leads import LEADS, lead_positions
from edge.core.samples import Block, Cause
from edge.sources.base import SourceBase
from edge.sources.formats.adc import AdcBlock, AdcSpec, mv_from_adc
from edge.sources.synthesis.heart import AFTER_S, BEFORE_S, Heart
from edge.sources.synthesis.noise import Noise
from edge.sources.synthesis.rhythms import (
    RHYTHMS,
    SCENARIOS,
    Episode,
    Scenario,
    check_scenario,
    episode_edges,
    parse_scenario,
    plan_beats,
)

__all__ = [
    "ADC_GAIN",
    "RHYTHMS",
    "SCENARIOS",
    "Annotation",
    "BeatAnnotation",
    "Episode",
    "Scenario",
    "SyntheticSource",
    "parse_scenario",
    "render",
]

ADC_GAIN = 1000.0  # ADC units per mV; the baseline is 0
_CELL_S = 10.0
_RAMP_S = 0.4  # over which f-waves and noise come and go


@dataclass(frozen=True, slots=True)
class Annotation:
    """One episode of the ground truth, with the product's label."""

    label: str
    first_sample: int
    end_sample: int  # the sample after the last one


@dataclass(frozen=True, slots=True)
class BeatAnnotation:
    """One beat of the ground truth: N is conducted, V is ventricular."""

    sample: int
    symbol: str


class SyntheticSource(SourceBase):
    """A scenario as blocks of samples.

    Parameters
    ----------
    scenario : episodes, or the text that `parse_scenario` reads
    sample_rate_hz : 50 to 2000
    leads : names of the leads wanted, as `edge.core.leads.lead_index` knows them
    seed : chooses the patient, the beats and the noise; 0 or more
    block_s : length of a block; the samples do not depend on it
    stream : id of the stream

    Raises
    ------
    ConfigError
        When one of these is out of range.
    """

    def __init__(
        self,
        scenario: Scenario | str = "demo",
        *,
        sample_rate_hz: float = 250.0,
        leads: Sequence[str] = LEADS,
        seed: int = 0,
        block_s: float = 0.2,
        stream: str = "synthetic",
    ) -> None:
        super().__init__()
        self.scenario = parse_scenario(scenario) if isinstance(scenario, str) else scenario
        check_scenario(self.scenario)
        _check_settings(sample_rate_hz, seed, block_s)
        self.sample_rate_hz, self.leads, self.stream = float(sample_rate_hz), tuple(leads), stream
        self._rows = _rows(self.leads)
        self._block_samples = max(1, round(block_s * sample_rate_hz))
        self._edges_s = episode_edges(self.scenario)
        self._edges = [round(edge * sample_rate_hz) for edge in self._edges_s]
        self._beats = plan_beats(self.scenario, seed)
        self._beat_times = [beat.time_s for beat in self._beats]
        self._heart = Heart(seed)
        self._noise = Noise(seed, self.sample_rate_hz)
        self._cell_samples = round(_CELL_S * sample_rate_hz)
        self._cell: tuple[int, NDArray[np.int32]] | None = None  # the last one made, by its number

    @property
    def samples(self) -> int:
        """Length of the scenario in sample instants."""
        return self._edges[-1]

    @property
    def annotations(self) -> tuple[Annotation, ...]:
        """The episodes, without gap or overlap from 0 to `samples`."""
        return tuple(
            Annotation(RHYTHMS[episode.rhythm].label, first, end)
            for episode, first, end in zip(self.scenario, self._edges, self._edges[1:], strict=False)
        )

    @property
    def beats(self) -> tuple[BeatAnnotation, ...]:
        """Every beat, at the sample of its R peak; none where the leads are off."""
        rate_hz, final = self.sample_rate_hz, self.samples - 1
        return tuple(BeatAnnotation(min(round(beat.time_s * rate_hz), final), beat.symbol) for beat in self._beats)

    @property
    def spec(self) -> AdcSpec:
        """Leads, rate and scale of the integers."""
        count = len(self.leads)
        return AdcSpec(self.leads, self.sample_rate_hz, gain=(ADC_GAIN,) * count, baseline=(0,) * count)

    def blocks(self) -> Iterator[Block]:
        """Yield the scenario block by block, without waiting."""
        spec = self.spec
        for block in self.adc_blocks():
            yield block.to_block(self.stream, spec)

    def adc_blocks(self) -> Iterator[AdcBlock]:
        """Yield the same blocks as ADC integers."""
        for first in range(0, self.samples, self._block_samples):
            if self._stopping.is_set():
                return
            end = min(first + self._block_samples, self.samples)
            yield AdcBlock(
                first_sample=first,
                adc=self.adc(first, end),
                missing=self.missing(first, end),
                device_us=round(first * 1e6 / self.sample_rate_hz),
                last=end == self.samples,
            )

    def adc(self, first: int, end: int) -> NDArray[np.int32]:
        """Return the ADC integers from one sample instant to another as (leads, samples) int32."""
        pieces = []
        for cell in range(first // self._cell_samples, -(-end // self._cell_samples)):
            start = cell * self._cell_samples
            pieces.append(self._make_cell(cell)[:, max(first - start, 0) : end - start])
        return np.concatenate(pieces, axis=1)[self._rows]

    def missing(self, first: int, end: int) -> NDArray[np.uint8]:
        """Return the causes of missing samples from one instant to another as (leads, samples) uint8."""
        missing = np.zeros((len(self.leads), end - first), np.uint8)
        for mark in self.annotations:
            if mark.label == "LEAD_OFF":
                missing[:, max(mark.first_sample - first, 0) : max(mark.end_sample - first, 0)] = Cause.LEAD_OFF
        return missing

    def _make_cell(self, cell: int) -> NDArray[np.int32]:
        if self._cell is None or self._cell[0] != cell:
            instants = cell * self._cell_samples + np.arange(self._cell_samples)
            time_s = instants / self.sample_rate_hz
            low = bisect.bisect_left(self._beat_times, time_s[0] - AFTER_S)
            high = bisect.bisect_right(self._beat_times, time_s[-1] + BEFORE_S)
            signal = self._heart.leads(time_s, self._beats[low:high], self._presence("af", time_s))
            signal += self._noise.leads(cell, time_s, self._presence("noise", time_s))
            self._cell = cell, _twelve(np.rint(signal * ADC_GAIN).astype(np.int32))
        return self._cell[1]

    def _presence(self, rhythm: str, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how strong a rhythm is at each time, 0 to 1, as (samples,) float64."""
        present = np.zeros(time_s.size)
        for episode, start, end in zip(self.scenario, self._edges_s, self._edges_s[1:], strict=False):
            if episode.rhythm == rhythm and start < time_s[-1] and end > time_s[0]:
                ramp = min(_RAMP_S, episode.seconds / 4)
                present += np.interp(time_s, [start, start + ramp, end - ramp, end], [0, 1, 1, 0])
        return present


def render(rhythm: str, seconds: float, *, sample_rate_hz: float = 100.0, seed: int = 0) -> NDArray[np.float32]:
    """Return one rhythm in the twelve leads as (12, samples) float32, mV; for golden windows."""
    source = SyntheticSource((Episode(rhythm, seconds),), sample_rate_hz=sample_rate_hz, seed=seed)
    return mv_from_adc(source.adc(0, source.samples), source.spec)


def _twelve(measured: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return all leads, (12, samples) int32, from I, II, V1 to V6; III and the augmented leads follow in integers."""
    one, two = measured[0], measured[1]
    limbs = np.stack([one, two, two - one, -(one + two) // 2, one - two // 2, two - one // 2])
    return np.concatenate([limbs, measured[2:]])


def _rows(leads: tuple[str, ...]) -> list[int]:
    rows = [row for row in lead_positions(leads) if row is not None]
    if not rows or len(rows) != len(leads):
        raise ConfigError(f"leads {', '.join(leads) or 'none'}: each once, from {', '.join(LEADS)}")
    return rows


def _check_settings(sample_rate_hz: float, seed: int, block_s: float) -> None:
    if not 50 <= sample_rate_hz <= 2000:
        raise ConfigError(f"sample rate {sample_rate_hz:g} Hz is not in 50 to 2000")
    if seed < 0:
        raise ConfigError(f"seed {seed} is negative")
    if not 0 < block_s <= 60:
        raise ConfigError(f"block of {block_s:g} s is not above 0 and at most 60")
