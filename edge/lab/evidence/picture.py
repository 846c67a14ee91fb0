"""Draws a strip on ECG paper: 25 mm/s, 10 mm/mV, a thick line every 5 mm. Needs the `matplotlib` package.

Printed at its own size, the picture has the millimetres of paper.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.core.errors import EdgeError
from edge.lab.drawing import new_figure
from edge.lab.evidence.strip import Strip

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MM_PER_S = 25.0
MM_PER_MV = 10.0
_DPI = 160
_MM_PER_INCH = 25.4
_PULSE_MM = 12.0  # of paper before the trace, for the lead's name and the 1 mV pulse
_MARGIN_MM = 5.0
_LINE_MM = 4.5  # of text
_LEAST_ROW_MM, _MOST_ROW_MM = 20.0, 60.0
_THIN, _THICK, _INK, _MARK = "#f7d4d0", "#eea59c", "#141414", "#b00020"


def draw_strip(strip: Strip, path: Path) -> Path:
    """Draw a strip as PNG and return its path.

    Raises
    ------
    EdgeError
        When matplotlib is not installed, or the file cannot be written.
    """
    # All sizes are in millimetres of paper and become inches and fractions only where matplotlib wants them.
    rows_mm = [_row_mm(lead) for lead in strip.signal_mv]
    paper_mm = 5.0 * np.ceil(MM_PER_S * strip.signal_mv.shape[1] / strip.sample_rate_hz / 5.0)
    head_mm, foot_mm = 2 * _LINE_MM, _LINE_MM * (len(strip.details) + 1)
    width_mm = max(_PULSE_MM + paper_mm, 200.0) + 2 * _MARGIN_MM  # room for the lines of text
    height_mm = sum(rows_mm) + head_mm + foot_mm
    figure = new_figure((width_mm / _MM_PER_INCH, height_mm / _MM_PER_INCH), dpi=_DPI)
    axes = figure.add_axes(
        (
            _MARGIN_MM / width_mm,
            foot_mm / height_mm,
            (_PULSE_MM + paper_mm) / width_mm,
            sum(rows_mm) / height_mm,
        )
    )
    _draw_paper(axes, paper_mm, sum(rows_mm))
    _draw_leads(axes, strip, rows_mm)
    left = _MARGIN_MM / width_mm
    # `parse_math=False`: texts come from the network, and a $ in them must not be read as a formula.
    figure.text(left, 1 - 1.4 * _LINE_MM / height_mm, strip.heading, size=10, weight="bold", parse_math=False)
    lines = (*strip.details[:-1], f"{MM_PER_S:g} mm/s, {MM_PER_MV:g} mm/mV. {strip.details[-1]}")
    for number, line in enumerate(lines, 1):
        figure.text(left, (foot_mm - number * _LINE_MM - 1.0) / height_mm, line, size=7, parse_math=False)
    try:
        figure.savefig(path, format="png")
    except OSError as exc:
        raise EdgeError(f"{path}: cannot be written: {exc.strerror}") from exc
    return path


def _row_mm(signal_mv: np.ndarray) -> float:
    """Return the height of a lead's row: that of its trace, within limits, in whole squares of 5 mm."""
    needed = MM_PER_MV * float(np.ptp(signal_mv)) + 6.0
    return 5.0 * float(np.ceil(min(max(needed, _LEAST_ROW_MM), _MOST_ROW_MM) / 5.0))


def _draw_paper(axes: "Axes", width_mm: float, height_mm: float) -> None:
    for step, color, width in ((1.0, _THIN, 0.4), (5.0, _THICK, 0.7)):
        axes.vlines(np.arange(0.0, width_mm + 0.5, step), 0, height_mm, colors=color, linewidths=width, zorder=0)
        axes.hlines(np.arange(0.0, height_mm + 0.5, step), 0, width_mm, colors=color, linewidths=width, zorder=0)
    axes.set_xlim(-_PULSE_MM, width_mm)
    axes.set_ylim(0, height_mm)
    axes.axis("off")


def _draw_leads(axes: "Axes", strip: Strip, rows_mm: list[float]) -> None:
    """Draw each lead in its own row, the first on top, and mark the end of the window behind the alert."""
    top_mm = sum(rows_mm)
    end_mm = MM_PER_S * strip.signal_mv.shape[1] / strip.sample_rate_hz
    at_mm = MM_PER_S * np.arange(strip.signal_mv.shape[1]) / strip.sample_rate_hz
    for lead, signal_mv, row_mm in zip(strip.leads, strip.signal_mv, rows_mm, strict=True):
        middle_mm = MM_PER_MV * float(signal_mv.max() + signal_mv.min()) / 2
        zero_mm = top_mm - row_mm / 2 - middle_mm
        trace_mm = np.clip(zero_mm + MM_PER_MV * signal_mv, top_mm - row_mm, top_mm)  # cut at the borders of its row
        axes.plot(at_mm, trace_mm, color=_INK, linewidth=0.8)
        foot_mm = top_mm - row_mm / 2 - MM_PER_MV / 2
        pulse = ([-7, -6, -6, -2, -2, -1], foot_mm + MM_PER_MV * np.array([0, 0, 1, 1, 0, 0]))
        axes.plot(*pulse, color=_INK, linewidth=0.8)
        axes.text(-_PULSE_MM + 0.5, top_mm - row_mm / 2, lead, size=8, weight="bold", va="center", color=_INK)
        top_mm -= row_mm
    axes.axvline(end_mm, color=_MARK, linewidth=1.2, linestyle="--")
