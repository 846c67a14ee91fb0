"""The serial frame on a wire that damages, drops and invents bytes."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from adc_blocks import SPEC, causes, counted_blocks
from damage import damaged, intact, received
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.core.errors import FrameError
from edge.core.samples import Block, Cause
from edge.sources.formats.adc import AdcBlock, AdcSpec, mv_from_adc
from edge.sources.formats.frame import MAX_FRAME_BYTES, FrameWriter, crc16
from edge.sources.formats.frame_decoder import FrameDecoder

SIZES = (20, 7, 1, 30, 12, 40)


def frames_of(data: bytes) -> list[bytes]:
    """Return the encoded frames without their delimiters."""
    return [frame for frame in data.split(b"\0") if frame]


def sent(session: int = 0) -> bytes:
    writer = FrameWriter(SPEC, session)
    return b"".join(writer.encode(block) for block in counted_blocks(SIZES))


def decode(data: bytes, pieces: int = 1) -> tuple[list[Block], Counter[str]]:
    decoder = FrameDecoder("bed")
    step = max(1, -(-len(data) // pieces))
    blocks = [block for start in range(0, len(data), step) for block in decoder.feed(data[start : start + step])]
    return blocks, decoder.counters


def same(ours: list[Block], theirs: list[Block]) -> bool:
    return len(ours) == len(theirs) and all(
        (a.first_sample, a.last, a.epoch, a.device_time_s) == (b.first_sample, b.last, b.epoch, b.device_time_s)
        and np.array_equal(a.samples, b.samples)
        and np.array_equal(a.missing, b.missing)
        for a, b in zip(ours, theirs, strict=True)
    )


def test_the_crc_has_the_check_value_of_the_catalogue() -> None:
    assert crc16(b"123456789") == 0x29B1


@pytest.mark.parametrize("width", [2, 3, 4])
@pytest.mark.parametrize("leads", [("I",), ("II", "V1"), tuple(f"V{k}" for k in range(1, 13))])
def test_samples_come_back_bit_for_bit(width: int, leads: tuple[str, ...]) -> None:
    count = len(leads)
    spec = AdcSpec(leads, 360.0, tuple(200.0 + k / 7 for k in range(count)), tuple(range(count)), width)
    top = (1 << (8 * width - 1)) - 1
    adc = np.random.default_rng(5).integers(-top, top, (count, 500), np.int32, endpoint=True)
    block = AdcBlock(0, adc, np.zeros(adc.shape, np.uint8), 123_456_789, last=True)
    blocks, counters = decode(FrameWriter(spec).encode(block))
    assert np.array_equal(np.concatenate([b.samples for b in blocks], axis=1), mv_from_adc(adc, spec))
    assert blocks[0].device_time_s == 123.456789
    assert (blocks[0].leads, blocks[0].sample_rate_hz) == (leads, 360.0)
    assert blocks[-1].last
    assert blocks[-1].device_time_s == pytest.approx(123.456789 + 500 / 360, abs=1e-6)
    assert not counters


def test_missing_samples_and_lead_off_cross_the_wire() -> None:
    block = counted_blocks([100])[0]
    block.missing[0, 10:20] = Cause.INVALID
    block.missing[1, 50:] = Cause.LEAD_OFF
    blocks, _ = decode(FrameWriter(SPEC).encode(block))
    assert np.array_equal(np.concatenate([b.missing for b in blocks], axis=1), block.missing)


def test_a_sample_that_does_not_fit_is_refused() -> None:
    block = counted_blocks([1])[0]
    block.adc[0, 0] = 40_000
    with pytest.raises(FrameError, match="do not fit 2 bytes"):
        FrameWriter(SPEC).encode(block)


@given(st.integers(1, 2000))
def test_the_size_of_the_reads_does_not_matter(pieces: int) -> None:
    whole, _ = decode(sent())
    cut, counters = decode(sent(), pieces)
    assert same(cut, whole)
    assert not counters


@given(st.data())
def test_every_intact_frame_is_recovered_and_the_rest_is_counted(data: st.DataObject) -> None:
    """Random flips inside frames, garbage between frames: intact frames arrive, damaged ones have the cause `CRC`."""
    frames = frames_of(sent())
    hurt = data.draw(st.sets(st.integers(1, len(frames) - 2)), "damaged DATA frames")
    wire = bytearray()
    for number, frame in enumerate(frames):
        garbage = data.draw(st.binary(max_size=4).map(lambda junk: junk.replace(b"\0", b"")), "garbage")
        damaged = bytearray(frame)
        if number in hurt:
            damaged[data.draw(st.integers(0, len(frame) - 1), "position")] ^= data.draw(st.integers(1, 255), "flip")
        wire += garbage + b"\0" + damaged + b"\0"
    blocks, counters = decode(bytes(wire), data.draw(st.integers(1, 50), "reads"))
    expected: list[int] = []
    for number, size in enumerate(SIZES, start=1):
        expected += [Cause.CRC if number in hurt else Cause.PRESENT] * size
    assert causes(blocks, sum(SIZES)) == expected
    truth = np.concatenate([block.samples for block in decode(sent())[0]], axis=1)
    for block in blocks:
        kept = block.missing == Cause.PRESENT
        assert np.array_equal(block.samples[kept], truth[:, block.first_sample : block.end_sample][kept])
    assert counters["damaged_frames"] >= len(hurt)


@settings(deadline=None)
@given(st.data())
def test_every_intact_frame_is_recovered_from_any_damage(data: st.DataObject) -> None:
    """Bytes are flipped, dropped, repeated and inserted anywhere after the first HEADER.

    A DATA frame that arrives intact with both its zeros is decoded bit for bit, and nothing else is.
    """
    sizes = data.draw(st.lists(st.integers(1, 60), min_size=1, max_size=12), "sizes")
    writer = FrameWriter(SPEC)
    wire, spans = b"", []
    for block in counted_blocks(sizes)[:-1]:
        header, frame = ([], *frames_of(writer.encode(block)))[-2:]
        wire += b"\0" + header + b"\0" if header else b""
        spans.append((len(wire), len(wire) + len(frame) + 2))
        wire += b"\0" + frame + b"\0"
    arrived = damaged(data, wire, protected=spans[0][0])
    blocks, _ = decode(received(arrived), data.draw(st.integers(1, 50), "reads"))
    ends = np.cumsum(sizes).tolist()
    truth = np.concatenate([block.samples for block in decode(wire)[0]], axis=1)
    got = np.full(truth.shape, np.nan)
    for block in blocks:
        kept = block.missing == Cause.PRESENT
        got[:, block.first_sample : block.end_sample][kept] = block.samples[kept]
    assert np.array_equal(got[~np.isnan(got)], truth[~np.isnan(got)])
    for number in intact(arrived, spans):
        assert not np.isnan(got[:, ends[number] - sizes[number] : ends[number]]).any()


@given(st.lists(st.integers(1, len(SIZES)), max_size=12))
def test_repeated_and_dropped_frames(order: list[int]) -> None:
    """Any frames in any order: no instant comes twice, and every frame that came in order arrives."""
    frames = frames_of(sent())
    blocks, counters = decode(b"\0".join([frames[0], *(frames[k] for k in order), b""]))
    ahead = [k for index, k in enumerate(order) if k > max(order[:index], default=0)]
    starts = np.concatenate([[0], np.cumsum(SIZES)])
    assert [block.first_sample for block in blocks if block.samples.size and not block.missing.any()] == [
        starts[k - 1] for k in ahead
    ]
    assert counters["duplicate_blocks"] + counters["late_blocks"] == len(order) - len(ahead)


@given(st.binary(max_size=3000), st.integers(1, 40))
def test_noise_gives_no_samples(noise: bytes, pieces: int) -> None:
    blocks, counters = decode(noise, pieces)
    assert not blocks
    assert counters["garbage_bytes"] <= len(noise)


@given(st.data())
def test_the_order_holds_after_any_damage(data: st.DataObject) -> None:
    """Bytes flipped, dropped, repeated and inserted anywhere, delimiters too."""
    wire = bytearray(sent())
    for _ in range(data.draw(st.integers(0, 8))):
        position = data.draw(st.integers(0, len(wire) - 1))
        width = data.draw(st.integers(1, 80))
        match data.draw(st.sampled_from(["flip", "drop", "repeat", "insert"])):
            case "flip":
                wire[position] ^= data.draw(st.integers(1, 255))
            case "drop":
                del wire[position : position + width]
            case "repeat":
                wire[position:position] = wire[position : position + width]
            case "insert":
                wire[position:position] = data.draw(st.binary(max_size=80))
        wire = wire or bytearray(1)
    blocks, counters = decode(bytes(wire))
    decoded, decoded_counters = decode(bytes(wire), data.draw(st.integers(1, 100)))
    assert same(decoded, blocks)
    assert decoded_counters == counters
    ends = [0, *(block.end_sample for block in blocks)]
    assert all(block.first_sample >= end for block, end in zip(blocks, ends, strict=False))
    truth = np.concatenate([block.samples for block in decode(sent())[0]], axis=1)
    for block in blocks:
        kept = block.missing == Cause.PRESENT
        assert np.array_equal(block.samples[kept], truth[:, block.first_sample : block.end_sample][kept])


def test_a_stream_without_a_delimiter_does_not_grow_the_buffer() -> None:
    decoder = FrameDecoder("bed")
    for _ in range(100):
        decoder.feed(b"x" * 1000)
        assert len(decoder._pending) <= MAX_FRAME_BYTES
    blocks = decoder.feed(b"\0" + sent())
    assert sum(block.samples.shape[1] for block in blocks) == sum(SIZES)
    assert decoder.counters["garbage_bytes"] == 100_000


def test_a_receiver_may_join_midway() -> None:
    writer = FrameWriter(SPEC)
    early, late = (writer.encode(block) for block in counted_blocks([10, 250, 250])[1:3])
    blocks, counters = decode(early[len(early) // 2 :] + late)
    assert [block.first_sample for block in blocks][:1] == [260]
    assert counters["headless_frames"] + counters["damaged_frames"] >= 1


def test_a_new_session_is_a_new_epoch() -> None:
    blocks, counters = decode(b"\0".join(frames_of(sent(session=7))[:-1]) + b"\0" + sent(session=8))
    assert [block.epoch for block in blocks if block.first_sample == 0] == ["7", "8"]
    assert not counters["duplicate_blocks"]
    assert not counters["late_blocks"]


def test_a_restart_without_a_new_session_is_recognised() -> None:
    running, restarted = (b"".join(map(FrameWriter(SPEC).encode, counted_blocks([100] * 30)[:-1])) for _ in range(2))
    blocks, counters = decode(running + restarted)
    assert [(block.first_sample, block.epoch) for block in blocks][::30] == [(0, ""), (0, ".1")]
    assert len(blocks) == 60
    assert not counters


def test_samples_of_a_session_without_a_header_are_dropped() -> None:
    restarted = frames_of(sent(session=8))[1:]
    _, counters = decode(b"\0".join(frames_of(sent(session=7))[:-1]) + b"\0" + b"\0" + b"\0".join(restarted) + b"\0")
    assert counters["headless_frames"] == len(restarted)


def test_the_sequence_wraps() -> None:
    start = (1 << 32) - 30
    blocks, counters = decode(b"".join(map(FrameWriter(SPEC).encode, counted_blocks(SIZES, first_sample=start))))
    assert blocks[-1].first_sample == start + sum(SIZES)
    assert all(not block.missing.any() for block in blocks)
    assert not counters


def test_a_far_jump_is_accepted_only_when_the_next_frame_continues_it() -> None:
    """Then the frame that jumped is passed on too, because it is as intact as the one that confirms it."""
    near, far, after, _ = counted_blocks([10, 10, 10])
    away = 250 * 3600
    writer = FrameWriter(SPEC)
    moved = [replace(block, first_sample=block.first_sample + away) for block in (far, after)]
    blocks, counters = decode(writer.encode(near) + writer.encode(moved[0]) + writer.encode(moved[1]))
    assert [block.first_sample for block in blocks] == [0, away + 10, away + 20]
    assert not counters
    writer = FrameWriter(SPEC)
    blocks, counters = decode(writer.encode(near) + writer.encode(moved[0]) + writer.encode(far))
    assert [block.first_sample for block in blocks] == [0, 10]
    assert counters["implausible_frames"] == 1


def test_an_end_is_accepted_however_far_ahead() -> None:
    """A truncated record ends an hour after its last sample; without its END a serial replay used to wait for ever."""
    block, end = counted_blocks([100])
    far = replace(end, first_sample=250 * 3600)
    writer = FrameWriter(SPEC)
    blocks, counters = decode(writer.encode(block) + writer.encode(far))
    assert (blocks[-1].first_sample, blocks[-1].last) == (250 * 3600, True)
    assert not counters


def test_an_end_confirms_the_jump_before_it() -> None:
    near, far, end = counted_blocks([10, 10])
    moved = [replace(block, first_sample=block.first_sample + 250 * 3600) for block in (far, end)]
    writer = FrameWriter(SPEC)
    blocks, counters = decode(writer.encode(near) + writer.encode(moved[0]) + writer.encode(moved[1]))
    assert [(block.first_sample, block.last) for block in blocks] == [
        (0, False),
        (250 * 3600 + 10, False),
        (250 * 3600 + 20, True),
    ]
    assert not counters


def test_a_changed_scale_begins_a_new_epoch() -> None:
    """A device without sessions came back with another gain, and its samples were read with the old gain."""
    other = replace(SPEC, gain=(100.0, 100.0))
    before = FrameWriter(SPEC).encode(counted_blocks([100], SPEC)[0])
    came_back = counted_blocks([125] * 3, other)[:-1]
    blocks, counters = decode(before + b"".join(map(FrameWriter(other).encode, came_back)))
    assert [(block.first_sample, block.epoch) for block in blocks] == [(0, "")] + [(k, ".1") for k in (0, 125, 250)]
    for block, truth in zip(blocks[1:], came_back, strict=True):
        assert np.array_equal(block.samples, mv_from_adc(truth.adc, other))
    assert not counters


def test_a_restart_within_seconds_is_recognised() -> None:
    """A device sent for 5 s and restarted. Its samples used to be dropped until it passed the first run."""
    running, restarted = (b"".join(map(FrameWriter(SPEC).encode, counted_blocks([125] * 10)[:-1])) for _ in range(2))
    blocks, counters = decode(running + restarted)
    assert [(b.first_sample, b.epoch) for b in blocks] == [(125 * k, epoch) for epoch in ("", ".1") for k in range(10)]
    assert not counters


def test_a_changed_rate_is_accepted_with_the_second_header() -> None:
    """Another sketch was loaded. Its HEADERs used to be refused for ever, and its samples read with the old scale."""
    other = AdcSpec(("II", "V1"), 500.0, (100.0, 100.0), (0, 0), 2)
    old = FrameWriter(SPEC).encode(counted_blocks([250])[0])
    wire = list(map(FrameWriter(other).encode, counted_blocks([250] * 8, other)[:-1]))
    assert len(decode(old + b"".join(wire[:2]))[0]) == 1, "nothing is read before the second HEADER"
    blocks, counters = decode(old + b"".join(wire))
    assert [(b.first_sample, b.sample_rate_hz, b.epoch) for b in blocks[1:]] == [
        (start, 500.0, ".1") for start in range(0, 2000, 250)
    ]
    assert not counters


def test_a_single_contradicting_header_does_not_end_the_session() -> None:
    first, second, third, _ = counted_blocks([250] * 3)
    writer, other = FrameWriter(SPEC), FrameWriter(replace(SPEC, sample_rate_hz=500.0))
    foreign = b"\0" + frames_of(other.encode(first))[0] + b"\0"
    blocks, counters = decode(writer.encode(first) + foreign + writer.encode(second) + writer.encode(third))
    assert {(block.sample_rate_hz, block.epoch) for block in blocks} == {(250.0, "")}
    assert causes(blocks, 750) == [0] * 750
    assert counters["damaged_frames"] == 1


@pytest.mark.parametrize("changed", [{"sample_rate_hz": 500.0}, {"gain": (100.0, 100.0)}])
def test_samples_after_a_wrong_header_are_held_until_the_next_one(changed: dict[str, Any]) -> None:
    sent_blocks = counted_blocks([125] * 4)
    writer, other = FrameWriter(SPEC), FrameWriter(replace(SPEC, **changed))
    foreign = b"\0" + frames_of(other.encode(sent_blocks[0]))[0] + b"\0"
    wire = [writer.encode(block) for block in sent_blocks]
    blocks, counters = decode(wire[0] + foreign + b"".join(wire[1:]))
    truth = np.concatenate([mv_from_adc(block.adc, SPEC) for block in sent_blocks], axis=1)
    assert np.array_equal(np.concatenate([block.samples for block in blocks], axis=1), truth)
    assert {block.epoch for block in blocks} == {""}
    assert blocks[-1].last
    assert counters == {"damaged_frames": 1}


def test_an_unsettled_header_ends_with_its_stream() -> None:
    """END is accepted there too, and the samples between are counted, not read with either scale."""
    block, more, end = counted_blocks([300, 100])
    writer, other = FrameWriter(SPEC), FrameWriter(replace(SPEC, gain=(100.0, 100.0)))
    restarted = [replace(each, first_sample=each.first_sample - 300) for each in (more, end)]
    blocks, counters = decode(writer.encode(block) + other.encode(restarted[0]) + other.encode(restarted[1]))
    assert [(b.first_sample, b.last) for b in blocks] == [(0, False), (256, False), (300, True)]
    assert counters == {"headless_frames": 1}


def test_the_frames_held_back_are_bounded() -> None:
    writer, other = FrameWriter(SPEC), FrameWriter(replace(SPEC, gain=(100.0, 100.0)))
    many = b"".join(map(other.encode, counted_blocks([1] * 251, SPEC)[:-1]))
    decoder = FrameDecoder("bed")
    decoder.feed(writer.encode(counted_blocks([1])[0]))
    header, *data = frames_of(many)
    decoder.feed(b"\0".join([b"", header, *data[:249], *data[:249], b""]))
    assert decoder.counters == {"headless_frames": 2 * 249 - 256}
