"""The twelve standard leads: their names, their order, and the names that data sets use for them."""

from collections.abc import Sequence

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

_INDEX = {name.upper(): index for index, name in enumerate(LEADS)}
# MLII is the modified lead II of ambulatory recorders (MIT-BIH); the others are spellings seen in headers.
_ALIASES = {"MLI": "I", "MLII": "II", "MLIII": "III", "D1": "I", "DI": "I", "D2": "II", "DII": "II"} | {
    f"MV{k}": f"V{k}" for k in range(1, 7)
}
# Channel names that hand-held recorders with one channel use; they say nothing about the lead.
_UNNAMED = {"", "ECG", "ECG1", "CH1", "VAL"}


def lead_index(name: str) -> int | None:
    """Return the position of a lead in `LEADS`, or None when the name is not one of the twelve.

    Case, spaces, and a leading `ECG ` or `LEAD ` are ignored; `MLII` counts as II.
    """
    key = name.strip().upper()
    for prefix in ("ECG ", "LEAD "):
        key = key.removeprefix(prefix)
    return _INDEX.get(_ALIASES.get(key, key).upper())


def lead_positions(names: Sequence[str]) -> tuple[int | None, ...]:
    """Map channel names to positions in `LEADS`; None marks a channel that the model cannot use.

    A single channel without a lead's name (`ECG`, `val`, empty) counts as lead I: that is what hand-held recorders
    measure. When two channels have the same lead, the first is used.
    """
    if len(names) == 1 and lead_index(names[0]) is None and names[0].strip().upper() in _UNNAMED:
        return (0,)
    positions: list[int | None] = []
    for name in names:
        index = lead_index(name)
        positions.append(None if index in positions else index)
    return tuple(positions)
