"""The MQTT payload: one struct, as MessagePack for devices or as JSON for a quick try.

A payload that begins with `{` is JSON, any other is MessagePack. The stream's id is not in the payload: it is the level
of the topic that the subscription's `+` stands for. At most 64 KiB; unknown fields are refused. QoS 1 is advised, and
one topic per device.

The smallest JSON payload: {"version": 1, "sample_rate_hz": 250, "leads": ["I"], "samples": [[0.01, 0.02]]}.
"""

import functools
import math
from collections import Counter
from dataclasses import replace
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from edge.core.errors import FrameError
from edge.core.samples import Block, Cause
from edge.sources.formats.adc import AdcBlock, AdcSpec, check_stream, lead_off_runs, pack, unpack
from edge.sources.formats.sequence import SequenceTracker

MAX_PAYLOAD_BYTES = 64 * 1024
_RESTART_S = 10.0  # a payload this far behind may be a device that restarted
_MAX_U64 = (1 << 63) - 1  # msgspec's constraints are signed

Millivolts = Annotated[list[float | None], Meta(max_length=MAX_PAYLOAD_BYTES)]


class SamplesPayload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A run of consecutive sample instants of one stream."""

    version: Annotated[Literal[1], Meta(description="Version of the payload.")]
    sample_rate_hz: Annotated[float, Meta(description="Samples per second and lead. 10 to 20000.")]
    leads: Annotated[tuple[str, ...], Meta(max_length=16, description="1 to 16 names of up to 8 ASCII characters.")]
    samples: Annotated[
        bytes | list[Millivolts],
        Meta(
            description="Either integers: bytes, little-endian, `width` bytes each, all leads of an instant together, "
            "the most negative value for 'no value'; in JSON as base64. Or millivolts: one list of numbers for each "
            "lead, all of one length, null for 'no value'."
        ),
    ]
    first_sample: Annotated[
        Annotated[int, Meta(ge=0, le=_MAX_U64)] | None,
        Meta(
            description="Index of the first instant, counted from the start of the session. Without it, the payload is "
            "taken to follow the one before, and lost payloads cannot be detected."
        ),
    ] = None
    width: Annotated[int | None, Meta(description="Only with integers: bytes of a sample. 2, 3 or 4.")] = None
    gain: Annotated[
        tuple[float, ...] | None, Meta(description="Only with integers: ADC units per mV of each lead.")
    ] = None
    baseline: Annotated[tuple[int, ...] | None, Meta(description="Only with integers: ADC value of 0 mV.")] = None
    device_us: Annotated[
        int, Meta(ge=0, le=_MAX_U64, description="The device's clock at the first instant, in microseconds.")
    ] = 0
    lead_off: Annotated[
        tuple[str, ...], Meta(max_length=16, description="Leads whose electrode is off during the payload.")
    ] = ()
    session: Annotated[
        int, Meta(ge=0, le=(1 << 32) - 1, description="A new number each time the device restarts its count.")
    ] = 0
    last: Annotated[bool, Meta(description="Whether the stream ends with this payload.")] = False

    @property
    def epoch(self) -> str:
        """The session as an epoch's name."""
        return str(self.session) if self.session else ""

    def to_block(self, stream: str, first_sample: int) -> Block:
        """Return the samples in mV.

        Raises
        ------
        FrameError
            When the fields contradict each other, or a number is out of range.
        """
        if unknown := set(self.lead_off) - set(self.leads):
            raise FrameError(f"lead_off names {min(unknown)[:20]!r}, which is not a lead of the payload")
        if isinstance(self.samples, bytes):
            return self._adc_block(self.samples, stream, first_sample)
        check_stream(self.leads, self.sample_rate_hz)
        return self._mv_block(self.samples, stream, first_sample)

    def _adc_block(self, samples: bytes, stream: str, first_sample: int) -> Block:
        if self.width is None or self.gain is None or self.baseline is None:
            raise FrameError("samples as integers need width, gain and baseline")
        spec = _adc_spec(self.leads, self.sample_rate_hz, self.gain, self.baseline, self.width)
        bits = sum(1 << k for k, lead in enumerate(self.leads) if lead in self.lead_off)
        adc, missing = unpack(samples, spec, bits)
        return AdcBlock(first_sample, adc, missing, self.device_us, self.last).to_block(stream, spec, self.epoch)

    def _mv_block(self, rows: list[list[float | None]], stream: str, first_sample: int) -> Block:
        if not (self.width is None and self.gain is None and self.baseline is None):
            raise FrameError("width, gain and baseline are only for samples as integers")
        if len(rows) != len(self.leads) or len({len(row) for row in rows}) != 1:
            raise FrameError(f"samples must be {len(self.leads)} lists of one length, one for each lead")
        values = np.array([[math.nan if value is None else value for value in row] for row in rows], np.float64)
        absent = np.array([[value is None for value in row] for row in rows], np.bool_).reshape(values.shape)
        if not np.all(absent | (np.abs(values) < 1e6)):  # false for NaN and infinity too
            raise FrameError("samples must be finite numbers in millivolts")
        missing = np.where(absent, np.uint8(Cause.INVALID), np.uint8(0))
        for k, lead in enumerate(self.leads):
            if lead in self.lead_off:
                missing[k] = Cause.LEAD_OFF
        samples = np.where(missing == Cause.PRESENT, values, 0.0).astype(np.float32)
        return Block(
            stream=stream,
            sample_rate_hz=self.sample_rate_hz,
            leads=self.leads,
            first_sample=first_sample,
            samples=samples,
            missing=missing,
            device_time_s=self.device_us / 1e6,
            epoch=self.epoch,
            last=self.last,
        )


# All payloads of a stream have the same spec, and checking it costs time. Bounded, because devices are not trusted.
_adc_spec = functools.lru_cache(maxsize=256)(AdcSpec)
_FROM_JSON = msgspec.json.Decoder(SamplesPayload)
_FROM_MSGPACK = msgspec.msgpack.Decoder(SamplesPayload)


def decode_payload(data: bytes) -> SamplesPayload:
    """Read a payload of either encoding.

    Raises
    ------
    FrameError
        When it is larger than 64 KiB or malformed; the text is one line.
    """
    if len(data) > MAX_PAYLOAD_BYTES:
        raise FrameError(f"a payload of {len(data)} bytes; at most {MAX_PAYLOAD_BYTES} are allowed")
    decoder = _FROM_JSON if data[:1] == b"{" else _FROM_MSGPACK
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise FrameError(f"not a samples payload: {' '.join(str(exc).split())[:200]}") from exc


class PayloadWriter:
    """Turns blocks of ADC integers into MessagePack payloads, as a device would.

    Parameters
    ----------
    spec : of the stream
    session : a new number each time the sample count restarts
    """

    def __init__(self, spec: AdcSpec, session: int = 0) -> None:
        self._spec = spec
        self._session = session
        self._instants = max(1, (MAX_PAYLOAD_BYTES - 2048) // spec.instant_bytes)

    def encode(self, block: AdcBlock) -> list[bytes]:
        """Return the payloads of a block, in order; the end of the stream is a separate, empty payload.

        Raises
        ------
        FrameError
            When a sample does not fit the width.
        """
        payloads = [
            self._payload(part, lead_off, last=False)
            for part, lead_off in lead_off_runs(block, self._spec, self._instants)
        ]
        if block.last:
            size = block.adc.shape[1]
            payloads.append(self._payload(block.part(size, size, self._spec), 0, last=True))
        return payloads

    def _payload(self, part: AdcBlock, lead_off: int, *, last: bool) -> bytes:
        spec = self._spec
        payload = SamplesPayload(
            version=1,
            sample_rate_hz=spec.sample_rate_hz,
            leads=spec.leads,
            samples=pack(part, spec),
            first_sample=part.first_sample,
            width=spec.width,
            gain=spec.gain,
            baseline=spec.baseline,
            device_us=part.device_us,
            lead_off=tuple(name for k, name in enumerate(spec.leads) if lead_off >> k & 1),
            session=self._session,
            last=last,
        )
        return msgspec.msgpack.encode(payload)


class PayloadStream:
    """Turns the payloads of one stream into blocks in order.

    A payload more than 10 s behind, continued by a second one, means that the device restarted without a new session
    number. The blocks then begin a new epoch: the session's name with `.1`, `.2` and so on.

    Parameters
    ----------
    stream : id of the stream
    counters : `duplicate_blocks` and `late_blocks` are counted here
    """

    def __init__(self, stream: str, counters: Counter[str]) -> None:
        self._stream = stream
        self._counters = counters
        self._session: int | None = None
        self._restarts = 0
        self._restart_sample = -1  # first sample of a payload that would confirm a restart; -1: none is expected
        self._tracker = SequenceTracker(counters)

    def gap_s(self, payload: SamplesPayload) -> float:
        """Return the length of the gap before a payload in s; 0 where it begins a session."""
        first_sample = payload.first_sample
        if first_sample is None or payload.session != self._session:
            return 0.0
        return max(first_sample - self._tracker.next_sample, 0) / payload.sample_rate_hz

    def add(self, payload: SamplesPayload, cause: Cause = Cause.SEQUENCE_GAP) -> list[Block]:
        """Return the blocks of the next payload; `cause` is the cause of a gap before it.

        Raises
        ------
        FrameError
            When the payload contradicts itself, or leads or rate changed within the session.
        """
        known = payload.session == self._session
        tracker, restarts = (self._tracker, self._restarts) if known else (SequenceTracker(self._counters), 0)
        first_sample = tracker.next_sample if payload.first_sample is None else payload.first_sample
        block = payload.to_block(self._stream, first_sample)
        far_behind = tracker.next_sample - first_sample > _RESTART_S * payload.sample_rate_hz
        # One payload from far behind may be late; a second one that continues it is a restart.
        if far_behind and first_sample == self._restart_sample:
            tracker, restarts, far_behind = SequenceTracker(self._counters), restarts + 1, False
        self._restart_sample = block.end_sample if far_behind else -1
        if restarts:
            block = replace(block, epoch=f"{block.epoch}.{restarts}")
        blocks = tracker.add(block, cause)  # raises before the state below changes
        self._session, self._restarts, self._tracker = payload.session, restarts, tracker
        return blocks
