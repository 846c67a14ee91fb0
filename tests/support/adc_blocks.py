"""Blocks of ADC integers, shared by the tests of wire formats."""

from collections.abc import Sequence

import numpy as np

from edge.core.samples import Block, Cause
from edge.sources.formats.adc import AdcBlock, AdcSpec

SPEC = AdcSpec(("II", "V1"), 250.0, (200.0, 409.6), (1024, -3), 2)


def counted_blocks(sizes: Sequence[int], spec: AdcSpec = SPEC, first_sample: int = 0) -> list[AdcBlock]:
    """Return blocks whose samples encode their index, so that any loss or swap shows; the last one ends the stream."""
    blocks = []
    for size in sizes:
        index = np.arange(first_sample, first_sample + size)
        adc = np.stack([(index * (lead + 1)) % 4096 - 2048 for lead in range(len(spec.leads))]).astype(np.int32)
        blocks.append(AdcBlock(first_sample, adc, np.zeros(adc.shape, np.uint8), first_sample * 4000))
        first_sample += size
    end = blocks[-1].part(sizes[-1], sizes[-1], spec)
    return [*blocks, AdcBlock(end.first_sample, end.adc, end.missing, end.device_us, last=True)]


def causes(blocks: Sequence[Block], samples: int, lead: int = 0) -> list[int]:
    """Return the cause of every instant from 0 to `samples`; instants in no block are sequence gaps."""
    result = np.full(samples, Cause.SEQUENCE_GAP)
    for block in blocks:
        result[block.first_sample : block.end_sample] = block.missing[lead]
    return [int(cause) for cause in result]
