"""The serial frame: our own format, for a wire that may lose, damage or invent bytes.

A frame is COBS-encoded (see `cobs`) between two zero bytes and at most 4096 bytes long, encoded. The sender repeats
HEADER at least every second, so that a receiver may join at any time. `session` changes whenever the device restarts
its count, best to a random number. A device that cannot do that always sends 0; it is taken to have restarted when a
HEADER is more than two seconds behind, or when two HEADERs in a row agree on leads, rate or scale that differ from the
stream's.

This module reads and writes single frames; `frame_decoder` finds them in a stream of bytes.
"""

import binascii
import struct
from typing import NamedTuple

from edge.core.errors import FrameError
from edge.sources.formats import cobs
from edge.sources.formats.adc import MAX_LEAD_NAME, AdcBlock, AdcSpec, lead_off_runs, pack, unpack

# Layout of a decoded frame, all integers little-endian:
#
#   u8 kind | u16 session | u32 sequence | body | u16 CRC-16/IBM-3740 of everything before it
#
#   kind 1 HEADER  u8 version = 1 | u8 sample width (2, 3, 4) | u8 leads | f64 rate in Hz |
#                  per lead: 8 bytes ASCII name, zero-padded | f64 gain, ADC units per mV | i32 baseline, ADC units
#   kind 2 DATA    u64 device clock in us at the first instant | u16 lead-off bits, bit k is lead k |
#                  samples, signed, interleaved: all leads of an instant together
#   kind 3 END     as DATA, without samples: the stream is over
#
# `sequence` is the index of the frame's first sample instant modulo 2^32; in HEADER and END, of the next instant.
# The most negative value of a sample means "no value".
VERSION = 1
MAX_FRAME_BYTES = 4096
HEADER, DATA, END = 1, 2, 3
WRAP = 1 << 32  # of the sequence

_HEAD = struct.Struct("<BHI")  # kind, session, sequence
_SPEC = struct.Struct("<BBBd")  # version, width, leads, rate
_LEAD = struct.Struct(f"<{MAX_LEAD_NAME}sdi")  # name, gain, baseline
_TIMING = struct.Struct("<QH")  # device clock, lead-off bits
_CRC = struct.Struct("<H")


def crc16(data: bytes) -> int:
    """Return the CRC-16/IBM-3740 (polynomial 0x1021, initial value 0xFFFF) of `data`."""
    return binascii.crc_hqx(data, 0xFFFF)


class Frame(NamedTuple):
    """A decoded frame whose CRC is right."""

    kind: int
    session: int
    sequence: int
    body: bytes


def read_frame(encoded: bytes) -> Frame:
    """Return the frame in the bytes between two zeros.

    Raises
    ------
    FrameError
        When they are no frame, or damaged.
    """
    content = cobs.decode(encoded)
    if len(content) < _HEAD.size + _CRC.size:
        raise FrameError(f"a frame of {len(content)} bytes")
    content, crc = content[: -_CRC.size], content[-_CRC.size :]
    if _CRC.unpack(crc)[0] != crc16(content):
        raise FrameError("a frame with a wrong CRC")
    kind, session, sequence = _HEAD.unpack_from(content)
    return _check_kind(Frame(kind, session, sequence, content[_HEAD.size :]))


def _check_kind(frame: Frame) -> Frame:
    """Return the frame if its kind is known and fits the size of its body."""
    size = len(frame.body)
    if (
        frame.kind == HEADER
        or (frame.kind == DATA and size >= _TIMING.size)
        or (frame.kind, size) == (END, _TIMING.size)
    ):
        return frame
    raise FrameError(f"a frame of kind {frame.kind} that is unknown or has the wrong size")


def read_spec(body: bytes) -> AdcSpec:
    """Return the spec in the body of a HEADER; raise FrameError when it is broken or out of range."""
    if len(body) < _SPEC.size:
        raise FrameError(f"a HEADER of {len(body)} bytes")
    version, width, count, rate = _SPEC.unpack_from(body)
    if version != VERSION:
        raise FrameError(f"a frame of version {version}; this decoder reads version {VERSION}")
    if len(body) != _SPEC.size + count * _LEAD.size:
        raise FrameError(f"a HEADER of {len(body)} bytes for {count} leads")
    leads = list(_LEAD.iter_unpack(body[_SPEC.size :]))
    try:
        names = tuple(name.rstrip(b"\0").decode("ascii") for name, _, _ in leads)
    except UnicodeDecodeError as exc:
        raise FrameError("a lead name that is not ASCII") from exc
    return AdcSpec(names, rate, tuple(gain for _, gain, _ in leads), tuple(base for _, _, base in leads), width)


def read_samples(kind: int, first_sample: int, body: bytes, spec: AdcSpec) -> AdcBlock:
    """Return the samples in the body of a DATA or END frame; raise FrameError when they do not fit the spec."""
    device_us, lead_off = _TIMING.unpack_from(body)
    adc, missing = unpack(body[_TIMING.size :], spec, lead_off)
    return AdcBlock(first_sample, adc, missing, device_us, last=kind == END)


class FrameWriter:
    """Turns blocks of ADC integers into frames, as a device's firmware does.

    Parameters
    ----------
    spec : of the stream
    session : 0 to 65535, a new one each time the sample count restarts
    frame_bytes : most bytes of samples in a frame; one damaged byte loses all of them
    """

    def __init__(self, spec: AdcSpec, session: int = 0, frame_bytes: int = 1024) -> None:
        self._spec = spec
        self._session = session
        self._instants = max(1, min(frame_bytes, MAX_FRAME_BYTES - 64) // spec.instant_bytes)
        self._next_header: float = 0.0  # sample index

    def encode(self, block: AdcBlock) -> bytes:
        """Return the frames of a block, with a HEADER where one is due and END after the last block.

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
        content = _HEAD.pack(kind, self._session, sequence % WRAP) + body
        return b"\0" + cobs.encode(content + _CRC.pack(crc16(content))) + b"\0"


def _header_body(spec: AdcSpec) -> bytes:
    body = _SPEC.pack(VERSION, spec.width, len(spec.leads), spec.sample_rate_hz)
    for name, gain, baseline in zip(spec.leads, spec.gain, spec.baseline, strict=True):
        body += _LEAD.pack(name.encode("ascii"), gain, baseline)
    return body
