"""The twelve standard leads: their names, their order, and the names that data sets and devices use for them.

Channels that are called ECG and nothing more get a documented default, see `assign_leads`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

_INDEX = {name.upper(): index for index, name in enumerate(LEADS)}
# MLII is the modified lead II of ambulatory recorders (MIT-BIH), MCL1 the modified chest lead that stands for V1; the
# others are spellings seen in headers.
_ALIASES = (
    {f"{prefix}{k}": roman for k, roman in ((1, "I"), (2, "II"), (3, "III")) for prefix in ("D", "ML")}
    | {f"{prefix}{roman}": roman for roman in ("I", "II", "III") for prefix in ("D", "ML")}
    | {f"{prefix}{k}": f"V{k}" for k in range(1, 7) for prefix in ("MV", "MCL")}
)
# Words around a lead's name that say nothing about which lead it is.
_FILLERS = re.compile(r"\b(?:MODIFIED|MOD|ECG|EKG|LEAD)\b|[\s,;:._()/-]+")
_LEAD_AT_END = re.compile(r"\bLEAD[\s:_-]*(\w+)\s*$")  # "ECG recorded using bedside monitor, lead II"
_GLUED = re.compile(r"^(?:ECG|EKG|LEAD)[\s_-]*(?=(?:I{1,3}|AV[RLF]|V[1-6]|ML?I{1,3})$)")  # "LeadII"
# Channels that hold an ECG of a lead that their name does not tell, with the defaults that they may get, in order.
_II_OR_V1 = ("II", "V1")
_DEFAULTS = dict.fromkeys(("ECG", "EKG"), _II_OR_V1) | {
    "ECG1": ("II",),
    "EKG1": ("II",),
    "ECG2": ("V1",),
    "EKG2": ("V1",),
    "V": ("V1",),  # the one chest lead of a bedside monitor
    "MCL": ("V1",),
}
# Channel names that hand-held recorders with one channel use; they measure lead I.
_SINGLE = {"", "ECG", "EKG", "ECG1", "CH1", "VAL"}
LEFT_OUT = "-"  # in a list of leads: do not use this channel


@dataclass(frozen=True, slots=True)
class LeadAssignment:
    """Which lead each channel is taken for."""

    positions: tuple[int | None, ...]  # in `LEADS`; None: the channel is not used
    defaults: tuple[tuple[str, str], ...] = ()  # channel and lead where the channel's name does not tell the lead

    @property
    def notice(self) -> str | None:
        """One line about the defaults that were used; None where there are none."""
        if not self.defaults:
            return None
        channels = ", ".join(channel or "a channel without a name" for channel, _ in self.defaults)
        return f"{channels} taken for {', '.join(lead for _, lead in self.defaults)}; --leads says otherwise"


def lead_index(name: str) -> int | None:
    """Return the position of a lead in `LEADS`, or None when the name is not one of the twelve.

    Case, spaces, and words such as `ECG`, `lead` and `modified` are ignored; `MLII`, `ML2` and `D2` count as II,
    `MV1` and `MCL1` as V1. In a longer name the word after `lead` at its end counts.
    """
    for spelling in _spellings(name):
        position = _INDEX.get(_ALIASES.get(spelling, spelling).upper())
        if position is not None:
            return position
    return None


def _spellings(name: str) -> tuple[str, ...]:
    """Return the name in capitals: as it is, without spaces, the word after `lead` alone, without what says nothing."""
    key = name.strip().upper()
    at_end = _LEAD_AT_END.search(key)
    return key, re.sub(r"[\s_-]+", "", key), _GLUED.sub("", key), at_end[1] if at_end else key, _FILLERS.sub("", key)


def _default_leads(name: str) -> tuple[str, ...]:
    return next((_DEFAULTS[spelling] for spelling in _spellings(name) if spelling in _DEFAULTS), ())


def assign_leads(names: Sequence[str]) -> LeadAssignment:
    """Return which lead each of a stream's channels is taken for.

    A channel with a lead's name is that lead; of two channels with the same lead, the first is used. A channel called
    ECG, ECG1, ECG2, EKG, V or MCL gets a default: II for ECG and ECG1, or V1 for the second channel called ECG; V1 for
    ECG2, V and MCL. No default takes a lead that another channel already has. A single channel without a lead's name
    (ECG, `val`, empty) counts as lead I: that is what hand-held recorders measure.
    """
    if len(names) == 1 and lead_index(names[0]) is None and names[0].strip().upper() in _SINGLE:
        return LeadAssignment((0,), ((names[0].strip(), LEADS[0]),))
    positions: list[int | None] = []
    for name in names:
        index = lead_index(name)
        positions.append(None if index in positions else index)
    named = set(positions)
    defaults: list[tuple[str, str]] = []
    for channel, name in enumerate(names):
        given = {lead for _, lead in defaults}
        # The second channel called ECG is V1 even where a real II was found: it is not taken for another II.
        wanted = next((lead for lead in _default_leads(name) if lead not in given), None)
        if wanted is None or _INDEX[wanted] in named:
            continue
        positions[channel] = _INDEX[wanted]
        defaults.append((name.strip(), wanted))
    return LeadAssignment(tuple(positions), tuple(defaults))


def lead_positions(names: Sequence[str]) -> tuple[int | None, ...]:
    """Map channel names to positions in `LEADS`; None marks a channel that is not used. See `assign_leads`."""
    return assign_leads(names).positions


def map_leads(names: Sequence[str], leads: Sequence[str]) -> LeadAssignment:
    """Return the assignment that a user's list makes: the n-th of `leads` is the n-th channel, `-` leaves one out.

    Channels after the end of the list are left out.

    Raises
    ------
    ValueError
        When the list is longer than the channels, names no lead, names one twice, or what it names is no lead.
    """
    if len(leads) > len(names):
        raise ValueError(f"{len(leads)} leads for {len(names)} channels ({', '.join(names)})")
    check_leads(leads)
    positions = [None if lead.strip() == LEFT_OUT else lead_index(lead) for lead in leads]
    return LeadAssignment((*positions, *(None,) * (len(names) - len(leads))))


def check_leads(leads: Sequence[str]) -> None:
    """Raise ValueError unless each of a user's list is one of the twelve leads, named once, or `-`."""
    used = [lead_index(lead) for lead in leads if lead.strip() != LEFT_OUT]
    if None in used:
        wrong = next(lead for lead in leads if lead.strip() != LEFT_OUT and lead_index(lead) is None)
        raise ValueError(f"{wrong!r} is not a lead; the leads are {', '.join(LEADS)}, and {LEFT_OUT} leaves one out")
    if not used or len(set(used)) < len(used):
        raise ValueError("name at least one lead, and each only once")
