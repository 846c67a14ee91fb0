"""Finds serial frames (`frame`) in a stream of bytes, and returns their samples in order."""

from collections import Counter
from typing import NamedTuple

from edge.core.errors import FrameError
from edge.core.samples import Block, Cause
from edge.sources.formats.adc import AdcSpec
from edge.sources.formats.frame import (
    DATA,
    END,
    HEADER,
    MAX_FRAME_BYTES,
    WRAP,
    Frame,
    read_frame,
    read_samples,
    read_spec,
)
from edge.sources.formats.sequence import SequenceTracker

_RESTART_S = 2.0  # a HEADER this far behind is a restart: they come every second, and a wire does not reorder
_MAX_HELD = 256  # frames held back after a doubtful HEADER
_MAX_JUMP_S = 600.0  # a longer jump is accepted only when a second frame continues it


class _DoubtfulHeader(NamedTuple):
    """A HEADER that contradicts its session, and the DATA after it, held back until the next HEADER."""

    spec: AdcSpec
    sequence: int
    held: list[tuple[int, bytes]]  # sequence and body


class FrameDecoder:
    """Turns bytes into blocks; the bytes may arrive in pieces of any size.

    A HEADER that contradicts its session is doubtful until the next one agrees with it or with the session. Samples
    between the two are held back, so that none is read with a wrong scale and none is lost.
    A new session begins a new epoch, named by the session's number (the empty name for 0). A restart without a new
    session adds `.1`, `.2` and so on.
    Missing instants have the cause `CRC` if damage was seen since the last good frame, else `SEQUENCE_GAP`. A loss
    before the first HEADER cannot be known.

    Parameters
    ----------
    stream : id of the stream

    Attributes
    ----------
    counters : `damaged_frames`, `garbage_bytes` (bytes that are no frame), `headless_frames` (samples before the first
        HEADER of their session, or after a doubtful one that was never settled), `implausible_frames` (samples more
        than ten minutes ahead that no second frame confirms), `duplicate_blocks`, `late_blocks`
    """

    def __init__(self, stream: str) -> None:
        self.counters: Counter[str] = Counter()
        self._stream = stream
        self._pending = bytearray()
        self._overlong = False  # the bytes so far are too many for a frame
        self._damaged = False  # damage was seen since the last good frame
        self._session = -1  # none
        self._restarts = 0
        self._spec: AdcSpec | None = None
        self._tracker = SequenceTracker(self.counters)
        self._suspect: Block | None = None  # a block that jumps far ahead and is not confirmed yet
        self._doubtful: _DoubtfulHeader | None = None

    def feed(self, data: bytes) -> list[Block]:
        """Take the next bytes and return the blocks that they complete."""
        blocks: list[Block] = []
        *ended, rest = data.split(b"\0")
        for piece in ended:
            self._append(piece)
            blocks += self._end_of_frame()
        self._append(rest)
        return blocks

    def _append(self, piece: bytes) -> None:
        self._pending += piece
        if len(self._pending) > MAX_FRAME_BYTES:
            self.counters["garbage_bytes"] += len(self._pending)
            self._pending.clear()
            self._overlong = True

    def _end_of_frame(self) -> list[Block]:
        encoded, overlong = bytes(self._pending), self._overlong
        self._pending.clear()
        self._overlong = False
        if not encoded and not overlong:
            return []
        try:
            return self._read(read_frame(b"" if overlong else encoded))
        except FrameError:
            self._count_damaged()
            self.counters["garbage_bytes"] += len(encoded)
            return []

    def _read(self, frame: Frame) -> list[Block]:
        kind, session, sequence, body = frame
        if kind == HEADER:
            return self._begin(session, sequence, read_spec(body))
        spec, doubt = self._spec, self._doubtful
        if spec is None or session != self._session:  # without its HEADER the samples have no scale
            self.counters["headless_frames"] += 1
            return []
        if doubt is not None and kind == DATA:
            if len(doubt.held) < _MAX_HELD:
                doubt.held.append((sequence, body))
            else:
                self.counters["headless_frames"] += 1
            return []
        self._drop_doubt()  # after END no HEADER can settle it
        return self._to_blocks(kind, sequence, body, spec)

    def _begin(self, session: int, sequence: int, spec: AdcSpec) -> list[Block]:
        """Take a HEADER and return the blocks that were held back for it."""
        if session != self._session:
            self._drop_doubt()  # a HEADER of another session says nothing about this one
            self._start(session, sequence, spec, restarts=0)
            return []
        doubt = self._doubtful
        if spec != self._spec and (doubt is None or spec != doubt.spec):
            self._drop_doubt()
            self._doubtful = _DoubtfulHeader(spec, sequence, [])
            return []
        # This HEADER agrees with the session or with the doubtful one, which settles the doubt.
        blocks = [] if doubt is None else self._settle(doubt, confirmed=spec != self._spec)
        if self._tracker.next_sample - self._unwrap(sequence) > _RESTART_S * spec.sample_rate_hz:
            self._start(session, sequence, spec, self._restarts + 1)
        return blocks

    def _start(self, session: int, sequence: int, spec: AdcSpec, restarts: int) -> None:
        self._session, self._spec, self._restarts = session, spec, restarts
        self._tracker = SequenceTracker(self.counters, sequence)
        self._damaged = False
        self._drop_suspect()

    def _settle(self, doubt: _DoubtfulHeader, *, confirmed: bool) -> list[Block]:
        """Read the frames held back after a doubtful HEADER, now that the next HEADER confirms it or not."""
        self._doubtful = None
        if confirmed:
            self._start(self._session, doubt.sequence, doubt.spec, self._restarts + 1)
        else:
            self._count_damaged()
        blocks: list[Block] = []
        for sequence, body in doubt.held:
            try:
                blocks += self._to_blocks(DATA, sequence, body, self._spec or doubt.spec)
            except FrameError:
                self._count_damaged()
        return blocks

    def _drop_doubt(self) -> None:
        if self._doubtful is not None:
            self.counters["headless_frames"] += len(self._doubtful.held)
            self._doubtful = None

    def _count_damaged(self) -> None:
        self.counters["damaged_frames"] += 1
        self._damaged = True

    def _to_blocks(self, kind: int, sequence: int, body: bytes, spec: AdcSpec) -> list[Block]:
        first_sample = self._unwrap(sequence)
        if kind == END:
            # END comes only once, so it is accepted even with a sequence that lies behind.
            first_sample = max(first_sample, self._tracker.next_sample)
        epoch = (str(self._session) if self._session else "") + (f".{self._restarts}" if self._restarts else "")
        block = read_samples(kind, first_sample, body, spec)
        accepted = self._accept(block.to_block(self._stream, spec, epoch))
        cause = Cause.CRC if self._damaged else Cause.SEQUENCE_GAP
        self._damaged = self._damaged and not accepted
        if kind == END:
            self._session, self._spec = -1, None
        return [placed for each in accepted for placed in self._tracker.add(each, cause)]

    def _accept(self, block: Block) -> list[Block]:
        """Hold back a block that jumps far ahead, until the next one confirms it; return all others at once."""
        suspect = self._suspect
        far = block.first_sample - self._tracker.next_sample > _MAX_JUMP_S * block.sample_rate_hz
        if far and suspect is not None and block.first_sample == suspect.end_sample:
            self._suspect = None
            return [suspect, block]
        self._drop_suspect()
        if far and not block.last:
            self._suspect = block
            return []
        return [block]

    def _drop_suspect(self) -> None:
        if self._suspect is not None:
            self.counters["implausible_frames"] += 1
            self._suspect = None

    def _unwrap(self, sequence: int) -> int:
        """Return the sample index nearest to the next one that has this sequence modulo 2^32."""
        ahead = (sequence - self._tracker.next_sample) % WRAP
        if ahead >= WRAP // 2:
            ahead -= WRAP
        return max(self._tracker.next_sample + ahead, 0)
