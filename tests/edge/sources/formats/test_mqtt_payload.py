"""The MQTT payload: both encodings, and everything that must be refused."""

import json
from collections import Counter

import msgspec
import numpy as np
import pytest
from adc_blocks import SPEC, causes, counted_blocks
from hypothesis import given
from hypothesis import strategies as st

from edge.core.errors import FrameError
from edge.core.samples import Block, Cause
from edge.sources.formats import mqtt_payload
from edge.sources.formats.adc import AdcSpec, mv_from_adc
from edge.sources.formats.mqtt_payload import (
    MAX_PAYLOAD_BYTES,
    PayloadStream,
    PayloadWriter,
    SamplesPayload,
    decode_payload,
)

SIZES = (20, 7, 30)
SIMPLE = {"version": 1, "sample_rate_hz": 250, "leads": ["I"], "samples": [[0.5, None, -1.25]]}
INTEGERS = {
    "version": 1,
    "sample_rate_hz": 250.0,
    "leads": ["I"],
    "samples": b"\x01\x00\x00\x80",
    "width": 2,
    "gain": [200.0],
    "baseline": [0],
    "first_sample": 10,
}


def payloads() -> list[bytes]:
    writer = PayloadWriter(SPEC)
    return [payload for block in counted_blocks(SIZES) for payload in writer.encode(block)]


def read(data: list[bytes]) -> tuple[list[Block], Counter[str]]:
    counters: Counter[str] = Counter()
    stream = PayloadStream("bed", counters)
    return [block for payload in data for block in stream.add(decode_payload(payload))], counters


@pytest.mark.parametrize("width", [2, 3, 4])
def test_samples_come_back_bit_for_bit_in_both_encodings(width: int) -> None:
    spec = AdcSpec(("II", "V1"), 250.0, (200.0, 409.6), (1024, -3), width)
    block = counted_blocks([100], spec)[0]
    (payload,) = PayloadWriter(spec).encode(block)
    as_json = msgspec.json.encode(decode_payload(payload))
    assert as_json[:1] == b"{"
    for data in (payload, as_json):
        blocks, _ = read([data])
        assert np.array_equal(blocks[0].samples, mv_from_adc(block.adc, spec))
        assert blocks[0].samples.dtype == np.float32
        assert blocks[0].leads == spec.leads


def test_a_stream_ends_with_an_empty_last_block() -> None:
    blocks, counters = read(payloads())
    assert [(b.first_sample, b.samples.shape[1], b.last) for b in blocks] == [
        (0, 20, False),
        (20, 7, False),
        (27, 30, False),
        (57, 0, True),
    ]
    assert not counters


def test_missing_samples_and_lead_off_cross_the_wire() -> None:
    block = counted_blocks([100])[0]
    block.missing[0, 10:20] = Cause.INVALID
    block.missing[1, 50:] = Cause.LEAD_OFF
    blocks, _ = read(PayloadWriter(SPEC).encode(block))
    assert np.array_equal(np.concatenate([b.missing for b in blocks], axis=1), block.missing)


def test_json_as_a_hobbyist_writes_it() -> None:
    blocks, _ = read([json.dumps(SIMPLE).encode()] * 2)
    assert [b.first_sample for b in blocks] == [0, 3]
    assert blocks[0].samples.tolist() == [[0.5, 0.0, -1.25]]
    assert blocks[0].missing.tolist() == [[Cause.PRESENT, Cause.INVALID, Cause.PRESENT]]


@given(st.permutations(range(len(SIZES))), st.lists(st.integers(0, len(SIZES) - 1), max_size=3))
def test_duplicates_and_late_payloads_are_dropped_and_counted(order: list[int], repeated: list[int]) -> None:
    """In any order: payloads in order are kept, the others are counted, and no instant comes twice."""
    sent = payloads()
    arrivals = [*order, *repeated]
    blocks, counters = read([sent[k] for k in arrivals])
    ahead = [k for index, k in enumerate(arrivals) if k > max(arrivals[:index], default=-1)]
    starts = [sum(SIZES[:k]) for k in ahead]
    assert [b.first_sample for b in blocks if b.samples.size and not b.missing.any()] == starts
    assert counters["duplicate_blocks"] + counters["late_blocks"] == len(arrivals) - len(ahead)


def test_late_and_duplicate_payloads_are_distinguished() -> None:
    first, second, third, _ = payloads()
    blocks, counters = read([first, third, second, first])
    assert counters == {"late_blocks": 1, "duplicate_blocks": 1}
    assert causes(blocks, 57) == [0] * 20 + [Cause.SEQUENCE_GAP] * 7 + [0] * 30
    assert [(b.first_sample, b.late) for b in blocks if b.late[1]] == [(57, (20, 27))]


def test_a_partly_repeated_block_gives_its_new_part() -> None:
    one, two = counted_blocks([20]), counted_blocks([30], first_sample=10)
    writer = PayloadWriter(SPEC)
    blocks, counters = read([*writer.encode(one[0]), *writer.encode(two[0])])
    assert [(b.first_sample, b.end_sample) for b in blocks] == [(0, 20), (20, 40)]
    assert blocks[1].samples[0, 0] == mv_from_adc(two[0].adc, SPEC)[0, 10]
    assert counters == {"duplicate_blocks": 1}


def test_a_new_session_is_a_new_epoch() -> None:
    block = counted_blocks([20])[0]
    blocks, counters = read([*PayloadWriter(SPEC, 1).encode(block), *PayloadWriter(SPEC, 2).encode(block)])
    assert [b.epoch for b in blocks] == ["1", "2"]
    assert not counters


def test_a_device_that_restarts_without_a_new_session_is_recognised() -> None:
    """Its payloads used to be dropped as duplicates until it had counted as far as before the restart."""
    writer = PayloadWriter(SPEC)
    sent = [payload for block in counted_blocks([1000] * 5)[:-1] for payload in writer.encode(block)]
    blocks, counters = read([*sent, *sent])
    assert [(b.epoch, b.first_sample) for b in blocks[5:]] == [(".1", 1000), (".1", 2000), (".1", 3000), (".1", 4000)]
    assert counters == {"duplicate_blocks": 1}


def test_leads_may_not_change_within_a_session() -> None:
    stream = PayloadStream("bed", Counter())
    stream.add(decode_payload(json.dumps(SIMPLE).encode()))
    with pytest.raises(FrameError, match="new session"):
        stream.add(decode_payload(json.dumps(SIMPLE | {"leads": ["II"]}).encode()))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"extra": 1},
        {"sample_rate_hz": 0},
        {"sample_rate_hz": 1e9},
        {"sample_rate_hz": "250"},
        {"leads": []},
        {"leads": ["I"] * 17},
        {"leads": ["a name that is far too long"]},
        {"leads": ["I", "II"]},
        {"samples": []},
        {"samples": [[1.0], [2.0]]},
        {"samples": [["1"]]},
        {"samples": [[1e300]]},
        {"samples": "AAAA"},
        {"samples": "no base64!"},
        {"width": 2},
        {"first_sample": -1},
        {"first_sample": 1.5},
        {"session": -1},
        {"session": 1 << 32},
        {"lead_off": ["V9"]},
        {"last": "yes"},
    ],
    ids=str,
)
def test_a_wrong_json_payload_is_refused_in_one_line(change: dict[str, object]) -> None:
    with pytest.raises(FrameError) as caught:
        read([json.dumps(SIMPLE | change).encode()])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"gain": [0.0]},
        {"gain": [float("nan")]},
        {"gain": [1.0, 2.0]},
        {"baseline": [1 << 31]},
        {"baseline": []},
        {"width": 5},
        {"width": None},
        {"samples": b"\x01\x02\x03"},
        {"samples": [[float("nan")]], "width": None, "gain": None, "baseline": None},
        {"samples": [[float("inf")]], "width": None, "gain": None, "baseline": None},
        {"sample_rate_hz": float("nan")},
    ],
    ids=str,
)
def test_a_wrong_messagepack_payload_is_refused(change: dict[str, object]) -> None:
    assert read([msgspec.msgpack.encode(INTEGERS)])[0][0].missing.tolist() == [[Cause.PRESENT, Cause.INVALID]]
    with pytest.raises(FrameError):
        read([msgspec.msgpack.encode(INTEGERS | change)])


@given(st.binary(max_size=300))
def test_any_other_bytes_are_refused(noise: bytes) -> None:
    with pytest.raises(FrameError):
        decode_payload(noise)


@given(st.data())
def test_a_damaged_payload_is_refused_or_decoded(data: st.DataObject) -> None:
    damaged = bytearray(payloads()[0])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        blocks, _ = read([bytes(damaged)])
    except FrameError:
        return
    assert all(np.isfinite(block.samples).all() for block in blocks)


def test_the_size_is_checked_before_decoding() -> None:
    with pytest.raises(FrameError, match="at most 65536"):
        decode_payload(b"{" * (10 << 20))
    with pytest.raises(FrameError):
        decode_payload(b'{"samples":' + b"[" * (MAX_PAYLOAD_BYTES - 20))


def test_a_long_block_is_split_below_the_limit() -> None:
    block = counted_blocks([60_000])[0]
    split = PayloadWriter(SPEC).encode(block)
    assert len(split) > 1
    assert max(map(len, split)) <= MAX_PAYLOAD_BYTES
    assert sum(b.samples.shape[1] for b in read(split)[0]) == 60_000


def test_the_smallest_documented_payload_is_accepted() -> None:
    text = '{"version": 1, "sample_rate_hz": 250, "leads": ["I"], "samples": [[0.01, 0.02]]}'
    assert text in (mqtt_payload.__doc__ or "")
    assert isinstance(decode_payload(text.encode()), SamplesPayload)
