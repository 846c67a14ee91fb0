"""Lines of text as an AD8232 sketch sends them."""

from damage import damaged, intact, received
from hypothesis import given
from hypothesis import strategies as st

from edge.core.samples import Cause
from edge.sources.formats.adc import AdcSpec
from edge.sources.formats.ascii_lines import AsciiDecoder

SPEC = AdcSpec(("I",), 250.0, (225.0,), (512,))
WIRE = b"12\r\n512\r\n737\r\n!\r\n\r\nx9\r\n51251\r\n-4\r\n" + b"7" * 50 + b"\n287\n"


def decode(data: bytes, pieces: int = 1) -> tuple[list[tuple[float, int]], AsciiDecoder]:
    decoder = AsciiDecoder("bed", SPEC)
    step = max(1, -(-len(data) // pieces))
    blocks = [block for start in range(0, len(data), step) for block in decoder.feed(data[start : start + step])]
    assert [b.first_sample for b in blocks[1:]] == [b.end_sample for b in blocks[:-1]]
    return [(float(b.samples[0, k]), int(b.missing[0, k])) for b in blocks for k in range(b.samples.shape[1])], decoder


def test_lines_become_samples() -> None:
    samples, decoder = decode(WIRE)
    assert samples == [
        (0.0, Cause.PRESENT),
        (1.0, Cause.PRESENT),
        (0.0, Cause.LEAD_OFF),
        *[(0.0, Cause.INVALID)] * 3,
        (-1.0, Cause.PRESENT),
    ]
    assert decoder.counters == {"garbage_lines": 3, "garbage_bytes": 53}


@given(st.integers(1, 200), st.binary(max_size=100))
def test_the_size_of_the_reads_does_not_matter(pieces: int, noise: bytes) -> None:
    whole, first = decode(WIRE + noise + WIRE)
    cut, second = decode(WIRE + noise + WIRE, pieces)
    assert cut == whole
    assert second.counters == first.counters


def test_values_at_the_limits_and_jumps_are_invalid() -> None:
    """A lost or added digit moves the trace by more than 2 mV from one sample to the next."""
    values = [512, 520, 52, 525, 0, 1023, 530, 531]
    samples, decoder = decode(b"\n" + b"".join(b"%d\n" % value for value in values))
    assert [cause for _, cause in samples] == [0, 0, *[Cause.INVALID] * 5, 0]
    assert decoder.counters["implausible_samples"] == 5


@given(st.data())
def test_every_intact_line_arrives_from_a_damaged_wire(data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(500, 530), min_size=20, max_size=60), "values")
    lines = [b"%d\r\n" % value for value in values]
    sent = b"\n" + b"".join(lines)
    ends = [1 + sum(map(len, lines[: k + 1])) for k in range(len(lines))]
    arrived = damaged(data, sent, protected=1)
    whole = intact(arrived, [(end - len(line) - 1, end) for line, end in zip(lines, ends, strict=True)])
    samples, decoder = decode(received(arrived))
    kept = iter((round(225 * value + 512), cause) for value, cause in samples)
    doubted = sum(cause == Cause.INVALID for _, cause in samples)
    assert doubted == decoder.counters["garbage_lines"] + decoder.counters["implausible_samples"]
    assert all(0 < round(225 * value + 512) < 1023 for value, cause in samples if cause == Cause.PRESENT)
    for k in whole:  # in order: each search continues where the one before ended
        assert any(cause == Cause.INVALID or value == values[k] for value, cause in kept)


def test_a_line_without_an_end_does_not_grow_the_buffer() -> None:
    decoder = AsciiDecoder("bed", SPEC)
    for _ in range(100):
        assert decoder.feed(b"1" * 1000) == []
        assert len(decoder._pending) <= 32
