"""The scores under noise as a table, a section of `RESULTS.md` and a picture. Knows no arithmetic.

The picture needs the `matplotlib` package.
"""

from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from edge.drawing import new_figure
from edge.errors import EdgeError
from edge.scoring.noise_stress import Condition, NoiseScore

_NAMES = ("noise", "SNR dB", "false alarms", "an hour", "above clean", "technical in noise", "technical in clean")
_BEATS = ("PVC", "PAC")
_MEANING = {"ma": "muscle artefact", "bw": "baseline wander", "em": "electrode motion"}


def show(score: NoiseScore, console: Console) -> None:
    """Print the table."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for name in _names():
        table.add_column(name, overflow="fold")
    for row in _rows(score):
        table.add_row(*row)
    console.print(table)


def render(score: NoiseScore, heading: str, how: str, picture: str | None) -> str:
    """Return the section; `picture` is the link of the picture from the file."""
    names = _names()
    rows = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    rows += [f"| {' | '.join(row)} |" for row in _rows(score)]
    records = " and ".join(score.clean.figures.record_names)
    bundle = f"Records {records}. Bundle {score.bundle.name} {score.bundle.version} ({score.bundle.sha256[:12]})."
    training = "Training adds pieces of the same noise records, so that their kind is *seen in training*."
    parts = [f"## {heading}", how, f"{bundle} {score.protocol} {training}", "\n".join(rows)]
    if picture is not None:
        parts.append(f"![scores against SNR]({picture})")
    return "\n\n".join(parts) + "\n"


def _names() -> tuple[str, ...]:
    return (*_NAMES, "episodes found", *(f"{label} F1" for label in _BEATS))


def _rows(score: NoiseScore) -> list[tuple[str, ...]]:
    return [_row(condition) for condition in (score.clean, *score.conditions)]


def _row(condition: Condition) -> tuple[str, ...]:
    labels = condition.figures.labels
    found = sum(figures.counts["found"] for figures in labels.values())
    episodes = sum(figures.counts["episodes"] for figures in labels.values())
    noise = "none" if condition.noise is None else condition.noise
    return (
        noise,
        "" if condition.snr_db is None else f"{condition.snr_db:g}",
        str(condition.false_alarms),
        f"{condition.false_alarms_per_hour:.2f}",
        f"{condition.above_clean_per_hour:+.2f}",
        f"{condition.technical_in_noise:.0%}" if condition.noise else "",
        f"{condition.technical_in_clean:.0%}",
        f"{found:g} of {episodes:g}",
        *(_f1(condition, label) for label in _BEATS),
    )


def _f1(condition: Condition, label: str) -> str:
    figures = condition.figures.labels.get(label)
    return "" if figures is None or figures.window_f1 is None else f"{figures.window_f1:.2f}"


def draw(score: NoiseScore, path: Path) -> None:
    """Draw false alarms, technical share and PVC windows against the SNR.

    Raises
    ------
    EdgeError
        When matplotlib is not installed, or the file cannot be written.
    """
    figure = new_figure((10, 3), layout="constrained")
    axes = figure.subplots(1, 3)
    for noise in dict.fromkeys(condition.noise for condition in score.conditions):
        some = [condition for condition in score.conditions if condition.noise == noise]
        snr_db = [condition.snr_db for condition in some]
        f1 = [
            condition.figures.labels["PVC"].window_f1 if "PVC" in condition.figures.labels else None
            for condition in some
        ]
        name = _MEANING.get(str(noise), str(noise))
        axes[0].plot(snr_db, [condition.above_clean_per_hour for condition in some], "o-", label=name)
        axes[1].plot(snr_db, [condition.technical_in_noise for condition in some], "o-", label=name)
        axes[2].plot(snr_db, [float("nan") if value is None else value for value in f1], "o-", label=name)
    titles = ("false alarms an hour above clean", "technical alarm on, share of noisy time", "PVC by window, F1")
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("SNR, dB")
        ax.invert_xaxis()
    axes[0].legend()
    try:
        figure.savefig(path, metadata={"Software": None})
    except (OSError, ValueError) as exc:
        raise EdgeError(f"{path}: the picture cannot be written ({exc})") from exc
