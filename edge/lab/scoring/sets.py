"""What is known of the public sets beyond their annotation files: their names, and what their annotations leave open.

* cudb: every beat is marked N, "in no sense definitive", so that only VT and VF are known, VF from [ to ]
* svdb: beats alone; a single note of sinus rhythm in one record is not taken for more
* nsrdb: beats alone; every record is normal sinus rhythm by the set's definition
"""

from pathlib import Path

SETS = frozenset(
    {"mitdb", "nstdb", "svdb", "vfdb", "cudb", "nsrdb", "cinc2015", "cinc2017", "mimic-perform-af", "ptb-xl", "afdb"}
)
WITHOUT_CLASSES = frozenset({"cudb"})
WITHOUT_RHYTHMS = frozenset({"svdb"})
SINUS_THROUGHOUT = frozenset({"nsrdb"})


def set_of(folder: Path) -> str:
    """Return the name of the set that a folder holds: the nearest part of its path that is one, else its own name."""
    parts = folder.resolve().parts
    return next((part for part in reversed(parts) if part in SETS), parts[-1])
