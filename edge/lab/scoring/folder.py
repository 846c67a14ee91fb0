"""Scores every record of an annotated WFDB folder on the real path, and says which of them the bundle has seen.

Knows no tables and makes no figures of its own; needs the `wfdb` package.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from edge.alarms.specs import alarm_specs
from edge.bundle.manifest import Bundle, BundleRef
from edge.classifiers.base import ClassifierConfig
from edge.core.errors import BundleError, RecordError
from edge.lab.replay import ReplayConfig, replay_recording
from edge.lab.scoring.alarm_file import write_alarms
from edge.lab.scoring.annotation import Annotation, patient_of, read_annotation
from edge.lab.scoring.beats import LEARNING_S
from edge.lab.scoring.folds import FoldBundles
from edge.lab.scoring.record import Heard, Judge, judge_beats
from edge.lab.scoring.summary import Judged, RecordScore, Total, record_score, total
from edge.sources.formats.adc import AdcSource
from edge.sources.recordings import Recording, open_recording

SEEN = "seen_records.json"
PROTOCOL = (
    "Each record through the real path at full speed; alarms against annotations by the rules of "
    "edge/scoring/episodes.py and edge/scoring/reference.py, from {start_s:g} s on; gross figures, "
    "95% intervals by bootstrap over patients. QRS complexes beat by beat after EC57."
)
Progress = Callable[[str, float, float], None]  # record, seconds of ECG done, seconds of all


class FolderScore(Total, frozen=True, kw_only=True):
    """The report of `ecg-edge score`: the figures of all records, then those of some and of each."""

    protocol: str
    bundle: BundleRef
    seen_in_training: tuple[str, ...]  # records that flatter the bundle
    unseen: Total | None  # without them; None where all or none were seen
    sinus: Total | None  # the records in sinus rhythm throughout
    records: tuple[RecordScore, ...]


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """What is scored, and how."""

    folder: Path
    annotator: str = "atr"
    only: tuple[str, ...] = ()  # names of records; empty: every one that is annotated
    start_s: float = LEARNING_S
    alarms_to: Path | None = None  # folder for files of alarms
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)


def score_folder(
    bundle: Bundle | FoldBundles,
    config: ScoreConfig,
    *,
    progress: Progress | None = None,
    stopped: threading.Event | None = None,
) -> FolderScore:
    """Replay and score the records; when `stopped` is set, those that were done until then.

    Where the bundles of a cross-validation are given, each record is judged by the one that never saw it; records
    for which there is none are left out unless they were asked for.

    Raises
    ------
    EdgeError
        When there is nothing to score, or a record, an annotation or the bundle fails.
    """
    stopped = stopped or threading.Event()
    names = annotated_records(config.folder, config.annotator, config.only)
    if isinstance(bundle, FoldBundles) and not config.only:
        names = [name for name in names if name in bundle.by_record]
    judges = {name: bundle.of(name) if isinstance(bundle, FoldBundles) else bundle for name in names}
    recordings = {name: open_recording(str(config.folder / name)) for name in names}
    lengths_s = {name: each.samples / each.spec.sample_rate_hz for name, each in recordings.items()}
    if config.alarms_to is not None:
        config.alarms_to.mkdir(parents=True, exist_ok=True)
    done: list[Judged] = []
    for number, (name, recording) in enumerate(recordings.items()):
        before_s = sum(lengths_s[other] for other in names[:number])

        def report(seconds: float, name: str = name, before_s: float = before_s) -> None:
            if progress is not None:
                progress(name, before_s + seconds, sum(lengths_s.values()))

        judged = _score_record(judges[name], config, name, recording, report, stopped)
        if stopped.is_set():
            break
        seen = name in seen_records(judges[name], config.folder.resolve().name)
        done.append(replace(judged, seen_in_training=seen))
    if not done:
        raise RecordError(f"{config.folder}: stopped before a record was done")
    return _report(bundle, config, done)


def annotated_records(folder: Path, annotator: str, only: Sequence[str]) -> list[str]:
    """Return the names of the annotated records of a folder, or those of them that are asked for.

    Raises
    ------
    RecordError
        When none is there, or one that is asked for is not.
    """
    names = sorted(path.stem for path in folder.glob(f"*.{annotator}"))
    if not names:
        raise RecordError(f"{folder}: no annotated record (*.{annotator}) is there")
    absent = sorted(set(only) - set(names))
    if absent:
        raise RecordError(f"{folder}: no annotated record {', '.join(absent)}; there are {', '.join(names)}")
    return [name for name in names if not only or name in only]


def _score_record(
    bundle: Bundle,
    config: ScoreConfig,
    name: str,
    recording: Recording,
    progress: Callable[[float], None],
    stopped: threading.Event,
) -> Judged:
    annotation = read_annotation(config.folder / name, config.annotator)
    heard = hear(bundle, name, recording, config.classifier, progress, stopped)
    if config.alarms_to is not None and not stopped.is_set():
        write_alarms(config.alarms_to, name, recording.spec.sample_rate_hz, heard.events)
    return judge_record(bundle, name, annotation, heard, config.start_s)


def hear(
    bundle: Bundle,
    name: str,
    recording: AdcSource,
    classifier: ClassifierConfig,
    progress: Callable[[float], None],
    stopped: threading.Event,
) -> Heard:
    """Replay a recording through the real path and keep what it says."""
    heard = Heard()
    replay = ReplayConfig(record=name, classifier=classifier)
    replay_recording(recording, bundle, replay, sink=heard, progress=progress, stopped=stopped)
    return heard


def judge_record(bundle: Bundle, name: str, annotation: Annotation, heard: Heard, start_s: float) -> Judged:
    """Compare what a record's stream said with its annotation."""
    specs = alarm_specs(bundle.manifest.labels)
    return Judged(
        record=name,
        patient=patient_of(name),
        hours=max(annotation.end_s - start_s, 0.0) / 3600,
        verdict=Judge(bundle.manifest, specs, start_s).judge(annotation, heard),
        qrs=judge_beats(annotation, heard, start_s),
        sinus_throughout=annotation.sinus_throughout,
    )


def seen_records(bundle: Bundle, set_name: str) -> frozenset[str]:
    """Return the names listed as seen: those of the set that is named as the folder, else those of every set."""
    path = bundle.path / SEEN
    if not path.is_file():
        return frozenset()
    try:
        sets = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, list[str]]])
    except (OSError, msgspec.DecodeError) as exc:
        raise BundleError(f"{path}: cannot be read: {exc}") from exc
    parts = [sets[set_name]] if set_name in sets else list(sets.values())
    return frozenset(name for part in parts for names in part.values() for name in names)


def _report(bundle: Bundle | FoldBundles, config: ScoreConfig, done: Sequence[Judged]) -> FolderScore:
    unseen = [judged for judged in done if not judged.seen_in_training]
    sinus = [judged for judged in done if judged.sinus_throughout]
    return FolderScore(
        **msgspec.structs.asdict(total(done)),
        protocol=PROTOCOL.format(start_s=config.start_s),
        bundle=bundle.name if isinstance(bundle, FoldBundles) else bundle.ref,
        seen_in_training=tuple(judged.record for judged in done if judged.seen_in_training),
        unseen=total(unseen) if 0 < len(unseen) < len(done) else None,
        sinus=total(sinus) if sinus else None,
        records=tuple(map(record_score, done)),
    )
