"""Scores every annotated record of a WFDB folder by replaying it through the whole monitor.

Marks the records that the bundle has seen in training. Needs the `wfdb` package.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from edge.alarms.specs import bundle_specs
from edge.bundle.manifest import Bundle, BundleRef
from edge.classifiers.base import ClassifierConfig
from edge.core.errors import BundleError, RecordError
from edge.lab.replay import ReplayConfig, replay_recording
from edge.lab.scoring.alarm_file import write_alarms
from edge.lab.scoring.annotation import Annotation, patient_of, read_annotation
from edge.lab.scoring.beats import LEARNING_S
from edge.lab.scoring.folds import FoldBundles
from edge.lab.scoring.record import AlarmScorer, StreamOutput, compare_qrs
from edge.lab.scoring.summary import RecordCounts, RecordScore, SetScore, record_score, score_set
from edge.sources.formats.adc import AdcSource
from edge.sources.recordings import Recording, lead_notice, open_recording

SEEN = "seen_records.json"
PROTOCOL = (
    "Each record is replayed through the whole monitor at full speed. Alarms are compared with annotations by the "
    "rules of edge/lab/scoring/episodes.py and edge/lab/scoring/reference.py, from {start_s:g} s on. Gross figures, "
    "95% intervals by bootstrap over patients. QRS complexes beat by beat after EC57."
)
Progress = Callable[[str, float, float], None]  # record, seconds of ECG done, seconds of ECG in all


class FolderScore(SetScore, frozen=True, kw_only=True):
    """The report of `ecg-edge score`: figures of all records, of some groups of them, and of each."""

    protocol: str
    bundle: BundleRef
    lead_notice: str | None = None  # which channels got their lead by default, in all records where any did
    seen_in_training: tuple[str, ...]  # records whose figures are too good, as the network was trained on them
    unseen: SetScore | None  # without those records; None where all or none were seen
    sinus: SetScore | None  # records in sinus rhythm throughout
    records: tuple[RecordScore, ...]


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """Which records are scored, and how."""

    folder: Path
    annotator: str = "atr"
    only: tuple[str, ...] = ()  # names of records; empty: all annotated ones
    start_s: float = LEARNING_S
    alarms_to: Path | None = None  # folder for alarm files; None: none are written
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    leads: tuple[str, ...] = ()  # of each channel, see `edge.core.leads.map_leads`; empty: by their names
    first_leads: int | None = None  # only so many leads; None: all


def score_folder(
    bundle: Bundle | FoldBundles,
    config: ScoreConfig,
    *,
    progress: Progress | None = None,
    stopped: threading.Event | None = None,
) -> FolderScore:
    """Replay and score the records. When `stopped` is set, the records finished so far are scored.

    With the bundles of a cross-validation, each record is replayed with the bundle that never saw its patient. Records
    without such a bundle are skipped, and are an error only where `config.only` names them.

    Raises
    ------
    EdgeError
        When there is nothing to score, or a record, an annotation or the bundle fails.
    """
    stopped = stopped or threading.Event()
    names = annotated_records(config.folder, config.annotator, config.only)
    if isinstance(bundle, FoldBundles) and not config.only:
        names = [name for name in names if name in bundle.by_record]
    bundles = {name: bundle.for_record(name) if isinstance(bundle, FoldBundles) else bundle for name in names}
    recordings = {name: open_recording(str(config.folder / name), config.leads, config.first_leads) for name in names}
    lengths_s = {name: each.samples / each.spec.sample_rate_hz for name, each in recordings.items()}
    if config.alarms_to is not None:
        config.alarms_to.mkdir(parents=True, exist_ok=True)
    done: list[RecordCounts] = []
    for number, (name, recording) in enumerate(recordings.items()):
        before_s = sum(lengths_s[other] for other in names[:number])

        def report(seconds: float, name: str = name, before_s: float = before_s) -> None:
            if progress is not None:
                progress(name, before_s + seconds, sum(lengths_s.values()))

        counts = _replay_record(bundles[name], config, name, recording, report, stopped)
        if stopped.is_set():
            break
        # Each bundle of a cross-validation has its own list.
        seen = name in seen_records(bundles[name], config.folder.resolve().name)
        done.append(replace(counts, seen_in_training=seen))
    if not done:
        raise RecordError(f"{config.folder}: stopped before the first record was finished")
    notices = dict.fromkeys(notice for each in recordings.values() if (notice := lead_notice(each)))
    return _report(bundle, config, done, " / ".join(notices) or None)


def annotated_records(folder: Path, annotator: str, only: Sequence[str]) -> list[str]:
    """Return the names of the annotated records of a folder, or of those in `only`.

    Raises
    ------
    RecordError
        When the folder has none, or lacks one of `only`.
    """
    names = sorted(path.stem for path in folder.glob(f"*.{annotator}"))
    if not names:
        raise RecordError(f"{folder}: no annotated record (*.{annotator})")
    absent = sorted(set(only) - set(names))
    if absent:
        raise RecordError(f"{folder}: no annotated record {', '.join(absent)}; there are {', '.join(names)}")
    return [name for name in names if not only or name in only]


def _replay_record(
    bundle: Bundle,
    config: ScoreConfig,
    name: str,
    recording: Recording,
    progress: Callable[[float], None],
    stopped: threading.Event,
) -> RecordCounts:
    annotation = read_annotation(config.folder / name, config.annotator)
    output = collect_output(bundle, name, recording, config.classifier, progress, stopped)
    if config.alarms_to is not None and not stopped.is_set():
        write_alarms(config.alarms_to, name, recording.spec.sample_rate_hz, output.events)
    return count_record(bundle, name, annotation, output, config.start_s)


def collect_output(
    bundle: Bundle,
    name: str,
    recording: AdcSource,
    classifier: ClassifierConfig,
    progress: Callable[[float], None],
    stopped: threading.Event,
) -> StreamOutput:
    """Replay a recording through the whole monitor and collect its decisions and events."""
    output = StreamOutput()
    replay = ReplayConfig(record=name, classifier=classifier)
    replay_recording(recording, bundle, replay, sink=output, progress=progress, stopped=stopped)
    return output


def count_record(
    bundle: Bundle, name: str, annotation: Annotation, output: StreamOutput, start_s: float
) -> RecordCounts:
    """Compare the output of a record's stream with its annotation."""
    specs = bundle_specs(bundle.manifest)
    return RecordCounts(
        record=name,
        patient=patient_of(name),
        hours=max(annotation.end_s - start_s, 0.0) / 3600,
        alarms=AlarmScorer(bundle.manifest, specs, start_s).score(annotation, output),
        qrs=compare_qrs(annotation, output, start_s),
        sinus_throughout=annotation.sinus_throughout,
    )


def seen_records(bundle: Bundle, set_name: str) -> frozenset[str]:
    """Return the records listed as seen in training: those of the set named as the folder, else those of all sets."""
    path = bundle.path / SEEN
    if not path.is_file():
        return frozenset()
    try:
        sets = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, list[str]]])
    except (OSError, msgspec.DecodeError) as exc:
        raise BundleError(f"{path}: cannot be read: {exc}") from exc
    # A folder may have any name; then a record counts as seen if any set has one of that name, to be on the safe side.
    parts = [sets[set_name]] if set_name in sets else list(sets.values())
    return frozenset(name for part in parts for names in part.values() for name in names)


def _report(
    bundle: Bundle | FoldBundles, config: ScoreConfig, done: Sequence[RecordCounts], notice: str | None
) -> FolderScore:
    unseen = [counts for counts in done if not counts.seen_in_training]
    sinus = [counts for counts in done if counts.sinus_throughout]
    return FolderScore(
        **msgspec.structs.asdict(score_set(done)),
        protocol=PROTOCOL.format(start_s=config.start_s),
        bundle=bundle.name if isinstance(bundle, FoldBundles) else bundle.ref,
        lead_notice=notice,
        seen_in_training=tuple(counts.record for counts in done if counts.seen_in_training),
        unseen=score_set(unseen) if 0 < len(unseen) < len(done) else None,
        sinus=score_set(sinus) if sinus else None,
        records=tuple(map(record_score, done)),
    )
