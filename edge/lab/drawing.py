"""An empty picture to draw on. Only this module imports matplotlib, and only when something is drawn."""

from typing import Any

from edge.core.errors import EdgeError


def new_figure(size_inch: tuple[float, float], **options: Any) -> Any:  # noqa: ANN401 - matplotlib is not typed here
    """Return a matplotlib figure of this width and height. Raises EdgeError where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise EdgeError("a picture needs the matplotlib package: pip install 'ecg-nat[evidence]'") from exc
    # Not through pyplot, which keeps every figure and may open a window.
    return Figure(figsize=size_inch, **options)
