"""What tuning found, for people and programs: figures, a table, and the curves of every label as PNG.

A curve goes through the chosen setting and changes one thing of it: the threshold, the on delay or the off delay.
Knows no choosing.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.operating_points.alarm_runs import Setting
from calibration.operating_points.operating import Tried
from calibration.operating_points.tuning import Run, Tuned
from edge.lab.scoring.episodes import Counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CURVES = {"threshold": "tab:blue", "on_delay_s": "tab:orange", "off_delay_s": "tab:green"}
_WIDTH, _HEIGHT = 3.4, 2.4


def summary(tuned: Tuned, run: Run) -> dict[str, Any]:
    """Return settings and figures for the JSON report."""
    hours = sum(record.hours for record in run.records)
    labels = {}
    for number, one in enumerate(tuned.tried):
        labels[one.label.abbreviation] = {
            "setting": asdict(one.settings[tuned.chosen[number]]),
            "before": _figures(tuned.before[number]),
            "chosen": _figures(tuned.after[number]),
            "chosen_without_the_fold": _figures(tuned.judged[number]),
        }
    sets = {"before": tuned.before, "chosen": tuned.after, "chosen_without_the_fold": tuned.judged}
    return {
        "budget_per_hour": tuned.budget,
        "hours": hours,
        "records": [record.name for record in run.records],
        "false_alarms_per_hour": {name: _false(counts) / hours for name, counts in sets.items()},
        "labels": labels,
        "folds": {fold: {k: asdict(v) for k, v in tuned.settings(fold).items()} for fold in run.folds},
    }


def _false(counts: Sequence[Counts]) -> int:
    return sum(one.alarms - one.right for one in counts)


def _figures(counts: Counts) -> dict[str, Any]:
    return counts.figures() | {"median_delay_s": counts.median_delay_s(), "episodes": counts.episodes}


def table(tuned: Tuned) -> str:
    """Return the chosen settings and what they did, as Markdown."""
    settings = ("label", "threshold", "clear", "on s", "off s", "windows pooled")
    names = (*settings, "episode Se / +P", "time Se / +P", "window F1", "false alarms/h", "delay s")
    rows = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for number, one in enumerate(tuned.tried):
        setting, nested = one.settings[tuned.chosen[number]], tuned.judged[number].figures()
        pairs = [f"{_text(nested[f'{kind}_se'])} / {_text(nested[f'{kind}_ppv'])}" for kind in ("episode", "duration")]
        rows.append(
            f"| {one.label.abbreviation} | {setting.threshold:g} | {setting.clear_threshold:.3g} "
            f"| {setting.on_delay_s:g} | {setting.off_delay_s:g} | {setting.pooled} | {' | '.join(pairs)} "
            f"| {_text(nested['window_f1'])} | {_text(nested['false_alarms_per_hour'])} "
            f"| {_text(tuned.judged[number].median_delay_s(), 1)} |"
        )
    words = (
        f"Chosen by `ecg-calibrate tune` within {tuned.budget:g} false alarms an hour over all labels, on all records "
        "and on those in sinus rhythm throughout, of MIT-BIH's DS1 by networks that had not seen their patients "
        "(`ecg-train crossval`); they supersede the thresholds above. The figures are of settings chosen, fold by "
        "fold, without the patients that they judge."
    )
    return words + "\n\n" + "\n".join(rows)


def _text(value: float | None, places: int = 2) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def curve(one: Tried, at: int, field: str) -> list[tuple[float, Counts]]:
    """Return what a label's settings do that differ from one of them in a field alone, by that field."""
    chosen = one.settings[at]
    share = chosen.clear_threshold / chosen.threshold
    points = []
    for number, setting in enumerate(one.settings):
        value = getattr(setting, field)
        wanted: Setting = replace(chosen, **{field: value})
        if field == "threshold":
            wanted = replace(wanted, clear_threshold=value * share)
        if abs(setting.clear_threshold - wanted.clear_threshold) < 1e-9 and setting == replace(
            wanted, clear_threshold=setting.clear_threshold
        ):
            points.append((value, one.total(number, range(len(one.counts[number])))))
    return points


def draw_png(tuned: Tuned, path: Path) -> None:
    """Draw the curves of all labels that occur into one picture."""
    from matplotlib.figure import Figure

    shown = _shown(tuned)
    figure = Figure(figsize=(2 * _WIDTH, _HEIGHT * len(shown)), layout="constrained")
    rows = figure.subplots(len(shown), 2, squeeze=False)
    for row, number in zip(rows, shown, strict=True):
        _draw(row, tuned.tried[number], tuned.chosen[number])
    figure.savefig(path, metadata={"Software": None})


def _shown(tuned: Tuned) -> list[int]:
    """Return the numbers of the labels that the records have."""
    return [number for number, counts in enumerate(tuned.after) if counts.episodes]


def _draw(axes: Sequence["Axes"], one: Tried, at: int) -> None:
    """Draw sensitivity and delay against false alarms an hour, the chosen setting marked."""
    for field, colour in _CURVES.items():
        false, found, late_s = zip(*(_point(counts) for _, counts in curve(one, at, field)), strict=True)
        axes[0].plot(false, found, ".-", color=colour, label=field)
        axes[1].plot(false, late_s, ".-", color=colour, label=field)
    false_here, *heights = _point(one.total(at, range(len(one.counts[at]))))
    for ax, height in zip(axes, heights, strict=True):
        ax.plot([false_here], [height], "o", color="black", fillstyle="none", markersize=9)
        ax.set_xscale("symlog", linthresh=0.1)
        ax.set_xlabel("false alarms an hour")
    axes[0].set(title=one.label.abbreviation, ylabel="episode sensitivity", ylim=(-0.02, 1.02))
    axes[1].set(ylabel="median delay, s")
    axes[0].legend(fontsize=6)


def _point(counts: Counts) -> tuple[float, float, float]:
    """Return false alarms an hour, episode sensitivity and median delay; NaN where undefined."""
    figures = counts.figures()
    values = figures["false_alarms_per_hour"], figures["episode_se"], counts.median_delay_s()
    false, found, late_s = (math.nan if value is None else value for value in values)
    return false, found, late_s
