"""A wire that flips, drops, repeats and inserts bytes, and which of the sent bytes arrive intact."""

from collections.abc import Sequence

from hypothesis import strategies as st

Wire = list[tuple[int, int]]  # (byte, its position in the sent bytes; -1: damaged or inserted)


def damaged(data: st.DataObject, sent: bytes, protected: int = 0, operations: int = 6) -> Wire:
    """Return `sent` after random damage anywhere but in its first `protected` bytes."""
    wire = list(zip(sent, range(len(sent)), strict=True))
    for _ in range(data.draw(st.integers(0, operations), "operations")):
        position = data.draw(st.integers(protected, max(len(wire) - 1, protected)), "position")
        width = data.draw(st.integers(1, 80), "width")
        match data.draw(st.sampled_from(["flip", "drop", "repeat", "insert"]), "operation"):
            case "flip":
                wire[position : position + 1] = [
                    (byte ^ data.draw(st.integers(1, 255)), -1) for byte, _ in wire[position:][:1]
                ]
            case "drop":
                del wire[position : position + width]
            case "repeat":
                wire[position:position] = [(byte, -1) for byte, _ in wire[position : position + width]]
            case "insert":
                wire[position:position] = [(byte, -1) for byte in data.draw(st.binary(max_size=80))]
    return wire


def received(wire: Wire) -> bytes:
    """Return the bytes that arrive."""
    return bytes(byte for byte, _ in wire)


def intact(wire: Wire, spans: Sequence[tuple[int, int]]) -> list[int]:
    """Return the numbers of the spans (start, end) of the sent bytes that arrived intact and in one piece."""
    at = {origin: position for position, (_, origin) in enumerate(wire) if origin >= 0}
    whole = []
    for number, (start, end) in enumerate(spans):
        first = at.get(start)
        if first is not None and [origin for _, origin in wire[first : first + end - start]] == [*range(start, end)]:
            whole.append(number)
    return whole
