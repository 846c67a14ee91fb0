"""Recordings for a replay: WFDB records and the synthetic patient, both as ADC integers."""

from typing import Protocol

from edge.sources.formats.adc import AdcSource

SYNTHETIC = "synthetic"
_SYNTHETIC_LEADS = ("II", "V1")  # as an ambulatory recorder has them


class Recording(AdcSource, Protocol):
    """ADC integers of a known length."""

    @property
    def samples(self) -> int:
        """Length in sample instants."""


def open_recording(name: str) -> Recording:
    """Open a WFDB record by path or name, or `synthetic`, or `synthetic:SCENARIO`.

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

    return WfdbRecord(name)
