"""The score of a folder as a table in the terminal."""

from collections.abc import Iterator

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from edge.lab.scoring.bootstrap import Interval
from edge.lab.scoring.folder import FolderScore
from edge.lab.scoring.summary import LabelScore, QrsScore, SetScore

_COLUMNS = ("alarm", "n", "found", "right", "time Se", "time +P", "false/h", "delay s")
_GAP = ", 95% "
_CAPTION = (
    "n: reference episodes; found, right: episode sensitivity and positive predictivity; time: the same by duration; "
    "delay: median and 90th percentile; second line: 95% interval over patients"
)


def show(score: FolderScore, console: Console) -> None:
    """Print the figures of each label over all records, then those over all labels."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), caption=_CAPTION)
    for name in _COLUMNS:
        table.add_column(name, overflow="fold")  # a narrow terminal loses no digit
    for label, figures in score.labels.items():
        table.add_row(label, *_cells(figures))
    if score.labels:
        console.print(table)
    for line in _lines(score):
        console.print(line, highlight=False, soft_wrap=True)


def _cells(figures: LabelScore) -> Iterator[str]:
    yield f"{figures.counts['episodes']:g}"
    yield _with_interval(figures, "episode_se", figures.episode_se)
    yield _with_interval(figures, "episode_ppv", figures.episode_ppv)
    yield _with_interval(figures, "duration_se", figures.duration_se)
    yield _with_interval(figures, "duration_ppv", figures.duration_ppv)
    yield _with_interval(figures, "false_alarms_per_hour", figures.false_alarms_per_hour)
    yield "" if figures.delay_s is None else f"{figures.delay_s.median:.1f}\n90% {figures.delay_s.p90:.1f}"


def _with_interval(figures: LabelScore | SetScore, name: str, value: float | None, gap: str = "\n") -> str:
    if value is None:
        return ""
    if name not in figures.ci95:
        return _digits(value)
    low, high = figures.ci95[name]
    places = 2 if high <= 1 else 1  # shares and small rates; larger rates are less certain
    return f"{_digits(value)}{gap}{low:.{places}f}-{high:.{places}f}"


def _digits(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _lines(score: FolderScore) -> Iterator[str]:
    for label, figures in score.labels.items():
        if figures.window_f1 is not None:
            yield f"{label} by window: F1 {_with_interval(figures, 'window_f1', figures.window_f1, _GAP)}"
    if score.qrs.se is not None:
        yield _qrs(score.qrs)
    yield from figures_of_set(score)
    yield _sum("all", score)
    if score.unseen is not None:
        yield _sum("not seen in training", score.unseen)
    if score.sinus is not None:
        yield _sum("sinus rhythm throughout", score.sinus)
    unannotated = ", ".join(f"{label} {rate:.2f}" for label, rate in score.other_alarms_per_hour.items() if rate)
    yield f"alarms an hour of labels without annotation: {unannotated or 'none'}"
    for each in score.left_out:
        yield f"left out: {each.record}: {each.reason}"
    if score.left_out:
        yield f"records left out: {len(score.left_out)}"
    if score.lead_notice is not None:
        yield score.lead_notice
    if score.seen_in_training:
        yield f"seen in training, so their figures are too good: {' '.join(score.seen_in_training)}"
    yield f"bundle {score.bundle.name} {score.bundle.version} ({score.bundle.sha256[:12]})"


def figures_of_set(score: SetScore) -> Iterator[str]:
    """Yield one line for each group of figures that the set's reference allows."""
    if score.beats is not None:
        for name, of_class in (("VEB", score.beats.VEB), ("SVEB", score.beats.SVEB)):
            figures = f"Se {_percent(of_class.se, None)}, +P {_percent(of_class.ppv, None)}"
            yield f"{name}: {figures}, F1 {_or_unknown(of_class.f1)}; {of_class.n} beats"
    if score.pauses is not None:
        yield f"pauses longer than 4 s: {score.pauses.n}, found {score.pauses.found}, false {score.pauses.false}"
    if score.lethal is not None:
        under = _percent(score.lethal.benign_time_under_alarm, None)
        yield (
            f"VT, VF and flutter of 5 s or more: {score.lethal.episodes}, found {score.lethal.found}; false alarms per "
            f"benign hour {_or_unknown(score.lethal.false_per_benign_hour)}, benign time under one {under}"
        )
    if score.alarms is not None:
        for kind, each in ({"all": score.alarms} | score.alarms.by).items():
            rates = f"TPR {_or_unknown(each.tpr)}, TNR {_or_unknown(each.tnr)}"
            yield f"bedside alarms, {kind}: {rates}, score {_or_unknown(each.score)}"
    if score.af is not None and (score.af.time_found is not None or score.af.time_false):
        yield f"AF time found {_percent(score.af.time_found, None)}, false {_percent(score.af.time_false, None)}"
    if score.false_urgent_alarms_per_hour is not None:
        yield f"false alarms of medium or high priority an hour: {score.false_urgent_alarms_per_hour:.2f}"


def _or_unknown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _qrs(score: QrsScore) -> str:
    return (
        f"QRS: Se {_percent(score.se, score.ci95.get('se'))}, +P {_percent(score.ppv, score.ci95.get('ppv'))}; "
        f"found {score.found}, missed {score.missed}, extra {score.extra}"
    )


def _percent(value: float | None, interval: Interval | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:.2%}" + ("" if interval is None else f" (95% {interval[0]:.2%}-{interval[1]:.2%})")


def _sum(group: str, total: SetScore) -> str:
    rate = _with_interval(total, "false_alarms_per_hour", total.false_alarms_per_hour, _GAP)
    return (
        f"{group}: records {len(total.record_names)}, patients {total.patients}, hours {total.hours:.2f}, "
        f"false alarms an hour {rate or 'unknown'}"
    )
