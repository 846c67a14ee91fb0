"""Packets of ProtoCentral's boards: the ADS1292R shield, and HealthyPi 3, 4 and 5.

    0A FA | u16 LE length | 02 | payload of that length | 00 or 02 | 0B

The payload begins with one ECG sample, little-endian; the rest (respiration, pulse, rates) is not read. There is no
sequence and no checksum: a packet that is lost whole cannot be detected. Garbage counts as one lost sample (`CRC`) for
each packet length. Payload lengths in ProtoCentral's sketches:

     8  i32 ECG: the shield's first library, with 02 before the 0B; since 2026 it sends i16 (then set `width` to 2)
     9  i16 ECG: the shield's library for OpenView
    20  i16 ECG, ADS1292R lead-off status in the last byte: HealthyPi 3 and 4, the shield's library of 2019
    22  i32 ECG: HealthyPi 5 (a MAX30001 at 128 Hz)
"""

import struct
from collections import Counter

import numpy as np

from edge.core.samples import Block, Cause
from edge.sources.formats.adc import AdcBlock, AdcSpec
from edge.sources.formats.packets import Packet, PacketFinder, PlausibilityCheck

ADS1292R_UNITS_PER_MV = 12 * ((1 << 23) - 1) / 2420  # gain 12 of channel 2, reference 2.42 V (data sheet SBAS502)
HEALTHYPI_UNITS_PER_MV = ADS1292R_UNITS_PER_MV / 256  # the same converter without its lower eight bits
RATE_HZ = 125.0

_HEAD = b"\x0a\xfa"
_HEAD_BYTES, _TAIL_BYTES = 5, 2
_DATA = 2
_TAILS = (b"\x00\x0b", b"\x02\x0b")
_MAX_PAYLOAD = 64
_WIDE = frozenset({8, 22})  # payload lengths with a 32-bit sample
_STATUS_LENGTH, _STATUS_MASK = 20, 0x1F  # lead-off bits of the ADS1292R's status
_SAMPLE = {2: struct.Struct("<h"), 4: struct.Struct("<i")}
_LIMIT = {2: (1 << 15) - 1, 4: (1 << 23) - 1}  # of the converter; a 32-bit sample holds 24 bits


class ProtocentralDecoder:
    """Turns packets into blocks of one lead.

    Parameters
    ----------
    stream : id of the stream
    spec : one lead, its rate and scale
    width : bytes of an ECG sample, 2 or 4; None: as usual for the payload's length

    Attributes
    ----------
    counters : `garbage_bytes`, `resyncs`, `lost_packets` (estimated from the garbage), `other_packets` (another
        type, or too short), `implausible_samples`
    """

    def __init__(self, stream: str, spec: AdcSpec, width: int | None = None) -> None:
        self.counters: Counter[str] = Counter()
        self._stream = stream
        self._spec = spec
        self._width = width
        self._finder = PacketFinder(_HEAD[0], _match, self.counters)
        self._checks = {size: PlausibilityCheck(spec, limit, self.counters) for size, limit in _LIMIT.items()}
        self._started = False  # a sample has arrived
        self._next_sample = 0

    def feed(self, data: bytes) -> list[Block]:
        """Take the next bytes and return the block of the packets that they complete, if any."""
        adc: list[int] = []
        missing: list[int] = []
        for packet in self._finder.feed(data):
            lost = self._lost(packet)
            adc += [0] * lost
            missing += [Cause.CRC] * lost
            self._read(packet.content, adc, missing)
        return [self._block(adc, missing)] if adc else []

    def _lost(self, packet: Packet) -> int:
        """Return how many packets of this length the garbage may have been; before the first sample, none."""
        lost = round(packet.garbage / len(packet.content)) if self._started else 0
        if lost:
            self.counters["lost_packets"] += lost
        return lost

    def _read(self, content: bytes, adc: list[int], missing: list[int]) -> None:
        payload = content[_HEAD_BYTES:-_TAIL_BYTES]
        width = self._width or (4 if len(payload) in _WIDE else 2)
        if content[4] != _DATA or len(payload) < width:
            self.counters["other_packets"] += 1
            return
        value = int(_SAMPLE[width].unpack_from(payload)[0])
        off = len(payload) == _STATUS_LENGTH and payload[-1] & _STATUS_MASK
        self._started = True
        causes = self._checks[width].check(np.array([[value]], np.int32))
        adc.append(value)
        missing.append(Cause.LEAD_OFF if off else int(causes[0, 0]))

    def _block(self, adc: list[int], missing: list[int]) -> Block:
        device_us = round(self._next_sample * 1e6 / self._spec.sample_rate_hz)
        block = AdcBlock(
            self._next_sample, np.array([adc], np.int32), np.array([missing], np.uint8), device_us=device_us
        )
        self._next_sample = block.end_sample
        return block.to_block(self._stream, self._spec)


def _match(data: bytearray, position: int, synced: bool) -> int | None:  # noqa: ARG001  signature of `packets.Match`
    have = len(data) - position
    if data[position : position + 2] != _HEAD[:have]:
        return 0
    if have < _HEAD_BYTES:
        return None
    size = int.from_bytes(data[position + 2 : position + 4], "little")
    if size > _MAX_PAYLOAD:
        return 0
    end = _HEAD_BYTES + size + _TAIL_BYTES
    if have < end:
        return None
    return end if data[position + end - _TAIL_BYTES : position + end] in _TAILS else 0
