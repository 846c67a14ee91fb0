"""The result of tuning as figures, as a table, and as a picture of every label's curves.

Each curve goes through the chosen setting and varies one of its fields: threshold, on delay or off delay.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.operating_points.scoring import SettingResults
from calibration.operating_points.settings import Setting
from calibration.operating_points.tuning import CrossvalRun, TuningResult
from edge.lab.scoring.episodes import Counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CURVES = {"threshold": "tab:blue", "on_delay_s": "tab:orange", "off_delay_s": "tab:green"}
_WIDTH, _HEIGHT = 3.4, 2.4


def summary(result: TuningResult, run: CrossvalRun) -> dict[str, Any]:
    """Return settings and figures for the JSON report."""
    hours = sum(record.hours for record in run.records)
    labels = {}
    for number, one in enumerate(result.results):
        labels[one.label.abbreviation] = {
            "setting": asdict(one.settings[result.chosen[number]]),
            "before": _figures(result.before[number]),
            "chosen": _figures(result.after[number]),
            "chosen_without_the_fold": _figures(result.nested_counts[number]),
        }
    sets = {"before": result.before, "chosen": result.after, "chosen_without_the_fold": result.nested_counts}
    return {
        "budget_per_hour": result.budget_per_hour,
        "hours": hours,
        "records": [record.name for record in run.records],
        "false_alarms_per_hour": {name: _false(counts) / hours for name, counts in sets.items()},
        "labels": labels,
        "folds": {fold: {k: asdict(v) for k, v in result.settings(fold).items()} for fold in run.folds},
    }


def _false(counts: Sequence[Counts]) -> int:
    return sum(one.alarms - one.right for one in counts)


def _figures(counts: Counts) -> dict[str, Any]:
    return counts.figures() | {"median_delay_s": counts.median_delay_s(), "episodes": counts.episodes}


def table(result: TuningResult) -> str:
    """Return the chosen settings and their figures as Markdown."""
    settings = ("label", "threshold", "clear", "on s", "off s", "windows pooled")
    names = (*settings, "episode Se / +P", "time Se / +P", "window F1", "false alarms/h", "delay s")
    rows = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for number, one in enumerate(result.results):
        setting, nested = one.settings[result.chosen[number]], result.nested_counts[number].figures()
        pairs = [f"{_text(nested[f'{kind}_se'])} / {_text(nested[f'{kind}_ppv'])}" for kind in ("episode", "duration")]
        rows.append(
            f"| {one.label.abbreviation} | {setting.threshold:g} | {setting.clear_threshold:.3g} "
            f"| {setting.on_delay_s:g} | {setting.off_delay_s:g} | {setting.pooled} | {' | '.join(pairs)} "
            f"| {_text(nested['window_f1'])} | {_text(nested['false_alarms_per_hour'])} "
            f"| {_text(result.nested_counts[number].median_delay_s(), 1)} |"
        )
    words = (
        f"Chosen by `ecg-calibrate tune` within {result.budget_per_hour:g} false alarms an hour over all labels, on "
        "all records of MIT-BIH's DS1 and on those in sinus rhythm throughout, with networks that had not seen their "
        "patients (`ecg-train crossval`). These settings replace the thresholds above. The figures are of settings "
        "that were chosen, fold by fold, without the patients that they are measured on."
    )
    return words + "\n\n" + "\n".join(rows)


def _text(value: float | None, places: int = 2) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def curve(one: SettingResults, chosen_number: int, field: str) -> list[tuple[float, Counts]]:
    """Return the counts of the settings that differ from the chosen one only in a field, by the field's value."""
    chosen = one.settings[chosen_number]
    share = chosen.clear_threshold / chosen.threshold
    points = []
    for number, setting in enumerate(one.settings):
        value = getattr(setting, field)
        varied: Setting = replace(chosen, **{field: value})
        if field == "threshold":
            varied = replace(varied, clear_threshold=value * share)
        if abs(setting.clear_threshold - varied.clear_threshold) < 1e-9 and setting == replace(
            varied, clear_threshold=setting.clear_threshold
        ):
            points.append((value, one.total(number, range(len(one.counts[number])))))
    return points


def draw_png(result: TuningResult, path: Path) -> None:
    """Draw the curves of all labels that occur in the records."""
    from matplotlib.figure import Figure

    shown = _shown(result)
    figure = Figure(figsize=(2 * _WIDTH, _HEIGHT * len(shown)), layout="constrained")
    rows = figure.subplots(len(shown), 2, squeeze=False)
    for row, number in zip(rows, shown, strict=True):
        _draw(row, result.results[number], result.chosen[number])
    figure.savefig(path, metadata={"Software": None})


def _shown(result: TuningResult) -> list[int]:
    """Return the numbers of the labels that occur in the records."""
    return [number for number, counts in enumerate(result.after) if counts.episodes]


def _draw(axes: Sequence["Axes"], one: SettingResults, chosen: int) -> None:
    """Draw sensitivity and delay over false alarms an hour, with a mark at the chosen setting."""
    for field, colour in _CURVES.items():
        false, found, delay_s = zip(*(_point(counts) for _, counts in curve(one, chosen, field)), strict=True)
        axes[0].plot(false, found, ".-", color=colour, label=field)
        axes[1].plot(false, delay_s, ".-", color=colour, label=field)
    chosen_false, *heights = _point(one.total(chosen, range(len(one.counts[chosen]))))
    for ax, height in zip(axes, heights, strict=True):
        ax.plot([chosen_false], [height], "o", color="black", fillstyle="none", markersize=9)
        ax.set_xscale("symlog", linthresh=0.1)  # logarithmic, but with a place for 0
        ax.set_xlabel("false alarms an hour")
    axes[0].set(title=one.label.abbreviation, ylabel="episode sensitivity", ylim=(-0.02, 1.02))
    axes[1].set(ylabel="median delay, s")
    axes[0].legend(fontsize=6)


def _point(counts: Counts) -> tuple[float, float, float]:
    """Return false alarms an hour, episode sensitivity and median delay; NaN where undefined."""
    figures = counts.figures()
    values = figures["false_alarms_per_hour"], figures["episode_se"], counts.median_delay_s()
    false, found, delay_s = (math.nan if value is None else value for value in values)
    return false, found, delay_s
