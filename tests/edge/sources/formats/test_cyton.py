"""Cyton packets on a wire that damages, drops and invents bytes."""

import itertools
from collections import Counter

import numpy as np
import pytest
from adc_blocks import causes
from damage import damaged, intact, received
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.core.errors import FrameError
from edge.core.samples import Block, Cause
from edge.sources.formats.cyton import UNITS_PER_MV, CytonDecoder, cyton_spec

NAMES = ("II", "-", "V1")
SPEC = cyton_spec(NAMES)
LOST, DAMAGED, DOUBTED = Cause.SEQUENCE_GAP, Cause.CRC, Cause.INVALID


def packet(index: int, sequence: int | None = None) -> bytes:
    """Return the packet of one instant; each channel encodes the instant's index differently."""
    sequence = index if sequence is None else sequence
    channels = b"".join((100 * index + channel).to_bytes(3, "big", signed=True) for channel in range(8))
    return bytes([0xA0, sequence % 256]) + channels + bytes(6) + bytes([0xC0 + index % 16])


def decode(data: bytes, pieces: int = 1) -> tuple[list[Block], Counter[str]]:
    decoder = CytonDecoder("bed", SPEC, NAMES)
    step = max(1, -(-len(data) // pieces))
    blocks = [block for start in range(0, len(data), step) for block in decoder.feed(data[start : start + step])]
    assert [b.first_sample for b in blocks] == [0, *(b.end_sample for b in blocks)][: len(blocks)]
    return blocks, decoder.counters


def values(blocks: list[Block]) -> tuple[np.ndarray, np.ndarray]:
    """Return the (leads, samples) converter values and causes of all blocks."""
    samples = np.concatenate([block.samples for block in blocks], axis=1)
    return np.round(samples * UNITS_PER_MV).astype(int), np.concatenate([block.missing for block in blocks], axis=1)


def arrived(*packets: bytes) -> tuple[list[int], Counter[str]]:
    """Decode packets after 300 good ones and return the causes of the instants after those."""
    blocks, counters = decode(b"".join([packet(k) for k in range(300)]) + b"".join(packets))
    return causes(blocks, blocks[-1].end_sample)[300:], counters


def test_samples_are_in_millivolts() -> None:
    blocks, counters = decode(b"$$$" + packet(0) + packet(1))
    adc, missing = values(blocks)
    assert adc.tolist() == [[0, 100], [2, 102]]
    assert not missing.any()
    assert blocks[0].samples[0, 1] == np.float32(100 * 4500 / 24 / (2**23 - 1))
    assert (blocks[0].leads, blocks[0].sample_rate_hz) == (("II", "V1"), 250.0)
    assert counters == {"garbage_bytes": 3, "resyncs": 1}


def test_negative_values_and_the_limits() -> None:
    low = b"\xa0\x01" + b"\xff\xff\xff" * 8 + bytes(6) + b"\xc0"
    rail = b"\xa0\x02" + b"\x80\x00\x00" * 8 + bytes(6) + b"\xc0"
    blocks, counters = decode(packet(0) + low + rail)
    adc, missing = values(blocks)
    assert adc[0].tolist() == [0, -1, 0]
    assert missing[0].tolist() == [0, 0, DOUBTED]
    assert counters["implausible_samples"] == 2


@pytest.mark.parametrize(
    ("rest", "expected", "counter"),
    [
        ([packet(k) for k in (303, 304)], [LOST] * 3 + [0] * 2, None),
        ([packet(k) for k in (301, 303, 305, 306)], [LOST, 0, LOST, 0, LOST, 0, 0], None),
        ([packet(300), packet(300), packet(301)], [0, 0], "duplicate_packets"),
        ([packet(300, 77), packet(301)], [DAMAGED, 0], "implausible_packets"),
        ([packet(300, 77), packet(302), packet(303)], [LOST, LOST, 0, 0], "implausible_packets"),
        ([packet(300)[:-1] + b"\x00", packet(301), packet(302)], [DAMAGED, 0, 0], "garbage_bytes"),
        ([packet(300), packet(301), packet(302 + 256)], [0, 0, 0], None),
    ],
    ids=["loss", "scattered", "repeat", "sequence flipped", "flipped and lost", "tail flipped", "a wrap is not seen"],
)
def test_losses_repetitions_and_damage_by_the_sequence(
    rest: list[bytes], expected: list[int], counter: str | None
) -> None:
    found, counters = arrived(*rest)
    assert found == expected
    assert counter is None or counters[counter] > 0


@settings(deadline=None)
@given(st.data())
def test_damage_loses_only_the_packets_that_it_hits(data: st.DataObject) -> None:
    """All intact packets arrive in order, except those held back by a damaged sequence."""
    count = 120
    wire = damaged(data, b"".join(map(packet, range(count))), protected=66)
    blocks, _ = decode(received(wire))
    adc, missing = values(blocks)
    whole = intact(wire, [(33 * k, 33 * k + 33) for k in range(count)])
    found = {int(value) // 100 for value, cause in zip(adc[0], missing[0], strict=True) if cause == Cause.PRESENT}
    runs = sum(b - a > 1 for a, b in itertools.pairwise(whole)) + 1
    invented = sum(origin < 0 for _, origin in wire)
    allowed = 2 * runs + 2 + (16 + 2 * invented if invented else 0)
    assert len(set(whole) - found) <= allowed
    decoded, _ = decode(received(wire), data.draw(st.integers(1, 200), "reads"))
    cut, cut_missing = values(decoded)
    assert np.array_equal(cut, adc)
    assert np.array_equal(cut_missing, missing)


hostile = st.lists(st.sampled_from([0xA0, 0xC0, 0x00, 0xC5]), max_size=200).map(bytes)


@settings(deadline=None)
@given(st.binary(max_size=400) | hostile, st.integers(0, 200))
def test_after_any_noise_the_third_packet_is_found(noise: bytes, start: int) -> None:
    packets = [packet(k) for k in range(start, start + 12)]
    adc, _ = values(decode(noise + b"".join(packets))[0])
    assert set(range(start + 2, start + 11)) <= {int(value) // 100 for value in adc[0]}


@settings(deadline=None)
@given(st.binary(max_size=3000))
def test_the_buffer_does_not_grow(noise: bytes) -> None:
    decoder = CytonDecoder("bed", SPEC, NAMES)
    decoder.feed(noise)
    assert len(decoder._finder._pending) <= 34


def test_nine_leads_are_refused() -> None:
    with pytest.raises(FrameError, match="8 channels"):
        cyton_spec(("I",) * 9)
