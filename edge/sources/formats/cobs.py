"""Consistent Overhead Byte Stuffing (COBS): encodes any bytes without a zero, so that a zero can end a frame.

After Cheshire & Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Transactions on Networking 7(2), 1999.
The delimiter itself is neither added nor expected here.
"""

from edge.core.errors import FrameError

_FULL = 254  # longest run; its code 0xFF implies no zero after it


def encode(data: bytes) -> bytes:
    """Return `data` encoded without zeros: one byte longer, and one more for each 254 bytes."""
    out = bytearray()
    for run in data.split(b"\0"):
        start = 0
        while len(run) - start >= _FULL:
            out.append(_FULL + 1)
            out += run[start : start + _FULL]
            start += _FULL
        out.append(len(run) - start + 1)
        out += run[start:]
    return bytes(out)


def decode(data: bytes) -> bytes:
    """Reverse `encode`; the shorter encoding of a last full run is accepted too.

    Raises
    ------
    FrameError
        When `data` is empty, holds a zero, or ends inside a run.
    """
    if not data or 0 in data:
        raise FrameError("a COBS frame that is empty or holds a zero")
    out = bytearray()
    start, code = 0, 0
    while start < len(data):
        code = data[start]
        out += data[start + 1 : start + code]
        if code <= _FULL:
            out.append(0)
        start += code
    if start > len(data):
        raise FrameError("a COBS frame that ends inside a run")
    if code <= _FULL:
        out.pop()  # the zero after the last run is the delimiter, not data
    return bytes(out)
