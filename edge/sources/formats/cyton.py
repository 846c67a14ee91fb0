"""Packets of the OpenBCI Cyton, 33 bytes at 250 Hz.

    A0 | u8 sequence | 8 channels, i24 big-endian each | 6 bytes aux | C0 to CF

One unit is 4.5 V / 24 / (2^23 - 1), with the gain of 24 that the board starts with (OpenBCI documentation, "Cyton Data
Format"). The board sends after the command `b`. A Daisy (16 channels in pairs of packets) is not supported.

There is no checksum, and the sequence wraps after 256 packets: of a loss longer than about a second, multiples of 256
packets are missed. A jump of the sequence is accepted when the next packet continues it. When the next packet continues
from before the jump, the sequence byte was damaged, and perhaps the sample too.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from edge.core.errors import FrameError
from edge.core.samples import Block, Cause
from edge.sources.formats.adc import AdcBlock, AdcSpec
from edge.sources.formats.packets import PacketFinder, PlausibilityCheck

START = b"b"  # command: start sending
RATE_HZ = 250.0
CHANNELS = 8
UNITS_PER_MV = 24 * ((1 << 23) - 1) / 4500
UNUSED = "-"  # instead of a lead's name

_PACKET_BYTES = 33
_HEAD, _TAIL, _TAIL_MASK = 0xA0, 0xC0, 0xF0
_WRAP = 256
# Packets. A step forward of at most this many is an ordinary loss, a step back of at most this many a repetition.
_NEAR = 16
_LIMIT = (1 << 23) - 1


def cyton_spec(names: tuple[str, ...], units_per_mv: float = UNITS_PER_MV, rate_hz: float = RATE_HZ) -> AdcSpec:
    """Return the spec of the named channels, in the board's order; `-` leaves a channel out.

    Raises
    ------
    FrameError
        When there are more than eight names, or none.
    """
    if len(names) > CHANNELS:
        raise FrameError(f"{len(names)} leads; a Cyton has {CHANNELS} channels")
    leads = tuple(name for name in names if name != UNUSED)
    return AdcSpec(leads, rate_hz, (units_per_mv,) * len(leads), (0,) * len(leads), 3)


class CytonDecoder:
    """Turns packets into blocks.

    Parameters
    ----------
    stream : id of the stream
    spec : of the leads, from `cyton_spec`
    names : of all channels, `-` for an unused one

    Attributes
    ----------
    counters : `garbage_bytes`, `resyncs`, `implausible_samples`, `implausible_packets` (damaged sequence),
        `duplicate_packets` (repeated sequence)
    """

    def __init__(self, stream: str, spec: AdcSpec, names: tuple[str, ...]) -> None:
        self.counters: Counter[str] = Counter()
        self._stream = stream
        self._spec = spec
        self._rows = [row for row, name in enumerate(names) if name != UNUSED]
        self._finder = PacketFinder(_HEAD, _match, self.counters)
        self._plausibility = PlausibilityCheck(spec, _LIMIT, self.counters)
        self._expected: int | None = None  # sequence of the next packet
        self._held: bytes | None = None  # a packet whose sequence jumps
        self._damaged = False  # bytes were dropped since the last accepted packet
        self._next_sample = 0
        self._adc: list[NDArray[np.int32]] = []  # pieces of the next block, (leads, samples) each
        self._missing: list[NDArray[np.uint8]] = []

    def feed(self, data: bytes) -> list[Block]:
        """Take the next bytes and return the block of the packets that they complete, if any."""
        for packet in self._finder.feed(data):
            self._damaged = self._damaged or packet.garbage > 0
            self._order(packet.content)
        if not self._adc:
            return []
        device_us = round(self._next_sample * 1e6 / self._spec.sample_rate_hz)
        adc, missing = np.concatenate(self._adc, axis=1), np.concatenate(self._missing, axis=1)
        block = AdcBlock(self._next_sample, adc, missing, device_us)
        self._adc, self._missing = [], []
        self._next_sample = block.end_sample
        return [block.to_block(self._stream, self._spec)]

    def _order(self, packet: bytes) -> None:
        """Accept a packet that continues the sequence; hold one that jumps until the next packet confirms it or not."""
        if self._expected is None:
            self._expected = packet[1]
        if self._held is not None:
            self._settle(self._held, packet)
        ahead = (packet[1] - self._expected) % _WRAP
        if ahead == 0:
            self._accept(packet)
        elif ahead >= _WRAP - _NEAR:
            self.counters["duplicate_packets"] += 1
        else:
            self._held = packet

    def _settle(self, held: bytes, packet: bytes) -> None:
        """Accept or drop a held packet, now that the next one is here."""
        self._held = None
        expected = self._expected or 0
        if 0 < (packet[1] - held[1]) % _WRAP <= _NEAR:
            self._lose((held[1] - expected) % _WRAP)
            self._accept(held)
            return
        self.counters["implausible_packets"] += 1
        if packet[1] == (expected + 1) % _WRAP:
            self._damaged = True
            self._lose(1)

    def _accept(self, packet: bytes) -> None:
        # The three bytes go to the top of an int32; the arithmetic shift back down extends the sign.
        wide = np.zeros((CHANNELS, 4), np.uint8)
        wide[:, :3] = np.frombuffer(packet, np.uint8, 3 * CHANNELS, 2).reshape(CHANNELS, 3)
        adc = (wide.view(">i4") >> 8).astype(np.int32)[self._rows]
        self._adc.append(adc)
        self._missing.append(self._plausibility.check(adc))
        self._expected = (packet[1] + 1) % _WRAP
        self._damaged = False

    def _lose(self, packets: int) -> None:
        cause = Cause.CRC if self._damaged else Cause.SEQUENCE_GAP
        shape = (len(self._rows), packets)
        self._adc.append(np.zeros(shape, np.int32))
        self._missing.append(np.full(shape, cause, np.uint8))
        self._expected = ((self._expected or 0) + packets) % _WRAP


def _match(data: bytearray, position: int, synced: bool) -> int | None:
    """Find a packet; while not synced, the start byte of the packet after it must be there too."""
    if data[position] != _HEAD:
        return 0
    if len(data) - position < _PACKET_BYTES + (not synced):
        return None
    ends = data[position + _PACKET_BYTES - 1] & _TAIL_MASK == _TAIL
    return _PACKET_BYTES if ends and (synced or data[position + _PACKET_BYTES] == _HEAD) else 0
