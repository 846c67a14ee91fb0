"""Pictures of a comparison: the AUC of each label in int8 and FP32, and the values and ranges of each activation."""

import math
from pathlib import Path
from typing import Any

import numpy as np

_COLUMNS = 4
_COLOURS = {"minmax": "tab:orange", "percentile": "tab:green", "entropy": "tab:purple"}


def draw_labels(precisions: dict[str, Any], path: Path) -> None:
    """Draw the AUC of every label: FP32 on the x axis, quantized on the y axis. Labels below the diagonal lose."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    lowest = 1.0
    for precision, marker in (("int8", "o"), ("int8_fp16", "x")):
        rows = precisions.get(precision, {}).get("labels", {})
        before, after = ([row[key] for row in rows.values()] for key in ("auc_fp32", "auc"))
        lowest = min([lowest, *before, *after])
        axes.plot(before, after, marker, label=precision, markersize=5, fillstyle="none")
        worst = sorted(rows.items(), key=lambda item: item[1]["delta"])[:3]
        for name, row in worst if precision == "int8" else ():
            axes.annotate(name, (row["auc_fp32"], row["auc"]), fontsize=7)
    axes.plot([lowest, 1.0], [lowest, 1.0], color="grey", linewidth=0.8)
    axes.set(xlabel="AUC of a label, FP32", ylabel="AUC of the same label, quantized")
    axes.legend()
    figure.savefig(path, metadata={"Software": None})


def draw_activations(quantization: dict[str, Any], path: Path) -> None:
    """Draw the histogram of each quantized activation with its ranges; the line of the chosen one is solid."""
    from matplotlib.figure import Figure

    activations, names = quantization["activations"], _names(quantization)
    rows = math.ceil(len(activations) / _COLUMNS)
    figure = Figure(figsize=(3 * _COLUMNS, 1.7 * rows), layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for panel, (tensor, found) in zip(panels, activations.items(), strict=False):
        bars = np.array(found["bars"])
        edges = np.linspace(0.0, found["limit"], bars.size + 1)
        panel.stairs(bars, edges, fill=True, color="lightgrey")
        for method, limit in found["ranges"].items():
            style = "-" if method == found["method"] else ":"
            panel.axvline(limit, color=_COLOURS[method], linestyle=style, linewidth=1.2, label=method)
        panel.set_yscale("log")
        panel.set_title(names.get(tensor, tensor), fontsize=6)
        panel.tick_params(labelsize=6)
    for panel in panels[len(activations) :]:
        panel.remove()
    panels[0].legend(fontsize=6)
    figure.savefig(path, metadata={"Software": None})


def _names(quantization: dict[str, Any]) -> dict[str, str]:
    """Name each activation after the layer that reads it."""
    return {layer["activation"]: f"into {layer['name'].removeprefix('network.')}" for layer in quantization["layers"]}
