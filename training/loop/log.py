"""The log of a run: a CSV file with a row for each save."""

import csv
from pathlib import Path
from typing import Any

from edge.core.files import atomic_path

LOG = "log.csv"


def append_log(folder: Path, row: dict[str, Any]) -> None:
    """Append a row, after a header if the log is new.

    Call it before the state is saved: a row without its state is cut on resuming, but a missing row stays missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOG
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(row)
        writer.writerow([f"{value:.5g}" if isinstance(value, float) else value for value in row.values()])


def read_log(folder: Path) -> list[dict[str, float]]:
    """Read the rows of the log."""
    with (folder / LOG).open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def cut_log(folder: Path, step: int) -> None:
    """Remove the rows after `step`, and a row that is not complete: the resumed run writes them again."""
    path = folder / LOG
    if not path.exists():
        return
    header, *lines = path.read_text().splitlines(keepends=True)
    column = header.strip().split(",").index("step")
    # A run that was killed while it wrote leaves a line without its end.
    kept = [line for line in lines if line.endswith("\n") and int(line.split(",")[column]) <= step]
    with atomic_path(path) as scratch:
        scratch.write_text(header + "".join(kept), newline="")
