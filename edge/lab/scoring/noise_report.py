"""The scores under noise as two tables, a section of a results page and a picture.

The first table is about alarms, the second about the noisy periods: how often each lead was masked, and how well beats
were classified in the rest. The picture needs the `matplotlib` package.
"""

from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from edge.core.errors import EdgeError
from edge.lab.drawing import new_figure
from edge.lab.scoring.noise_stress import Condition, NoiseScore
from edge.lab.scoring.periods import PeriodScore

_CONDITION = ("noise", "SNR dB")
_ALARMS = ("false alarms", "an hour", "above clean", "technical in noise", "technical in clean", "episodes found")
_BEATS = ("PVC", "PAC")
_STYLES = ("o-", "x--", "s:", "^-.")  # of leads
_MEANING = {"ma": "muscle artefact", "bw": "baseline wander", "em": "electrode motion"}


@dataclass(frozen=True)
class _Grid:
    """A table: a row for each condition, the clean records first."""

    names: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def markdown(self) -> str:
        lines = [f"| {' | '.join(line)} |" for line in (self.names, *self.rows)]
        return "\n".join([lines[0], "|---" * len(self.names) + "|", *lines[1:]])

    def rich(self) -> Table:
        table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
        for name in self.names:
            table.add_column(name, overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        return table


def show(score: NoiseScore, console: Console) -> None:
    """Print the tables."""
    for grid in _grids(score):
        console.print(grid.rich())


def render(score: NoiseScore, heading: str, how: str, picture: str | None) -> str:
    """Return the section; `picture` is the relative link to the picture."""
    records = " and ".join(score.clean.figures.record_names)
    bundle = f"Records {records}. Bundle {score.bundle.name} {score.bundle.version} ({score.bundle.sha256[:12]})."
    training = "Training adds pieces of the same noise records, so this kind of noise was *seen in training*."
    parts = [f"## {heading}", how, f"{bundle} {score.protocol} {training}"]
    parts += [grid.markdown() for grid in _grids(score)]
    if picture is not None:
        parts.append(f"![scores against SNR]({picture})")
    return "\n\n".join(parts) + "\n"


def _grids(score: NoiseScore) -> tuple[_Grid, _Grid]:
    conditions, leads = (score.clean, *score.conditions), _leads(score)
    masked = tuple(f"{lead} masked" for lead in leads)
    f1 = tuple(f"{label} F1" for label in _BEATS)
    signal = (*_CONDITION, *masked, "unjudged", *f1, *(f"{name} in clean" for name in masked))
    return (
        _Grid((*_CONDITION, *_ALARMS), [(*_condition(each), *_alarms(each)) for each in conditions]),
        _Grid(signal, [(*_condition(each), *_signal(each, leads)) for each in conditions]),
    )


def _leads(score: NoiseScore) -> tuple[str, ...]:
    return tuple(score.clean.in_noise.masked)


def _condition(condition: Condition) -> tuple[str, str]:
    if condition.noise is None or condition.snr_db is None:
        return "none", ""
    return condition.noise, f"{condition.snr_db:g}"


def _alarms(condition: Condition) -> tuple[str, ...]:
    labels = condition.figures.labels
    found = sum(figures.counts["found"] for figures in labels.values())
    episodes = sum(figures.counts["episodes"] for figures in labels.values())
    return (
        str(condition.false_alarms),
        f"{condition.false_alarms_per_hour:.2f}",
        f"{condition.above_clean_per_hour:+.2f}",
        f"{condition.in_noise.technical:.0%}",
        f"{condition.in_clean.technical:.0%}",
        f"{found:g} of {episodes:g}",
    )


def _signal(condition: Condition, leads: tuple[str, ...]) -> tuple[str, ...]:
    periods = condition.in_noise
    f1 = (periods.window_f1.get(label) for label in _BEATS)
    return (
        *_masked(periods, leads),
        f"{periods.unjudged:.0%}",
        *("" if value is None else f"{value:.2f}" for value in f1),
        *_masked(condition.in_clean, leads),
    )


def _masked(periods: PeriodScore, leads: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{periods.masked.get(lead, 0.0):.0%}" for lead in leads)


def draw(score: NoiseScore, path: Path) -> None:
    """Draw false alarms, technical share, masked leads and PVC windows against the SNR.

    Raises
    ------
    EdgeError
        When matplotlib is not installed, or the file cannot be written.
    """
    figure = new_figure((13, 3), layout="constrained")
    axes = figure.subplots(1, 4)
    for number, noise in enumerate(dict.fromkeys(condition.noise for condition in score.conditions)):
        some = [condition for condition in score.conditions if condition.noise == noise]
        snr_db, periods = [condition.snr_db for condition in some], [condition.in_noise for condition in some]
        style_of_noise = {"color": f"C{number}", "label": _MEANING.get(str(noise), str(noise))}
        axes[0].plot(snr_db, [condition.above_clean_per_hour for condition in some], "o-", **style_of_noise)
        axes[1].plot(snr_db, [each.technical for each in periods], "o-", **style_of_noise)
        for lead, style in zip(_leads(score), cycle(_STYLES), strict=False):
            masked = [each.masked.get(lead, 0.0) for each in periods]
            axes[2].plot(snr_db, masked, style, color=style_of_noise["color"], label=lead if number == 0 else None)
        f1 = [each.window_f1.get("PVC") for each in periods]
        axes[3].plot(snr_db, [float("nan") if value is None else value for value in f1], "o-", **style_of_noise)
    titles = (
        "false alarms an hour above clean",
        "technical alarm on, share of noisy time",
        "lead masked, share of noisy windows",
        "PVC by noisy window, F1",
    )
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("SNR, dB")
        ax.invert_xaxis()  # more noise to the right
    axes[0].legend()
    axes[2].legend()
    try:
        figure.savefig(path, metadata={"Software": None})  # no version: the same figures give the same bytes
    except (OSError, ValueError) as exc:
        raise EdgeError(f"{path}: the picture cannot be written ({exc})") from exc
