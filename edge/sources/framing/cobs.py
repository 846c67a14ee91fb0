"""Consistent Overhead Byte Stuffing: any bytes without a zero, so that a zero can end a frame.

After Cheshire & Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Transactions on Networking 7(2), 1999.
The delimiter itself is neither added nor expected here.
"""

from edge.core.errors import FrameError

_FULL = 254  # longest run of a code 0xFF, after which no zero is implied


def encode(data: bytes) -> bytes:
    """Return `data` without zeros; at most one byte in 254 longer, plus one."""
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
    """Return what `encode` was given; the shorter form of a last full run is read too.

    Raises
    ------
    FrameError
        When `data` is empty, holds a zero, or ends inside a run.
    """
    if not data or 0 in data:
        raise FrameError("a COBS frame is empty or holds a zero")
    out = bytearray()
    start, code = 0, 0
    while start < len(data):
        code = data[start]
        out += data[start + 1 : start + code]
        if code <= _FULL:
            out.append(0)
        start += code
    if start > len(data):
        raise FrameError("a COBS frame ends inside a run")
    if code <= _FULL:
        out.pop()
    return bytes(out)
