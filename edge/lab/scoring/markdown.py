"""The score of a folder as a section of a results page."""

from collections.abc import Iterator

from edge.lab.scoring.bootstrap import Interval
from edge.lab.scoring.folder import FolderScore
from edge.lab.scoring.summary import LabelScore, QrsScore, RecordScore, SetScore
from edge.lab.scoring.table import figures_of_set

TITLE = "# Alarms\n\n`ecg-edge score` and `ecg-edge score-noise` write the sections of this page.\n"
SEEN = "*seen in training*"
_LEGEND = (
    "Each cell: gross figure [95% interval over patients]; after `avg` the mean over the records in which it is "
    "defined. Delay: from an episode's start to its first alarm, median and 90th percentile."
)


def render(score: FolderScore, heading: str, how: str) -> str:
    """Return the section: all records together, then each record; `how` says how it was made."""
    suffix = f", {SEEN}" if score.seen_in_training and score.unseen is None else ""
    bundle = score.bundle
    parts = [
        f"## {heading}{suffix}",
        how,
        f"Bundle {bundle.name} {bundle.version} ({bundle.sha256[:12]}). {score.protocol}",
        _sums(score),
        _labels(score),
        _LEGEND,
        _qrs(score),
        "\n".join(f"* {line}" for line in figures_of_set(score)),
        "### Patient by patient",
        _records(score.records),
        "AF: duration Se / +P. VT, SVT: runs found of runs noted. PVC, PAC: F1 by window. QRS: Se / +P.",
    ]
    if score.unseen is not None:
        parts += ["### Only records not seen in training", _labels(score.unseen)]
    return "\n\n".join(parts) + "\n"


def _sums(score: FolderScore) -> str:
    rows = ["| records | patients | hours | false alarms an hour, all annotated labels |", "|---|---|---|---|"]
    sets: list[tuple[str, SetScore | None]] = [
        (f"all {len(score.record_names)}", score),
        ("not seen in training", score.unseen),
        ("sinus rhythm throughout", score.sinus),
    ]
    for name, total in sets:
        if total is not None:
            rate = _cell(total.false_alarms_per_hour, total.ci95.get("false_alarms_per_hour"))
            records = name if total is score else f"{name}: {' '.join(total.record_names)}"
            rows.append(f"| {records} | {total.patients} | {total.hours:.2f} | {rate} |")
    unannotated = ", ".join(f"{label} {rate:.2f}" for label, rate in score.other_alarms_per_hour.items() if rate)
    return "\n".join(rows) + f"\n\nAlarms an hour of labels without annotation: {unannotated or 'none'}."


def _labels(score: SetScore) -> str:
    names = ("label", "episodes", "episode Se", "episode +P", "duration Se", "duration +P", "false alarms/h")
    rows = [f"| {' | '.join((*names, 'window F1', 'delay s'))} |", "|---" * (len(names) + 2) + "|"]
    rows += [f"| {label} | {' | '.join(_cells(figures))} |" for label, figures in score.labels.items()]
    return "\n".join(rows)


def _qrs(score: SetScore) -> str:
    qrs = score.qrs
    figures = f"Se {_percent(qrs, 'se')}, +P {_percent(qrs, 'ppv')}"
    return f"QRS complexes: {figures}; {qrs.found} found, {qrs.missed} missed, {qrs.extra} extra."


def _percent(score: QrsScore, name: str) -> str:
    value, found = getattr(score, name), score.ci95.get(name)
    if value is None:
        return "undefined"
    return f"{value:.2%}" + (
        "" if found is None else f" [{found[0]:.2%}, {found[1]:.2%}] avg {score.average[name]:.2%}"
    )


def _cells(figures: LabelScore) -> Iterator[str]:
    yield f"{figures.counts['episodes']:g}"
    for name in ("episode_se", "episode_ppv", "duration_se", "duration_ppv", "false_alarms_per_hour", "window_f1"):
        average = figures.average.get(name)
        # No average of a rate: short records would weigh as much as long ones.
        mean = "" if average is None or name == "false_alarms_per_hour" else f" avg {average:.2f}"
        yield _cell(getattr(figures, name), figures.ci95.get(name)) + mean
    yield "" if figures.delay_s is None else f"{figures.delay_s.median:.1f}, 90% {figures.delay_s.p90:.1f}"


def _cell(value: float | None, interval: Interval | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if interval is None else f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"


def _records(records: tuple[RecordScore, ...]) -> str:
    names = (
        "record",
        "hours",
        "false alarms/h",
        "of",
        "AF",
        "VT",
        "SVT",
        "PVC",
        "PAC",
        "QRS",
        "alarms without annotation",
    )
    rows = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    return "\n".join([*rows, *(f"| {' | '.join(_record(record))} |" for record in records)])


def _record(record: RecordScore) -> Iterator[str]:
    yield f"{record.record} {SEEN}" if record.seen_in_training else record.record
    yield f"{record.hours:.2f}"
    yield _cell(record.false_alarms_per_hour, None)
    false = {label: round(f.counts["alarms"] - f.counts["right"]) for label, f in record.labels.items()}
    yield ", ".join(f"{label} {count}" for label, count in false.items() if count)
    af = record.labels.get("AF")
    found = af is not None and (af.duration_se is not None or af.duration_ppv is not None)
    yield f"{_cell(af.duration_se, None) or '-'} / {_cell(af.duration_ppv, None) or '-'}" if af and found else ""
    for label in ("VT", "SVT"):
        runs = record.labels[label].counts if label in record.labels else {}
        yield f"{runs['found']:g} of {runs['episodes']:g}" if runs.get("episodes") else ""
    for label in ("PVC", "PAC"):
        yield _cell(record.labels[label].window_f1, None) if label in record.labels else ""
    qrs = record.qrs
    yield "" if qrs.se is None or qrs.ppv is None else f"{qrs.se:.2%} / {qrs.ppv:.2%}"
    yield ", ".join(f"{label} {count}" for label, count in record.other_alarms.items() if count)
