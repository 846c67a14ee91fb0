"""Checkpoints side by side on the same records, with paired intervals of their differences."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.core.files import atomic_path
from edge.lab.drawing import new_figure
from edge.lab.scoring.bootstrap import bootstrap_interval
from training.data.statements import SCP_STATEMENTS
from training.evaluation.checkpoints import PARTS, score_groups
from training.evaluation.metrics import label_aucs, macro
from training.evaluation.ptb_xl import PROTOCOL, ScoredGroup
from training.loop import checkpoint

GROUPS = ("all", "diagnostic", "subdiagnostic", "superdiagnostic", "form", "rhythm")


def compare(folders: list[Path], data: Path, resamples: int, device: str = "cpu") -> dict[str, Any]:
    """Score every checkpoint on every part, and compare each with the first.

    Returns
    -------
    dict
        `protocol`, `names` and `parts.{part}`: `records`, `groups.{group}.{name}.{macro_auc, ci95, delta, delta_ci95}`
        and `statements.{code}.{name}`, the AUC of each statement that occurs

    Raises
    ------
    CheckpointError, DataError
        When a checkpoint or the data cannot be used.
    """
    models = {folder.name: checkpoint.load_classifier(folder).to(device) for folder in folders}
    result: dict[str, Any] = {"protocol": PROTOCOL, "names": list(models), "parts": {}}
    for title, part in PARTS.items():
        scored = {name: score_groups(model, data, part) for name, model in models.items()}
        first = scored[folders[0].name]
        result["parts"][title] = {
            "records": len(first["all"][1]),
            "groups": {
                group: {name: _figures(groups[group], first[group], resamples) for name, groups in scored.items()}
                for group in GROUPS
            },
            "statements": _statements({name: groups["all"] for name, groups in scored.items()}),
        }
    return result


def _statements(scored: dict[str, ScoredGroup]) -> dict[str, dict[str, float]]:
    aucs = {name: label_aucs(*group) for name, group in scored.items()}
    first = next(iter(aucs.values()))
    # Statements that do not occur in these records have no AUC, whatever the network.
    occur = [number for number in range(first.size) if np.isfinite(first[number])]
    codes = list(SCP_STATEMENTS)
    return {codes[number]: {name: float(values[number]) for name, values in aucs.items()} for number in occur}


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw the AUC of each statement on the first part as PNG, with one marker for each network."""
    title, part = next(iter(result["parts"].items()))
    names = result["names"]
    rows = sorted(part["statements"].items(), key=lambda row: row[1][names[0]])
    figure = new_figure((14, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, marker in zip(names, itertools.cycle("osx^v+")):
        axes.plot([code for code, _ in rows], [aucs[name] for _, aucs in rows], marker, markersize=4, label=name)
    axes.set(ylabel=f"AUC, {title}", xmargin=0.01)
    axes.tick_params(axis="x", rotation=90, labelsize=7)
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    with atomic_path(path) as scratch:
        figure.savefig(scratch, format="png", dpi=90)


def _figures(group: ScoredGroup, first: ScoredGroup, resamples: int) -> dict[str, Any]:
    def macro_auc(scored: ScoredGroup, rows: NDArray[np.intp]) -> float:
        return macro(label_aucs(scored[0][rows], scored[1][rows]))

    every = np.arange(len(group[1]))
    figures: dict[str, Any] = {
        "macro_auc": macro_auc(group, every),
        "ci95": bootstrap_interval(lambda rows: macro_auc(group, rows), every.size, resamples),
    }
    if group is not first:
        figures["delta"] = macro_auc(group, every) - macro_auc(first, every)
        figures["delta_ci95"] = bootstrap_interval(
            lambda rows: macro_auc(group, rows) - macro_auc(first, rows), every.size, resamples
        )
    return figures


def render(result: dict[str, Any], folders: list[Path]) -> str:
    """Return the figures as Markdown: a table for each part, and the command that made each network."""
    lines = ["## Networks side by side", "", result["protocol"] + ". In brackets the difference from the first."]
    for title, part in result["parts"].items():
        lines += ["", f"### {title}, {part['records']} records", ""]
        lines += ["| | " + " | ".join(result["names"]) + " |", "|---" * (1 + len(result["names"])) + "|"]
        for group, by_name in part["groups"].items():
            lines.append(f"| {group} | " + " | ".join(_cell(figures) for figures in by_name.values()) + " |")
    lines += ["", "How they were trained:", ""]
    for folder in folders:
        command = folder / checkpoint.COMMAND
        shape = json.loads((folder / checkpoint.CONFIG).read_text(encoding="utf-8"))["model"]
        millions = sum(p.numel() for p in checkpoint.load_model(folder)[0].parameters()) / 1e6
        made = command.read_text(encoding="utf-8").strip() if command.is_file() else "unknown"
        lines.append(f"* {folder.name}: {millions:.2f} M parameters, widths {shape['dims']}: `{made}`")
    return "\n".join(lines)


def _cell(figures: dict[str, Any]) -> str:
    low, high = figures["ci95"]
    text = f"{figures['macro_auc']:.4f} [{low:.4f}, {high:.4f}]"
    if "delta" in figures:
        low, high = figures["delta_ci95"]
        text += f" ({figures['delta']:+.4f} [{low:+.4f}, {high:+.4f}])"
    return text
