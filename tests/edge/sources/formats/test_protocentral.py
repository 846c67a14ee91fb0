"""ProtoCentral packets of every length, on a wire that damages, drops and invents bytes."""

import itertools
import struct
from collections import Counter

import numpy as np
import pytest
from damage import damaged, intact, received
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.core.samples import Block, Cause
from edge.sources.formats.adc import AdcSpec
from edge.sources.formats.protocentral import ADS1292R_UNITS_PER_MV, HEALTHYPI_UNITS_PER_MV, ProtocentralDecoder

SPEC = AdcSpec(("I",), 125.0, (HEALTHYPI_UNITS_PER_MV,), (0,))


def packet(ecg: int, length: int = 20, form: str = "<h", tail: bytes = b"\x00\x0b", status: int = 0) -> bytes:
    payload = struct.pack(form, ecg).ljust(length - 1, b"\x00") + bytes([status])
    return b"\x0a\xfa" + struct.pack("<H", length) + b"\x02" + payload[:length] + tail


def decode(data: bytes, pieces: int = 1, width: int | None = None) -> tuple[list[tuple[int, int]], Counter[str]]:
    """Return (converter value, cause) of each instant."""
    decoder = ProtocentralDecoder("bed", SPEC, width)
    step = max(1, -(-len(data) // pieces))
    blocks: list[Block] = []
    for start in range(0, len(data), step):
        blocks += decoder.feed(data[start : start + step])
    assert [b.first_sample for b in blocks] == [0, *(b.end_sample for b in blocks)][: len(blocks)]
    samples = [
        (round(float(b.samples[0, k]) * HEALTHYPI_UNITS_PER_MV), int(b.missing[0, k]))
        for b in blocks
        for k in range(b.samples.shape[1])
    ]
    return samples, decoder.counters


@pytest.mark.parametrize(
    ("length", "form", "tail", "width"),
    [
        (8, "<i", b"\x02\x0b", None),
        (8, "<i", b"\x00\x0b", None),
        (8, "<h", b"\x00\x0b", 2),
        (9, "<h", b"\x00\x0b", None),
        (20, "<h", b"\x00\x0b", None),
        (22, "<i", b"\x00\x0b", None),
    ],
    ids=["first shield", "documented", "shield of 2026", "OpenView", "HealthyPi 3 and 4", "HealthyPi 5"],
)
def test_every_packet_in_use(length: int, form: str, tail: bytes, width: int | None) -> None:
    data = b"".join(packet(ecg, length, form, tail) for ecg in (5, -5, 1000))
    assert decode(b"Initiliziation is done\r\n" + data, width=width)[0] == [(5, 0), (-5, 0), (1000, 0)]


def test_the_scale_is_that_of_the_data_sheet() -> None:
    """With gain 12 and 2.42 V, one unit of the converter is 24 nV."""
    assert pytest.approx(24.04, abs=0.01) == 1e6 / ADS1292R_UNITS_PER_MV


def test_lead_off_saturation_jumps_and_other_packets() -> None:
    command = b"\x0a\xfa\x04\x00\x01abcd\x00\x0b"
    data = packet(1) + packet(0, status=0x1F) + command + packet(32767) + packet(-30000) + packet(2) + packet(3)
    samples, counters = decode(data)
    assert [cause for _, cause in samples] == [0, Cause.LEAD_OFF, *[Cause.INVALID] * 3, 0]
    assert counters == {"other_packets": 1, "implausible_samples": 3}


def test_a_damaged_packet_is_one_lost_sample() -> None:
    hurt = packet(2)[:-1] + b"\x55"
    samples, counters = decode(packet(1) + hurt + packet(3) + b"noise" + packet(4))
    assert samples == [(1, 0), (0, Cause.CRC), (3, 0), (4, 0)]
    assert counters == {"garbage_bytes": 32, "resyncs": 2, "lost_packets": 1}


@settings(deadline=None)
@given(st.data())
def test_every_intact_packet_arrives_except_two_after_each_damage(data: st.DataObject) -> None:
    count = 100
    sent = b"".join(map(packet, range(1, count + 1)))
    wire = damaged(data, sent, protected=27)
    samples, _ = decode(received(wire))
    decoded, _ = decode(received(wire), data.draw(st.integers(1, 200), "reads"))
    assert decoded == samples
    whole = intact(wire, [(27 * k, 27 * k + 27) for k in range(count)])
    runs = sum(b - a > 1 for a, b in itertools.pairwise(whole)) + 1
    present = {value for value, cause in samples if cause == Cause.PRESENT}
    leaps = 2 * sum(cause == Cause.INVALID for _, cause in samples)
    assert len({k + 1 for k in whole} - present) <= 2 * runs + leaps


hostile = st.lists(st.sampled_from([0x0A, 0xFA, 0x02, 0x00, 0x0B, 0x08]), max_size=200).map(bytes)


@settings(deadline=None)
@given(st.binary(max_size=400) | hostile)
def test_after_any_noise_the_third_packet_is_found(noise: bytes) -> None:
    values = [value for value, _ in decode(noise + b"".join(packet(ecg) for ecg in range(1000, 1012)))[0]]
    assert set(range(1002, 1010)) <= set(values)


@settings(deadline=None)
@given(st.binary(max_size=3000))
def test_the_buffer_does_not_grow(noise: bytes) -> None:
    decoder = ProtocentralDecoder("bed", SPEC)
    decoder.feed(noise)
    assert len(decoder._finder._pending) <= 71


def test_the_causes_are_bytes() -> None:
    block = ProtocentralDecoder("bed", SPEC).feed(packet(1))[0]
    assert block.missing.dtype == np.uint8
