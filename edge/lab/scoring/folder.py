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
from edge.core.errors import BundleError, RecordError, SourceError, StreamError
from edge.lab.replay import ReplayConfig, replay_recording
from edge.lab.scoring.alarm_file import write_alarms
from edge.lab.scoring.annotation import Annotation, patient_of
from edge.lab.scoring.beat_classes import count_classes
from edge.lab.scoring.beats import LEARNING_S
from edge.lab.scoring.challenge import judge
from edge.lab.scoring.folds import FoldBundles
from edge.lab.scoring.lethal import count_lethal
from edge.lab.scoring.pauses import count_pauses
from edge.lab.scoring.record import AlarmCounts, AlarmScorer, StreamOutput, alarm_times, compare_qrs
from edge.lab.scoring.set_reference import read_reference, reference_records
from edge.lab.scoring.sets import set_of
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


class LeftOut(msgspec.Struct, frozen=True):
    """A record that could not be scored."""

    record: str
    reason: str


class FolderScore(SetScore, frozen=True, kw_only=True):
    """The report of `ecg-edge score`: figures of all records, of some groups of them, and of each."""

    protocol: str
    bundle: BundleRef
    lead_notice: str | None = None  # which channels got their lead by default, in all records where any did
    seen_in_training: tuple[str, ...]  # records whose figures are too good, as the network was trained on them
    unseen: SetScore | None  # without those records; None where all or none were seen
    left_out: tuple[LeftOut, ...] = ()
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
    names = reference_records(config.folder, config.annotator, config.only)
    if isinstance(bundle, FoldBundles) and not config.only:
        names = [name for name in names if name in bundle.by_record]
    bundles = {name: bundle.for_record(name) if isinstance(bundle, FoldBundles) else bundle for name in names}
    opened, left_out = _open_records(config, names)
    if config.alarms_to is not None:
        config.alarms_to.mkdir(parents=True, exist_ok=True)
    done: list[RecordCounts] = []
    total_s, before_s = sum(each.length_s for each in opened), 0.0
    for each in opened:

        def report(seconds: float, name: str = each.name, before_s: float = before_s) -> None:
            if progress is not None:
                progress(name, before_s + seconds, total_s)

        try:
            counts = _replay_record(bundles[each.name], config, each, report, stopped)
        except (RecordError, SourceError, StreamError) as exc:
            left_out.append(LeftOut(each.name, str(exc)))
            continue
        if stopped.is_set():
            break
        before_s += each.length_s
        # Each bundle of a cross-validation has its own list.
        seen = each.name in seen_records(bundles[each.name], set_of(config.folder))
        done.append(replace(counts, seen_in_training=seen))
    if not done:
        if left_out and not stopped.is_set():
            raise RecordError(f"{config.folder}: no record can be scored; {left_out[0].reason}")
        raise RecordError(f"{config.folder}: stopped before the first record was finished")
    return _report(bundle, config, done, opened, left_out)


@dataclass(frozen=True)
class _Opened:
    """A record and its reference."""

    name: str
    recording: Recording
    annotation: Annotation
    length_s: float


def _open_records(config: ScoreConfig, names: Sequence[str]) -> tuple[list[_Opened], list[LeftOut]]:
    """Open the records and read their references; those that cannot be used are left out with the reason."""
    opened, left_out = [], []
    for name in names:
        try:
            opened.append(_open_record(config, name))
        except (RecordError, SourceError, StreamError) as exc:
            left_out.append(LeftOut(name, str(exc)))
    return opened, left_out


def _open_record(config: ScoreConfig, name: str) -> _Opened:
    recording = open_recording(str(config.folder / name), config.leads, config.first_leads)
    length_s = recording.samples / recording.spec.sample_rate_hz
    annotation = read_reference(config.folder, name, config.annotator, length_s)
    if annotation.listed is None and length_s <= config.start_s:
        raise RecordError(f"record {name} is {length_s:.0f} s long; --skip leaves out the first {config.start_s:g} s")
    return _Opened(name, recording, annotation, length_s)


def _replay_record(
    bundle: Bundle,
    config: ScoreConfig,
    record: _Opened,
    progress: Callable[[float], None],
    stopped: threading.Event,
) -> RecordCounts:
    output = collect_output(bundle, record.name, record.recording, config.classifier, progress, stopped)
    if config.alarms_to is not None and not stopped.is_set():
        write_alarms(config.alarms_to, record.name, record.recording.spec.sample_rate_hz, output.events)
    counts = count_record(bundle, record.name, record.annotation, output, config.start_s)
    return replace(counts, first_lead=config.first_leads == 1)


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
    on = alarm_times(output, annotation.end_s)
    if annotation.listed is not None:  # about one moment: there is no time in which an alarm is known to be false
        return RecordCounts(name, patient_of(name), 0.0, AlarmCounts({}, {}), outcome=judge(annotation.listed, on))
    counts = RecordCounts(
        record=name,
        patient=patient_of(name),
        hours=max(annotation.end_s - start_s, 0.0) / 3600,
        alarms=AlarmScorer(bundle.manifest, specs, start_s).score(annotation, output),
        qrs=compare_qrs(annotation, output, start_s),
        sinus_throughout=annotation.sinus_throughout,
    )
    if bundle.manifest.beats is not None:
        counts = replace(counts, classes=count_classes(annotation, output.decisions, start_s))
    if annotation.qrs is not None and annotation.judges("ASYSTOLE"):
        counts = replace(counts, pauses=count_pauses(annotation.qrs, on, start_s, annotation.marks_s))
    if annotation.judges("VT") and (annotation.rhythms or annotation.judged):
        counts = replace(counts, lethal=count_lethal(annotation, on, start_s))
    return counts


def seen_records(bundle: Bundle, set_name: str) -> frozenset[str]:
    """Return the records of a set that are listed as seen in training; the same name in another set is another one."""
    path = bundle.path / SEEN
    if not path.is_file():
        return frozenset()
    try:
        sets = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, list[str]]])
    except (OSError, msgspec.DecodeError) as exc:
        raise BundleError(f"{path}: cannot be read: {exc}") from exc
    return frozenset(name for names in sets.get(set_name, {}).values() for name in names)


def _report(
    bundle: Bundle | FoldBundles,
    config: ScoreConfig,
    done: Sequence[RecordCounts],
    opened: Sequence[_Opened],
    left_out: Sequence[LeftOut],
) -> FolderScore:
    unseen = [counts for counts in done if not counts.seen_in_training]
    sinus = [counts for counts in done if counts.sinus_throughout]
    notices = dict.fromkeys(notice for each in opened if (notice := lead_notice(each.recording)))
    return FolderScore(
        **msgspec.structs.asdict(score_set(done)),
        protocol=PROTOCOL.format(start_s=config.start_s),
        bundle=bundle.name if isinstance(bundle, FoldBundles) else bundle.ref,
        lead_notice=" / ".join(notices) or None,
        left_out=tuple(left_out),
        seen_in_training=tuple(counts.record for counts in done if counts.seen_in_training),
        unseen=score_set(unseen) if 0 < len(unseen) < len(done) else None,
        sinus=score_set(sinus) if sinus else None,
        records=tuple(map(record_score, done)),
    )
