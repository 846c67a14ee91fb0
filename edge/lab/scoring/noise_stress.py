"""The scores of records with real noise in them, at one ratio after the other, beside those of the clean records.

Noise is added as `edge.lab.scoring.noise` says. Of each condition: the figures of `ecg-edge score` from minute 5 on,
noisy and clean turns together; how many false alarms an hour came on top of those of the clean records; and, of the
noisy and of the clean turns, what `edge.lab.scoring.turns` says of signal and windows. Makes no tables.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edge.alarms.specs import alarm_specs
from edge.bundle.manifest import Bundle, BundleRef
from edge.classifiers.base import ClassifierConfig
from edge.core.errors import RecordError
from edge.lab.scoring.annotation import read_annotation
from edge.lab.scoring.folder import annotated_records, hear, judge_record
from edge.lab.scoring.folds import FoldBundles
from edge.lab.scoring.noise import CLEAN_START_S, NoisyRecording, noisy_spans, read_noise
from edge.lab.scoring.record import Judge
from edge.lab.scoring.spans import subtract, union
from edge.lab.scoring.summary import Judged, Total, total
from edge.lab.scoring.turns import TurnCounts, TurnScore, count_turns
from edge.sources.recordings import open_recording

RECORDS = ("118", "119")
NOISES = ("ma", "bw")
SNR_DB = (24.0, 18.0, 12.0, 6.0, 0.0, -6.0)
Progress = Callable[[str, float, float], None]  # what, seconds of ECG done, seconds of all


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One noise at one ratio."""

    noise: str | None  # None: the clean records
    snr_db: float | None
    false_alarms: int  # about heart rhythms, of all labels that are annotated
    false_alarms_per_hour: float
    above_clean_per_hour: float
    in_noise: TurnScore  # of the clean records: the same turns without noise
    in_clean: TurnScore
    figures: Total


class NoiseScore(msgspec.Struct, frozen=True, kw_only=True):
    """The report of `ecg-edge score-noise`."""

    protocol: str
    bundle: BundleRef
    clean: Condition
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, kw_only=True)
class StressConfig:
    """What is disturbed, and how."""

    folder: Path
    noise_folder: Path
    records: tuple[str, ...] = RECORDS
    noises: tuple[str, ...] = NOISES
    snr_db: tuple[float, ...] = SNR_DB
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)


PROTOCOL = (
    "Noise added as the `nst` program does: two minutes noisy, two clean, from minute 5 on; scored from there to the "
    "end. False alarms: of every annotated label. Technical: share of time in which an alarm about the signal is on. "
    "Masked: share of the windows in noisy turns, or in clean ones, in which the network does not see the lead; "
    "unjudged: in which it sees none. F1: of the judged windows in noisy turns; the row without noise has the same "
    "windows."
)


def stress(
    bundle: Bundle | FoldBundles,
    config: StressConfig,
    *,
    progress: Progress | None = None,
    stopped: threading.Event | None = None,
) -> NoiseScore:
    """Replay every record clean and with every noise at every ratio.

    Raises
    ------
    EdgeError
        When a record, an annotation, a noise record or the bundle fails.
    """
    stopped = stopped or threading.Event()
    names = annotated_records(config.folder, "atr", config.records)
    pairs: list[tuple[str | None, float | None]] = [(None, None)]
    pairs += [(noise, snr_db) for noise in config.noises for snr_db in config.snr_db]
    rounds = _Rounds(bundle, config, names, len(pairs), progress, stopped)
    found: list[Condition] = []
    for noise, snr_db in pairs:
        found.append(rounds.condition(noise, snr_db, found[0].false_alarms_per_hour if found else None))
        if stopped.is_set():
            raise RecordError("stopped before every condition was scored")
    name = bundle.name if isinstance(bundle, FoldBundles) else bundle.ref
    return NoiseScore(protocol=PROTOCOL, bundle=name, clean=found[0], conditions=tuple(found[1:]))


@dataclass
class _Rounds:
    """One run over all conditions."""

    bundle: Bundle | FoldBundles
    config: StressConfig
    names: Sequence[str]
    count: int
    progress: Progress | None
    stopped: threading.Event
    _done_s: float = 0.0

    def condition(self, noise: str | None, snr_db: float | None, clean_per_hour: float | None) -> Condition:
        """Score all records with one noise at one ratio; `clean_per_hour` is None for the clean records themselves."""
        done, noisy, clean = zip(*(self._score(name, noise, snr_db) for name in self.names), strict=True)
        figures = total(done)
        false = sum(judged.false_alarms for judged in done)
        rate = figures.false_alarms_per_hour or 0.0
        return Condition(
            noise=noise,
            snr_db=snr_db,
            false_alarms=false,
            false_alarms_per_hour=rate,
            above_clean_per_hour=rate - (rate if clean_per_hour is None else clean_per_hour),
            in_noise=sum(noisy, TurnCounts()).score(),
            in_clean=sum(clean, TurnCounts()).score(),
            figures=figures,
        )

    def _score(self, name: str, noise: str | None, snr_db: float | None) -> tuple[Judged, TurnCounts, TurnCounts]:
        """Replay one record; return what became of it, of its noisy turns and of its clean ones."""
        path = self.config.folder / name
        annotation, recording = read_annotation(path), open_recording(str(path))
        bundle = self.bundle.of(name) if isinstance(self.bundle, FoldBundles) else self.bundle
        rate_hz = recording.spec.sample_rate_hz
        length_s, what = recording.samples / rate_hz, name
        source = recording
        if noise is not None and snr_db is not None:
            added = read_noise(self.config.noise_folder / noise, rate_hz)
            source, what = NoisyRecording(recording, annotation, added, snr_db), f"{name} {noise} {snr_db:g} dB"

        def report(at_s: float) -> None:
            if self.progress is not None:
                self.progress(what, self._done_s + at_s, length_s * self.count * len(self.names))

        heard = hear(bundle, name, source, self.config.classifier, report, self.stopped)
        self._done_s += length_s
        judge = Judge(bundle.manifest, alarm_specs(bundle.manifest.labels), CLEAN_START_S)
        noisy = noisy_spans(length_s)
        clean = subtract(union([(CLEAN_START_S, length_s)]), noisy)
        return (
            judge_record(bundle, name, annotation, heard, CLEAN_START_S),
            count_turns(judge, annotation, heard, noisy, length_s),
            count_turns(judge, annotation, heard, clean, length_s),
        )
