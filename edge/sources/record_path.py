"""Where a WFDB record is: a path, a name below the folder of the data sets, or a name on PhysioNet."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from edge.core.errors import RecordError


@dataclass(frozen=True, slots=True)
class RecordRef:
    """Location of a record: `path` without extension, below the PhysioNet directory `pn_dir` if that is set."""

    path: str
    pn_dir: str | None = None


def data_root() -> Path:
    """Return the folder of the data sets: the environment's `ECG_DATA`, or `~/.cache/ecg-nat/data`."""
    return Path(os.environ.get("ECG_DATA") or "~/.cache/ecg-nat/data").expanduser()


def resolve_record(name: str) -> RecordRef:
    """Find a record: as a local path (with or without `.hea`), then below `data_root`, then on PhysioNet.

    Raises
    ------
    RecordError
        When there is no such file, and the name has not PhysioNet's form `database/record`.
    """
    stem = name.removesuffix(".hea")
    for path in (Path(stem).expanduser(), data_root() / stem):
        if Path(f"{path}.hea").is_file():
            return RecordRef(path.as_posix())
    if not re.fullmatch(r"[a-z0-9][\w.-]*(/[\w.-]+)+", stem) or ".." in stem:
        raise RecordError(f"no record {name!r} here or in {data_root()}; give a path, or a name such as mitdb/208")
    directory, _, record = stem.rpartition("/")
    return RecordRef(record, directory)
