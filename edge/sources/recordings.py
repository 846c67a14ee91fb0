"""Recordings for a replay: WFDB records and the synthetic patient, both as ADC integers."""

from collections.abc import Sequence
from typing import Protocol

from edge.sources.formats.adc import AdcSource

SYNTHETIC = "synthetic"
_SYNTHETIC_LEADS = ("II", "V1")  # as an ambulatory recorder has them


class Recording(AdcSource, Protocol):
    """ADC integers of a known length."""

    @property
    def samples(self) -> int:
        """Length in sample instants."""


def open_recording(name: str, leads: Sequence[str] = (), first_leads: int | None = None) -> Recording:
    """Open a WFDB record by path or name, or `synthetic`, or `synthetic:SCENARIO`.

    Parameters
    ----------
    leads : the lead of each channel of a record, in order, `-` to leave one out; empty: by their names
    first_leads : use only so many leads of a record; None: all

    Raises
    ------
    SourceError
        When there is no such record, or it cannot be used.
    ConfigError
        When the scenario cannot be read.
    """
    kind, _, scenario = name.partition(":")
    if kind == SYNTHETIC:
        from edge.sources.synthetic import SyntheticSource

        return SyntheticSource(scenario or "demo", leads=_SYNTHETIC_LEADS)
    from edge.sources.wfdb_record import WfdbRecord

    return WfdbRecord(name, leads=leads, first_leads=first_leads)


def lead_notice(recording: Recording) -> str | None:
    """Return one line about channels whose lead was taken by default; None where there are none."""
    from edge.sources.wfdb_record import WfdbRecord

    return recording.assignment.notice if isinstance(recording, WfdbRecord) else None
