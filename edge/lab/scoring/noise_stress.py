"""Scores records with real noise added at several signal-to-noise ratios, beside the clean records.

Of each condition, a noise at a ratio: the figures of `ecg-edge score` from minute 5 on, over noisy and clean periods
together; how many more false alarms an hour than in the clean records; and the signal quality of each kind of period.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edge.alarms.specs import bundle_specs
from edge.bundle.manifest import Bundle, BundleRef
from edge.classifiers.base import ClassifierConfig
from edge.core.errors import RecordError
from edge.lab.scoring.annotation import read_annotation
from edge.lab.scoring.folder import collect_output, count_record
from edge.lab.scoring.folds import FoldBundles
from edge.lab.scoring.noise import CLEAN_START_S, NoisyRecording, noisy_spans, read_noise
from edge.lab.scoring.periods import PeriodCounts, PeriodScore, count_periods
from edge.lab.scoring.record import AlarmScorer
from edge.lab.scoring.set_reference import reference_records
from edge.lab.scoring.spans import subtract, union
from edge.lab.scoring.summary import RecordCounts, SetScore, score_set
from edge.sources.recordings import open_recording

RECORDS = ("118", "119")
NOISES = ("ma", "bw")
SNR_DB = (24.0, 18.0, 12.0, 6.0, 0.0, -6.0)
Progress = Callable[[str, float, float], None]  # record and condition, seconds of ECG done, seconds of ECG in all


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """Scores with one noise at one ratio."""

    noise: str | None  # None: the clean records
    snr_db: float | None
    false_alarms: int  # of all annotated labels, which are heart rhythms and beats
    false_alarms_per_hour: float
    above_clean_per_hour: float
    in_noise: PeriodScore  # the noisy periods; for the clean records the same periods without noise
    in_clean: PeriodScore
    figures: SetScore


class NoiseScore(msgspec.Struct, frozen=True, kw_only=True):
    """The report of `ecg-edge score-noise`."""

    protocol: str
    bundle: BundleRef
    clean: Condition
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, kw_only=True)
class StressConfig:
    """Which records get which noise."""

    folder: Path
    noise_folder: Path
    records: tuple[str, ...] = RECORDS
    noises: tuple[str, ...] = NOISES
    snr_db: tuple[float, ...] = SNR_DB
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)


PROTOCOL = (
    "Noise is added as the `nst` program does: two minutes noisy, two clean, from minute 5 on; scored from there to "
    "the end. False alarms: of every annotated label. Technical: share of time with an alarm about the signal. "
    "Masked: share of the windows in noisy periods, or in clean ones, in which the lead is masked; unjudged: in which "
    "every lead is. F1: of the classified windows in noisy periods; the row without noise is of the same windows."
)


def run_noise_stress(
    bundle: Bundle | FoldBundles,
    config: StressConfig,
    *,
    progress: Progress | None = None,
    stopped: threading.Event | None = None,
) -> NoiseScore:
    """Replay every record clean, and with every noise at every ratio.

    Raises
    ------
    EdgeError
        When a record, an annotation, a noise record or the bundle fails.
    """
    stopped = stopped or threading.Event()
    names = reference_records(config.folder, "atr", config.records)
    pairs: list[tuple[str | None, float | None]] = [(None, None)]  # the clean records come first: others refer to them
    pairs += [(noise, snr_db) for noise in config.noises for snr_db in config.snr_db]
    conditions = _ConditionScorer(bundle, config, names, len(pairs), progress, stopped)
    found: list[Condition] = []
    for noise, snr_db in pairs:
        found.append(conditions.score(noise, snr_db, found[0].false_alarms_per_hour if found else None))
        if stopped.is_set():
            raise RecordError("stopped before every condition was scored")
    name = bundle.name if isinstance(bundle, FoldBundles) else bundle.ref
    return NoiseScore(protocol=PROTOCOL, bundle=name, clean=found[0], conditions=tuple(found[1:]))


@dataclass
class _ConditionScorer:
    """Scores one condition after the other, and reports progress over all of them."""

    bundle: Bundle | FoldBundles
    config: StressConfig
    names: Sequence[str]
    count: int  # of conditions
    progress: Progress | None
    stopped: threading.Event
    _done_s: float = 0.0

    def score(self, noise: str | None, snr_db: float | None, clean_per_hour: float | None) -> Condition:
        """Score all records with one noise at one ratio; `clean_per_hour` is None for the clean records themselves."""
        records, noisy, clean = zip(*(self._replay(name, noise, snr_db) for name in self.names), strict=True)
        figures = score_set(records)
        false = sum(record.false_alarms for record in records)
        rate = figures.false_alarms_per_hour or 0.0
        return Condition(
            noise=noise,
            snr_db=snr_db,
            false_alarms=false,
            false_alarms_per_hour=rate,
            above_clean_per_hour=rate - (rate if clean_per_hour is None else clean_per_hour),
            in_noise=sum(noisy, PeriodCounts()).score(),
            in_clean=sum(clean, PeriodCounts()).score(),
            figures=figures,
        )

    def _replay(
        self, name: str, noise: str | None, snr_db: float | None
    ) -> tuple[RecordCounts, PeriodCounts, PeriodCounts]:
        """Replay one record; return the counts of all of it, of its noisy periods and of its clean ones."""
        path = self.config.folder / name
        annotation, recording = read_annotation(path), open_recording(str(path))
        bundle = self.bundle.for_record(name) if isinstance(self.bundle, FoldBundles) else self.bundle
        rate_hz = recording.spec.sample_rate_hz
        length_s, title = recording.samples / rate_hz, name
        source = recording
        if noise is not None and snr_db is not None:
            # The noise is read for each record, as its rate must be that of the record.
            added = read_noise(self.config.noise_folder / noise, rate_hz)
            source, title = NoisyRecording(recording, annotation, added, snr_db), f"{name} {noise} {snr_db:g} dB"

        def report(at_s: float) -> None:
            if self.progress is not None:
                self.progress(title, self._done_s + at_s, length_s * self.count * len(self.names))

        output = collect_output(bundle, name, source, self.config.classifier, report, self.stopped)
        self._done_s += length_s
        # Both kinds of period begin after the learning period, which is clean.
        scorer = AlarmScorer(bundle.manifest, bundle_specs(bundle.manifest), CLEAN_START_S)
        noisy = noisy_spans(length_s)
        clean = subtract(union([(CLEAN_START_S, length_s)]), noisy)
        return (
            count_record(bundle, name, annotation, output, CLEAN_START_S),
            count_periods(scorer, annotation, output, noisy, length_s),
            count_periods(scorer, annotation, output, clean, length_s),
        )
