"""WFDB records as a source: read as ADC integers, so that a replay can send them over any wire.

Only channels that `edge.core.leads` takes for one of the twelve leads are read. Where a signal file is shorter than its
header states, the rest counts as missing (a last, empty block at the header's length), because a report must show that
recorded instants are gone. Records of several segments, leads of different rates, and units that are not a voltage are
refused. Needs the `wfdb` package, which is imported on first use.
"""

import logging
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np

from edge.core.errors import FrameError, RecordError, SourceError
from edge.core.leads import LEADS, LeadAssignment, assign_leads, lead_index, map_leads
from edge.core.samples import Block, Cause
from edge.mqtt.topics import stream_id
from edge.sources.base import SourceBase
from edge.sources.formats.adc import MAX_LEAD_NAME, AdcBlock, AdcSpec, invalid_code
from edge.sources.record_path import data_root, resolve_record

_LOG = logging.getLogger(__name__)
_READ_S = 300.0  # length of the pieces in which a local record is read
_PER_MV = {"nv": 1e6, "uv": 1e3, "µv": 1e3, "μv": 1e3, "mv": 1.0, "v": 1e-3}  # two Unicode signs for micro are in use
# Bytes of a sample in each format, after signal(5) of the WFDB manual; FLAC formats have no fixed size.
_BYTES: dict[str, int | Fraction] = {
    "8": 1,
    "80": 1,
    "16": 2,
    "61": 2,
    "160": 2,
    "212": Fraction(3, 2),
    "310": Fraction(4, 3),
}
_BYTES |= {"311": Fraction(4, 3), "24": 3, "32": 4}
# Width of a sample on a wire, where two bytes are not enough.
_WIDTHS = {"24": 3, "524": 3, "32": 4}
# The value that stands for "no value" in each format, as in wfdb-python.
_INVALID = {"80": -128, "508": -128, "212": -(1 << 11), "310": -(1 << 9), "311": -(1 << 9), "24": -(1 << 23)}
_INVALID |= {"524": -(1 << 23), "32": -(1 << 31), "16": -(1 << 15), "61": -(1 << 15), "160": -(1 << 15)}
_INVALID |= {"516": -(1 << 15)}


class WfdbRecord:
    """One record as ADC integers.

    Parameters
    ----------
    name : see `resolve_record`
    block_s : length of the blocks
    leads : the lead of each channel, in order, `-` to leave one out; empty: by the names in the header
    first_leads : use only so many of the leads, in the header's order; None: all

    Attributes
    ----------
    assignment : LeadAssignment - which lead each channel is taken for
    spec : AdcSpec - leads, rate, gains and baselines
    samples : int - length in sample instants, as the header states
    available : int - sample instants that the signal files hold

    Raises
    ------
    RecordError
        When the record cannot be found or read, or is not supported.
    SourceError
        When wfdb is not installed.
    """

    def __init__(
        self, name: str, block_s: float = 0.5, leads: Sequence[str] = (), first_leads: int | None = None
    ) -> None:
        self._wfdb = _import_wfdb()
        self.name = name
        self.ref = resolve_record(name)
        header = self._header()
        self.assignment = _assign_leads(name, header, leads)
        usable = [channel for channel, position in enumerate(self.assignment.positions) if position is not None]
        self._channels = usable[:first_leads]
        self._per_frame = _samples_per_frame(name, header, self._channels)
        self._formats = [str(header.fmt[channel]) for channel in self._channels]
        names = [_lead_name(header, channel, self.assignment, given=bool(leads)) for channel in self._channels]
        self.spec = _spec(name, header, self._channels, names, self._per_frame)
        frames = self._available_frames(header)
        self.available = frames * self._per_frame
        self.samples = (header.sig_len or frames) * self._per_frame
        if self.samples == 0 or self.available == 0:
            raise RecordError(f"record {name} holds no samples")
        if self.available < self.samples:
            _LOG.warning("record %s: %d of %d samples are missing at its end", name, self._lost, self.samples)
        self._block_samples = max(1, round(block_s * self.spec.sample_rate_hz))

    @property
    def _lost(self) -> int:
        return self.samples - self.available

    def adc_blocks(self) -> Iterator[AdcBlock]:
        """Yield the record in blocks; the last one is empty and begins at the header's length.

        Raises
        ------
        RecordError
            When a signal file cannot be read.
        """
        frames = self.available // self._per_frame
        step = frames if self.ref.pn_dir else max(1, round(_READ_S * self.spec.sample_rate_hz / self._per_frame))
        for start in range(0, frames, step):
            chunk = self._read(start, min(start + step, frames))
            for first in range(0, chunk.adc.shape[1], self._block_samples):
                yield chunk.part(first, min(first + self._block_samples, chunk.adc.shape[1]), self.spec)
        nothing = np.zeros((len(self.spec.leads), 0))
        yield AdcBlock(
            self.samples, nothing.astype(np.int32), nothing.astype(np.uint8), self._us(self.samples), last=True
        )

    def _read(self, start: int, stop: int) -> AdcBlock:
        record = self._call(
            "rdrecord", sampfrom=start, sampto=stop, channels=self._channels, physical=False, smooth_frames=False
        )
        adc = np.stack(record.e_d_signal).astype(np.int32)  # (leads, samples)
        codes = [_INVALID.get(fmt, invalid_code(4)) for fmt in self._formats]
        missing = np.where(adc == np.array(codes)[:, None], np.uint8(Cause.INVALID), np.uint8(0))
        first_sample = start * self._per_frame
        return AdcBlock(first_sample, adc, missing, self._us(first_sample))

    def _us(self, sample: int) -> int:
        return round(sample * 1e6 / self.spec.sample_rate_hz)

    def _header(self) -> Any:  # noqa: ANN401 - wfdb has no types
        header = self._call("rdheader")
        if isinstance(header, self._wfdb.MultiRecord):
            raise RecordError(f"record {self.name} has several segments; give the name of one of them")
        if not header.n_sig or header.file_name is None:
            raise RecordError(f"record {self.name} has no signals")
        return header

    def _call(self, function: str, **options: object) -> Any:  # noqa: ANN401 - wfdb has no types
        """Call a function of wfdb on the record; every error becomes one line."""
        try:
            return getattr(self._wfdb, function)(self.ref.path, pn_dir=self.ref.pn_dir, **options)
        except (
            OSError,
            ValueError,
            IndexError,
            KeyError,
            TypeError,
            AttributeError,
        ) as exc:  # all of them occur on bad files
            reason = " ".join(str(exc).split())[:160]
            if self.ref.pn_dir:
                raise RecordError(
                    f"record {self.name} is not in {data_root()} and PhysioNet did not give it ({reason}); "
                    f"download the set, or set ECG_DATA to the folder that holds it"
                ) from exc
            raise RecordError(f"record {self.name} cannot be read: {reason}") from exc

    def _available_frames(self, header: Any) -> int:  # noqa: ANN401 - wfdb has no types
        """Return how many frames every signal file holds; the header's number where a file's size does not show it."""
        stated = int(header.sig_len or 0)
        if self.ref.pn_dir:
            return stated
        held = []
        for name in sorted({header.file_name[channel] for channel in self._channels}):
            path = Path(self.ref.path).with_name(name)
            if not path.is_file():
                raise RecordError(f"record {self.name}: its signal file {path} is missing")
            channels = [k for k, other in enumerate(header.file_name) if other == name]
            size = _BYTES.get(str(header.fmt[channels[0]]))
            offset = header.byte_offset[channels[0]] or 0
            per_frame = sum(header.samps_per_frame[k] for k in channels)
            if size is None:
                held.append(stated)
            else:
                held.append(max(0, int((path.stat().st_size - offset) / size) // per_frame))
        return min([*held, stated] if stated else held)


class WfdbRecordSource(SourceBase):
    """A record as a source of blocks, without waiting.

    Parameters
    ----------
    record : a name for `resolve_record`, or an open record
    block_s : length of a block, when `record` is a name
    stream : id of the stream; made from the record's name if left out
    leads : see `WfdbRecord`, when `record` is a name
    """

    def __init__(
        self,
        record: str | WfdbRecord,
        block_s: float = 0.5,
        stream: str | None = None,
        leads: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.record = WfdbRecord(record, block_s, leads) if isinstance(record, str) else record
        if self.record.assignment.notice:
            _LOG.warning("record %s: %s", self.record.name, self.record.assignment.notice)
        self.stream = stream or stream_id(self.record.name)

    def blocks(self) -> Iterator[Block]:
        """Yield the record; the last block is empty.

        Raises
        ------
        RecordError
            When a signal file cannot be read.
        """
        for block in self.record.adc_blocks():
            if self._stopping.is_set():
                return
            yield block.to_block(self.stream, self.record.spec)


def _import_wfdb() -> ModuleType:
    try:
        import wfdb
    except ImportError as exc:
        raise SourceError("records need the wfdb package: pip install 'ecg-nat[data]'") from exc
    return cast("ModuleType", wfdb)


def _assign_leads(name: str, header: Any, leads: Sequence[str]) -> LeadAssignment:  # noqa: ANN401 - wfdb has no types
    names = [text or "" for text in header.sig_name]
    try:
        assignment = map_leads(names, leads) if leads else assign_leads(names)
    except ValueError as exc:
        raise RecordError(f"record {name}: {exc}") from exc
    if not any(position is not None for position in assignment.positions):
        raise RecordError(
            f"record {name} has none of the twelve leads; its channels: {', '.join(names) or 'no names'}; "
            f"--leads can name them"
        )
    return assignment


def _lead_name(header: Any, channel: int, assignment: LeadAssignment, *, given: bool) -> str:  # noqa: ANN401 - wfdb has no types
    """Return the header's name where it is short and names the lead, else the lead that the channel is taken for."""
    position = assignment.positions[channel]
    if position is None:
        raise ValueError(f"channel {channel} is not used")
    name = str(header.sig_name[channel] or "")
    is_own = not given and len(name) <= MAX_LEAD_NAME and name.isascii() and lead_index(name) == position
    return name if is_own else LEADS[position]


def _samples_per_frame(name: str, header: Any, channels: list[int]) -> int:  # noqa: ANN401 - wfdb has no types
    per_frame = {int(header.samps_per_frame[channel]) for channel in channels}
    if len(per_frame) > 1:
        raise RecordError(f"record {name} has leads of different sample rates")
    return per_frame.pop()


def _spec(name: str, header: Any, channels: list[int], leads: list[str], per_frame: int) -> AdcSpec:  # noqa: ANN401
    units = [str(header.units[channel]) for channel in channels]
    if unknown := [unit for unit in units if unit.lower() not in _PER_MV]:
        raise RecordError(f"record {name}: unit {unknown[0]!r} is not a voltage; V, mV, uV and nV are")
    try:
        return AdcSpec(
            leads=tuple(leads),
            sample_rate_hz=float(header.fs) * per_frame,
            gain=tuple(
                float(header.adc_gain[channel]) * _PER_MV[unit.lower()]
                for channel, unit in zip(channels, units, strict=True)
            ),
            baseline=tuple(int(header.baseline[channel]) for channel in channels),
            width=max(_WIDTHS.get(str(header.fmt[channel]), 2) for channel in channels),
        )
    except FrameError as exc:
        raise RecordError(f"record {name}: {exc}") from exc
