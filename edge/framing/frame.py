"""The serial frame: samples over a wire that may lose, damage or invent bytes.

A frame is COBS-encoded (see `cobs`) between two zero bytes. Decoded, all integers little-endian:

    u8 kind | u16 session | u32 sequence | body | u16 CRC-16/IBM-3740 of all before it

    kind 1 HEADER  u8 version = 1 | u8 sample width (2, 3, 4) | u8 leads | f64 rate in Hz |
                   per lead: 8 bytes ASCII name, zero-padded | f64 gain, ADC units per mV | i32 baseline, ADC units
    kind 2 DATA    u64 device clock in us at the first instant | u16 lead-off bits, bit k is lead k |
                   samples, signed, interleaved: all leads of an instant together
    kind 3 END     as DATA, without samples: the stream is over

`sequence` is the index of the frame's first sample instant modulo 2^32; in HEADER and END, of the next one.
The sender repeats HEADER at least every second, so that a receiver may join midway. `session` changes when
the device starts to count anew, best to a random number; a device that cannot do that sends 0 always, and
is believed to have started anew when a HEADER is more than two seconds behind, or when two of them in a row agree on
leads, rate or scale that the stream did not have. The most negative value of the width means "no value". A frame is
at most 4096 bytes long, encoded.

Pure: bytes in, blocks out; knows no port and no clock.
"""

import binascii
import struct
from collections import Counter
from typing import NamedTuple

from edge.errors import FrameError
from edge.framing import cobs
from edge.framing.adc import MAX_LEAD_NAME, AdcBlock, AdcSpec, lead_off_runs, pack, unpack
from edge.framing.order import StreamOrder
from edge.samples import Block, Cause

VERSION = 1
MAX_FRAME_BYTES = 4096
HEADER, DATA, END = 1, 2, 3

_HEAD = struct.Struct("<BHI")  # kind, session, sequence
_SPEC = struct.Struct("<BBBd")  # version, width, leads, rate
_LEAD = struct.Struct(f"<{MAX_LEAD_NAME}sdi")  # name, gain, baseline
_TIMING = struct.Struct("<QH")  # device clock, lead-off bits
_CRC = struct.Struct("<H")
_WRAP = 1 << 32
_RESTART_S = 2.0  # a HEADER comes every second, and a wire does not change the order
_MAX_HELD = 256  # frames behind a HEADER that is doubted
_MAX_JUMP_S = 600.0  # a longer jump is believed once a second frame continues it


def crc16(data: bytes) -> int:
    """Return the CRC-16/IBM-3740 (polynomial 0x1021, initial value 0xFFFF) of `data`."""
    return binascii.crc_hqx(data, 0xFFFF)


class FrameWriter:
    """Turns blocks of ADC integers into frames, as a device's firmware does.

    Parameters
    ----------
    spec : of the stream
    session : 0 to 65535, another one each time the sample count starts anew
    frame_bytes : most bytes of samples in a frame; a damaged byte costs all of them
    """

    def __init__(self, spec: AdcSpec, session: int = 0, frame_bytes: int = 1024) -> None:
        self._spec = spec
        self._session = session
        self._instants = max(1, min(frame_bytes, MAX_FRAME_BYTES - 64) // spec.instant_bytes)
        self._next_header: float = 0.0  # sample index

    def encode(self, block: AdcBlock) -> bytes:
        """Return the frames of a block, with a HEADER where one is due and END after the last.

        Raises
        ------
        FrameError
            When a sample does not fit the width.
        """
        out = bytearray()
        for part, lead_off in lead_off_runs(block, self._spec, self._instants):
            if part.first_sample >= self._next_header:
                out += self._frame(HEADER, part.first_sample, _header_body(self._spec))
                self._next_header = part.first_sample + self._spec.sample_rate_hz
            body = _TIMING.pack(part.device_us, lead_off) + pack(part, self._spec)
            out += self._frame(DATA, part.first_sample, body)
        if block.last:
            size = block.adc.shape[1]
            end = block.part(size, size, self._spec)
            out += self._frame(END, end.first_sample, _TIMING.pack(end.device_us, 0))
        return bytes(out)

    def _frame(self, kind: int, sequence: int, body: bytes) -> bytes:
        content = _HEAD.pack(kind, self._session, sequence % _WRAP) + body
        return b"\0" + cobs.encode(content + _CRC.pack(crc16(content))) + b"\0"


class _Doubt(NamedTuple):
    """A HEADER that contradicts its session, and the DATA behind it: read once the next HEADER says how."""

    spec: AdcSpec
    sequence: int
    held: list[tuple[int, bytes]]  # sequence and body


class FrameDecoder:
    """Finds the frames in a stream of bytes, however it is cut, and returns their samples.

    A HEADER that contradicts its session is doubted until the next one agrees with it or with the session; the samples
    between are held back until then, so that none is read by a wrong scale and none is lost.
    A new session begins a new epoch of the stream, named by the session's number (0 has the empty name), with
    `.1`, `.2` and so on after it for a device that starts anew without a new session.
    Instants that turn out missing have the cause `CRC` if damage was seen since the last good frame, else
    `SEQUENCE_GAP`; what was lost before the first HEADER that arrives cannot be known.

    Parameters
    ----------
    stream : id of the stream

    Attributes
    ----------
    counters : `damaged_frames`, `garbage_bytes` (all bytes of what is no frame), `headless_frames` (samples
        before any HEADER of their session, or behind a doubted one that nothing settled), `implausible_frames`
        (samples more than ten minutes ahead that no second frame confirms; END comes once and is believed),
        `duplicate_blocks`, `late_blocks`
    """

    def __init__(self, stream: str) -> None:
        self.counters: Counter[str] = Counter()
        self._stream = stream
        self._pending = bytearray()
        self._overlong = False
        self._damaged = False
        self._session = -1
        self._restarts = 0
        self._spec: AdcSpec | None = None
        self._order = StreamOrder(self.counters)
        self._suspect: Block | None = None  # it jumps far ahead
        self._doubt: _Doubt | None = None

    def feed(self, data: bytes) -> list[Block]:
        """Take the next bytes and return the blocks that they complete."""
        blocks: list[Block] = []
        *ended, rest = data.split(b"\0")
        for piece in ended:
            self._append(piece)
            blocks += self._end_of_frame()
        self._append(rest)
        return blocks

    def _append(self, piece: bytes) -> None:
        self._pending += piece
        if len(self._pending) > MAX_FRAME_BYTES:
            self.counters["garbage_bytes"] += len(self._pending)
            self._pending.clear()
            self._overlong = True

    def _end_of_frame(self) -> list[Block]:
        encoded, overlong = bytes(self._pending), self._overlong
        self._pending.clear()
        self._overlong = False
        if not encoded and not overlong:
            return []
        try:
            return self._read(_checked(b"" if overlong else encoded))
        except FrameError:
            self._count_damaged()
            self.counters["garbage_bytes"] += len(encoded)
            return []

    def _read(self, content: bytes) -> list[Block]:
        kind, session, sequence = _HEAD.unpack_from(content)
        body = content[_HEAD.size :]
        if kind == HEADER:
            return self._begin(session, sequence, _spec_from(body))
        if kind not in {DATA, END} or len(body) < _TIMING.size or (kind == END and len(body) > _TIMING.size):
            raise FrameError(f"unknown or broken frame of kind {kind}")
        spec, doubt = self._spec, self._doubt
        if spec is None or session != self._session:
            self.counters["headless_frames"] += 1
            return []
        if doubt is not None and kind == DATA:
            if len(doubt.held) < _MAX_HELD:
                doubt.held.append((sequence, body))
            else:
                self.counters["headless_frames"] += 1
            return []
        self._drop_doubt()  # at its END: no HEADER settles it any more
        return self._place(kind, sequence, body, spec)

    def _begin(self, session: int, sequence: int, spec: AdcSpec) -> list[Block]:
        """Take a HEADER and return what was held back for it."""
        if session != self._session:
            self._drop_doubt()
            self._start(session, sequence, spec, restarts=0)
            return []
        doubt = self._doubt
        if spec != self._spec and (doubt is None or spec != doubt.spec):
            self._drop_doubt()
            self._doubt = _Doubt(spec, sequence, [])
            return []
        blocks = [] if doubt is None else self._settle(doubt, confirmed=spec != self._spec)
        if self._order.next_sample - self._unwrap(sequence) > _RESTART_S * spec.sample_rate_hz:
            self._start(session, sequence, spec, self._restarts + 1)
        return blocks

    def _start(self, session: int, sequence: int, spec: AdcSpec, restarts: int) -> None:
        self._session, self._spec, self._restarts = session, spec, restarts
        self._order = StreamOrder(self.counters, sequence)
        self._damaged = False
        self._drop_suspect()

    def _settle(self, doubt: _Doubt, *, confirmed: bool) -> list[Block]:
        """Read what came behind a HEADER that was doubted, as the HEADER after it says."""
        self._doubt = None
        if confirmed:
            self._start(self._session, doubt.sequence, doubt.spec, self._restarts + 1)
        else:
            self._count_damaged()
        blocks: list[Block] = []
        for sequence, body in doubt.held:
            try:
                blocks += self._place(DATA, sequence, body, self._spec or doubt.spec)
            except FrameError:
                self._count_damaged()
        return blocks

    def _drop_doubt(self) -> None:
        if self._doubt is not None:
            self.counters["headless_frames"] += len(self._doubt.held)
            self._doubt = None

    def _count_damaged(self) -> None:
        self.counters["damaged_frames"] += 1
        self._damaged = True

    def _place(self, kind: int, sequence: int, body: bytes, spec: AdcSpec) -> list[Block]:
        device_us, lead_off = _TIMING.unpack_from(body)
        adc, missing = unpack(body[_TIMING.size :], spec, lead_off)
        first_sample = self._unwrap(sequence)
        if kind == END:
            first_sample = max(first_sample, self._order.next_sample)  # wherever it stands, the stream is over
        epoch = (str(self._session) if self._session else "") + (f".{self._restarts}" if self._restarts else "")
        block = AdcBlock(first_sample, adc, missing, device_us, last=kind == END)
        believed = self._believe(block.to_block(self._stream, spec, epoch))
        cause = Cause.CRC if self._damaged else Cause.SEQUENCE_GAP
        self._damaged = self._damaged and not believed
        if kind == END:
            self._session, self._spec = -1, None
        return [placed for each in believed for placed in self._order.add(each, cause)]

    def _believe(self, block: Block) -> list[Block]:
        """Return the block, or none while its samples jump far ahead; with the one before it that it confirms."""
        suspect = self._suspect
        far = block.first_sample - self._order.next_sample > _MAX_JUMP_S * block.sample_rate_hz
        if far and suspect is not None and block.first_sample == suspect.end_sample:
            self._suspect = None
            return [suspect, block]
        self._drop_suspect()
        if far and not block.last:
            self._suspect = block
            return []
        return [block]

    def _drop_suspect(self) -> None:
        if self._suspect is not None:
            self.counters["implausible_frames"] += 1
            self._suspect = None

    def _unwrap(self, sequence: int) -> int:
        ahead = (sequence - self._order.next_sample) % _WRAP
        if ahead >= _WRAP // 2:
            ahead -= _WRAP
        return max(self._order.next_sample + ahead, 0)


def _checked(encoded: bytes) -> bytes:
    content = cobs.decode(encoded)
    if len(content) < _HEAD.size + _CRC.size:
        raise FrameError(f"a frame of {len(content)} bytes")
    content, crc = content[: -_CRC.size], content[-_CRC.size :]
    if _CRC.unpack(crc)[0] != crc16(content):
        raise FrameError("a frame whose CRC does not fit")
    return content


def _header_body(spec: AdcSpec) -> bytes:
    body = _SPEC.pack(VERSION, spec.width, len(spec.leads), spec.sample_rate_hz)
    for name, gain, baseline in zip(spec.leads, spec.gain, spec.baseline, strict=True):
        body += _LEAD.pack(name.encode("ascii"), gain, baseline)
    return body


def _spec_from(body: bytes) -> AdcSpec:
    if len(body) < _SPEC.size:
        raise FrameError(f"a HEADER of {len(body)} bytes")
    version, width, count, rate = _SPEC.unpack_from(body)
    if version != VERSION:
        raise FrameError(f"frames of version {version}; this decoder reads version {VERSION}")
    if len(body) != _SPEC.size + count * _LEAD.size:
        raise FrameError(f"a HEADER of {len(body)} bytes for {count} leads")
    leads = list(_LEAD.iter_unpack(body[_SPEC.size :]))
    try:
        names = tuple(name.rstrip(b"\0").decode("ascii") for name, _, _ in leads)
    except UnicodeDecodeError as exc:
        raise FrameError("a lead name that is not ASCII") from exc
    return AdcSpec(names, rate, tuple(gain for _, gain, _ in leads), tuple(base for _, _, base in leads), width)
