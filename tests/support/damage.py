"""A wire that flips, drops, repeats and inserts bytes, and what of the sent bytes came through untouched."""

from collections.abc import Sequence

from hypothesis import strategies as st

Wire = list[tuple[int, int]]  # (byte, its place in what was sent; -1 where it is damaged or invented)


def damaged(data: st.DataObject, sent: bytes, protected: int = 0, operations: int = 6) -> Wire:
    """Return `sent` after some random damage behind its first `protected` bytes."""
    wire = list(zip(sent, range(len(sent)), strict=True))
    for _ in range(data.draw(st.integers(0, operations), "operations")):
        place = data.draw(st.integers(protected, max(len(wire) - 1, protected)), "place")
        width = data.draw(st.integers(1, 80), "width")
        match data.draw(st.sampled_from(["flip", "drop", "repeat", "insert"]), "operation"):
            case "flip":
                wire[place : place + 1] = [(byte ^ data.draw(st.integers(1, 255)), -1) for byte, _ in wire[place:][:1]]
            case "drop":
                del wire[place : place + width]
            case "repeat":
                wire[place:place] = [(byte, -1) for byte, _ in wire[place : place + width]]
            case "insert":
                wire[place:place] = [(byte, -1) for byte in data.draw(st.binary(max_size=80))]
    return wire


def received(wire: Wire) -> bytes:
    """Return the bytes that arrive."""
    return bytes(byte for byte, _ in wire)


def intact(wire: Wire, spans: Sequence[tuple[int, int]]) -> list[int]:
    """Return the numbers of the spans (start, end) of what was sent that arrived whole and in one piece."""
    at = {origin: place for place, (_, origin) in enumerate(wire) if origin >= 0}
    whole = []
    for number, (start, end) in enumerate(spans):
        first = at.get(start)
        if first is not None and [origin for _, origin in wire[first : first + end - start]] == [*range(start, end)]:
            whole.append(number)
    return whole
