"""Lines of text, as the AD8232 sketches print them: one decimal sample a line, `!` when an electrode is off.

The wire carries neither rate nor scale, so both come from the configuration. It has no sequence and no checksum. A lost
line cannot be detected. A damaged line is detected when it is not a number, not a value of the converter, or further
from the one before than an ECG can move.
"""

from collections import Counter

import numpy as np

from edge.core.samples import Block, Cause
from edge.sources.formats.adc import AdcBlock, AdcSpec
from edge.sources.formats.packets import PlausibilityCheck

_MAX_LINE_BYTES = 32
# IEC 60601-2-27 requires monitors to follow 320 mV/s; a lost or added digit is a far larger step.
_MAX_SLEW_MV_PER_S = 500.0


class AsciiDecoder:
    """Turns lines into blocks of one lead.

    Every complete line that is not blank is one sample instant. `!` is `LEAD_OFF`. A line that is not a whole number
    from 0 to `adc_max` is `INVALID`, and so is a value at either limit or a jump from the one before. The first line is
    dropped, because it may be the end of one, and so are lines of more than 32 bytes.

    Parameters
    ----------
    stream : id of the stream
    spec : one lead; an AD8232 on a 10-bit converter of 5 V has about 225 units per mV around 512
    adc_max : largest value of the converter
    epoch : names this count of lines, which begins at 0

    Attributes
    ----------
    counters : `garbage_lines` (not a value of the converter), `implausible_samples` (at a limit, or a jump),
        `garbage_bytes` (of lines that were dropped)
    """

    def __init__(self, stream: str, spec: AdcSpec, adc_max: int = 1023, epoch: str = "") -> None:
        self.counters: Counter[str] = Counter()
        self._stream = stream
        self._spec = spec
        self._adc_max = adc_max
        self._epoch = epoch
        step_mv = _MAX_SLEW_MV_PER_S / spec.sample_rate_hz
        self._plausibility = PlausibilityCheck(spec, adc_max, self.counters, floor=0, step_mv=step_mv)
        self._pending = bytearray()
        self._skipping = True  # the first line may be incomplete
        self._next_sample = 0

    def feed(self, data: bytes) -> list[Block]:
        """Take the next bytes and return the block of the lines that they complete, if any."""
        self._pending += data
        *lines, rest = self._pending.split(b"\n")
        samples = []
        for line in lines:
            if self._skipping or len(line) > _MAX_LINE_BYTES:
                self.counters["garbage_bytes"] += len(line)
                self._skipping = False
            elif line.strip():
                samples.append(self._sample(line.strip()))
        if len(rest) > _MAX_LINE_BYTES:
            self.counters["garbage_bytes"] += len(rest)
            self._skipping = True
            rest = bytearray()
        self._pending = rest
        return [self._block(samples)] if samples else []

    def _sample(self, line: bytearray) -> tuple[int, Cause]:
        if line == b"!":
            return 0, Cause.LEAD_OFF
        if line.isdigit() and int(line) <= self._adc_max:
            return int(line), Cause.PRESENT
        self.counters["garbage_lines"] += 1
        return 0, Cause.INVALID

    def _block(self, samples: list[tuple[int, Cause]]) -> Block:
        adc = np.array([[value for value, _ in samples]], np.int32)
        missing = np.array([[cause for _, cause in samples]], np.uint8)
        numbers = missing[0] == Cause.PRESENT
        if numbers.any():
            missing[:, numbers] = self._plausibility.check(adc[:, numbers])
        device_us = round(self._next_sample * 1e6 / self._spec.sample_rate_hz)
        block = AdcBlock(self._next_sample, adc, missing, device_us)
        self._next_sample = block.end_sample
        return block.to_block(self._stream, self._spec, self._epoch)
