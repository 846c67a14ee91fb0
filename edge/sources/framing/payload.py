"""The MQTT payload: one struct, as MessagePack for devices and as JSON for people who just want to try.

The stream's id is not in the payload, it is the level of the topic that the subscription's `+` stands for.
A payload that begins with `{` is JSON, any other is MessagePack. The fields, in both encodings a map:

    version         1
    sample_rate_hz  10 to 20000
    leads           1 to 16 names of up to 8 ASCII characters
    first_sample    index of the first instant, counted from the start of the session; may be left out, and
                    then the block is taken to follow the one before, and lost payloads cannot be seen
    samples         either integers: bytes, little-endian, `width` bytes each (2, 3 or 4), all leads of an instant
                    together, the most negative value for "no value"; in JSON as base64
                    or millivolts: one list of numbers a lead, all of one length, null for "no value"
    width           with integers only
    gain            with integers only: per lead, ADC units per mV
    baseline        with integers only: per lead, the ADC value of 0 mV
    device_us       the device's clock at the first instant, in us (0 if left out)
    lead_off        names of the leads whose electrode is off during the block (none if left out)
    session         another number each time the device starts to count anew (0 if left out)
    last            true when the stream ends with this block (false if left out)

The smallest JSON payload: {"version": 1, "sample_rate_hz": 250, "leads": ["I"], "samples": [[0.01, 0.02]]}.
At most 64 KiB; unknown fields are refused. QoS 1 is advised, and one topic a device. Gaps may be ten minutes at once,
and after that twice the time that passes.

Pure: bytes in, blocks out; knows no broker.
"""

import functools
import math
from collections import Counter
from dataclasses import replace
from typing import Annotated, Literal

import msgspec
import numpy as np

from edge.core.errors import FrameError
from edge.core.samples import Block, Cause
from edge.sources.framing.adc import AdcBlock, AdcSpec, check_stream, lead_off_runs, pack, unpack
from edge.sources.framing.order import StreamOrder

MAX_PAYLOAD_BYTES = 64 * 1024
_RESTART_S = 10.0
_MAX_U64 = (1 << 63) - 1  # msgspec's constraints are signed

Millivolts = Annotated[list[float | None], msgspec.Meta(max_length=MAX_PAYLOAD_BYTES)]


class SamplesPayload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The fields, as the module describes them."""

    version: Literal[1]
    sample_rate_hz: float
    leads: Annotated[tuple[str, ...], msgspec.Meta(max_length=16)]
    samples: bytes | list[Millivolts]
    first_sample: Annotated[int, msgspec.Meta(ge=0, le=_MAX_U64)] | None = None
    width: int | None = None
    gain: tuple[float, ...] | None = None
    baseline: tuple[int, ...] | None = None
    device_us: Annotated[int, msgspec.Meta(ge=0, le=_MAX_U64)] = 0
    lead_off: Annotated[tuple[str, ...], msgspec.Meta(max_length=16)] = ()
    session: Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)] = 0
    last: bool = False

    @property
    def epoch(self) -> str:
        """The session as an epoch's name."""
        return str(self.session) if self.session else ""

    def to_block(self, stream: str, first_sample: int) -> Block:
        """Return the samples in mV.

        Raises
        ------
        FrameError
            When the fields contradict each other, or a number is absurd.
        """
        if unknown := set(self.lead_off) - set(self.leads):
            raise FrameError(f"lead_off names {min(unknown)[:20]!r}, which is no lead of the payload")
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
            raise FrameError("width, gain and baseline do not go with samples in millivolts")
        if len(rows) != len(self.leads) or len({len(row) for row in rows}) != 1:
            raise FrameError(f"samples must be {len(self.leads)} lists of one length, a list for each lead")
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


# A stream's payloads all say the same; bounded, as any device may say anything.
_adc_spec = functools.lru_cache(maxsize=256)(AdcSpec)
_FROM_JSON = msgspec.json.Decoder(SamplesPayload)
_FROM_MSGPACK = msgspec.msgpack.Decoder(SamplesPayload)


def decode_payload(data: bytes) -> SamplesPayload:
    """Read a payload of either encoding.

    Raises
    ------
    FrameError
        When it is larger than 64 KiB, or no such payload; the text is one line.
    """
    if len(data) > MAX_PAYLOAD_BYTES:
        raise FrameError(f"a payload of {len(data)} bytes; at most {MAX_PAYLOAD_BYTES} are read")
    decoder = _FROM_JSON if data[:1] == b"{" else _FROM_MSGPACK
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise FrameError(f"no samples payload: {' '.join(str(exc).split())[:200]}") from exc


class PayloadWriter:
    """Turns blocks of ADC integers into MessagePack payloads, as a device would.

    Parameters
    ----------
    spec : of the stream
    session : another number each time the sample count starts anew
    """

    def __init__(self, spec: AdcSpec, session: int = 0) -> None:
        self._spec = spec
        self._session = session
        self._instants = max(1, (MAX_PAYLOAD_BYTES - 2048) // spec.instant_bytes)

    def encode(self, block: AdcBlock) -> list[bytes]:
        """Return the payloads of a block, in order; the end of the stream is an empty payload of its own.

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
    """The payloads of one stream as blocks in order.

    A session that begins again more than 10 s back is a device that restarted without a new session number, once a
    second payload follows on the first: the blocks then have an epoch of their own (`.1`, `.2` behind the session).

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
        self._follows = -1  # where a payload begins that follows on one from far back
        self._order = StreamOrder(counters)

    def gap_s(self, payload: SamplesPayload) -> float:
        """Return how long the gap is that a payload claims before it, in s; 0 where it begins a session."""
        first_sample = payload.first_sample
        if first_sample is None or payload.session != self._session:
            return 0.0
        return max(first_sample - self._order.next_sample, 0) / payload.sample_rate_hz

    def add(self, payload: SamplesPayload, cause: Cause = Cause.SEQUENCE_GAP) -> list[Block]:
        """Return the blocks of the next payload; `cause` is that of a gap before it.

        Raises
        ------
        FrameError
            When the payload contradicts itself, or the stream's leads or rate.
        """
        same = payload.session == self._session
        order, restarts = (self._order, self._restarts) if same else (StreamOrder(self._counters), 0)
        first_sample = order.next_sample if payload.first_sample is None else payload.first_sample
        block = payload.to_block(self._stream, first_sample)
        far_back = order.next_sample - first_sample > _RESTART_S * payload.sample_rate_hz
        if far_back and first_sample == self._follows:
            order, restarts, far_back = StreamOrder(self._counters), restarts + 1, False
        self._follows = block.end_sample if far_back else -1
        if restarts:
            block = replace(block, epoch=f"{block.epoch}.{restarts}")
        blocks = order.add(block, cause)
        self._session, self._restarts, self._order = payload.session, restarts, order
        return blocks
