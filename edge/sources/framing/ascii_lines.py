"""Lines of text, as the AD8232 sketches print them: one decimal sample a line, `!` when an electrode is off.

The wire declares neither rate nor scale, so both come from the configuration. There is no sequence and no
checksum either: a lost line cannot be seen, and a damaged one shows only when it is no number, no value that the
converter can give, or one that the ECG cannot have reached. Pure: bytes in, blocks out.
"""

from collections import Counter

import numpy as np

from edge.core.samples import Block, Cause
from edge.sources.framing.adc import AdcBlock, AdcSpec
from edge.sources.framing.packets import Plausibility

_MAX_LINE_BYTES = 32
_SLEW_MV_PER_S = 500.0  # IEC 60601-2-27 has monitors follow 320; a digit lost or put in is far more


class AsciiDecoder:
    """Turns lines into blocks of one lead.

    Every ended line that is not blank is one sample instant: `!` is `LEAD_OFF`, what is no whole number from
    0 to `adc_max` is `INVALID`, as is a value at either end, or a leap away from the one
    before. The first line is thrown away, as are lines of more than 32 bytes.

    Parameters
    ----------
    stream : id of the stream
    spec : one lead; an AD8232 on a 10-bit converter of 5 V has about 225 units per mV around 512
    adc_max : largest value that the converter gives
    epoch : names this count of lines, which begins at 0

    Attributes
    ----------
    counters : `garbage_lines` (no number, or none that the converter gives), `implausible_samples` (at its ends, or a
        leap), `garbage_bytes` of lines that were thrown away
    """

    def __init__(self, stream: str, spec: AdcSpec, adc_max: int = 1023, epoch: str = "") -> None:
        self.counters: Counter[str] = Counter()
        self._stream = stream
        self._spec = spec
        self._adc_max = adc_max
        self._epoch = epoch
        step_mv = _SLEW_MV_PER_S / spec.sample_rate_hz
        self._plausibility = Plausibility(spec, adc_max, self.counters, floor=0, step_mv=step_mv)
        self._pending = bytearray()
        self._skipping = True  # the first line may have been joined midway
        self._next_sample = 0

    def feed(self, data: bytes) -> list[Block]:
        """Take the next bytes and return the block of the lines that they end, if there is one."""
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
            missing[:, numbers] = self._plausibility.judge(adc[:, numbers])
        device_us = round(self._next_sample * 1e6 / self._spec.sample_rate_hz)
        block = AdcBlock(self._next_sample, adc, missing, device_us)
        self._next_sample = block.end_sample
        return block.to_block(self._stream, self._spec, self._epoch)
