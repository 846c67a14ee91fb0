"""COBS against known encodings and against any bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.errors import FrameError
from edge.sources.formats import cobs


@pytest.mark.parametrize(
    ("plain", "encoded"),
    [  # the examples of the paper's description, as every implementation has them
        ("00", "0101"),
        ("0000", "010101"),
        ("11220033", "0311220233"),
        ("11223344", "0511223344"),
        ("11000000", "0211010101"),
    ],
)
def test_known_encodings(plain: str, encoded: str) -> None:
    assert cobs.encode(bytes.fromhex(plain)).hex() == encoded
    assert cobs.decode(bytes.fromhex(encoded)).hex() == plain


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 600)), max_size=6))
def test_any_bytes_are_encoded_without_a_zero_and_come_back(runs: list[tuple[int, int]]) -> None:
    plain = b"".join(bytes([value]) * count for value, count in runs)
    encoded = cobs.encode(plain)
    assert 0 not in encoded
    assert len(encoded) <= len(plain) + len(plain) // 254 + 1
    assert cobs.decode(encoded) == plain


def test_the_shorter_form_of_a_last_full_run_is_accepted() -> None:
    assert cobs.decode(b"\xff" + b"a" * 254) == b"a" * 254


@pytest.mark.parametrize("bad", [b"", b"\x00", b"\x02a\x00", b"\x05ab"])
def test_an_invalid_encoding_is_refused(bad: bytes) -> None:
    with pytest.raises(FrameError):
        cobs.decode(bad)
