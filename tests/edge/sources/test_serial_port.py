"""The serial source on a real pty, with the device's bytes written into its other end."""

import os
import threading
import tty

import numpy as np
import pytest
from adc_blocks import SPEC, causes, counted_blocks
from waiting import wait_until

from edge.errors import ConfigError, SourceError
from edge.framing.adc import mv_from_adc
from edge.framing.frame import FrameWriter
from edge.samples import Cause
from edge.sources.config import SerialConfig
from edge.sources.serial_port import SerialPortSource


class Wire:
    """A pty: the device writes to one end, the source opens the other."""

    def __init__(self):
        self._device, self._far = os.openpty()
        tty.setraw(self._device)
        tty.setraw(self._far)
        self.port = os.ttyname(self._far)
        self._sender = None

    def send(self, data):
        """Write from a thread of its own, since a pty holds only a few KiB."""

        def write():
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._device, rest) :]

        self._sender = threading.Thread(target=write, daemon=True)
        self._sender.start()

    def unplug(self):
        if self._sender is not None:
            self._sender.join(10)
        for end in (self._device, self._far):
            if end >= 0:
                os.close(end)
        self._device = self._far = -1


@pytest.fixture
def wire():
    pty = Wire()
    yield pty
    pty.unplug()


def until_last(source):
    blocks = []
    for block in source.blocks():
        blocks.append(block)
        if block.last:
            return blocks
    pytest.fail("the source ended without a last block")


def frames(sizes):
    writer = FrameWriter(SPEC)
    return [writer.encode(block) for block in counted_blocks(sizes)]


def test_frames_arrive_bit_for_bit(wire):
    with SerialPortSource(SerialConfig(port=wire.port, stream="bed")) as source:
        source.open()
        wire.send(b"".join(frames([100] * 100)))
        blocks = until_last(source)
    truth = np.concatenate([mv_from_adc(block.adc, SPEC) for block in counted_blocks([100] * 100)], axis=1)
    assert np.array_equal(np.concatenate([block.samples for block in blocks], axis=1), truth)
    assert {block.stream for block in blocks} == {"bed"}
    assert source.counters == {}


def test_damage_on_the_wire_is_counted(wire):
    parts = frames([100] * 6)
    hurt = bytearray(parts[2])
    hurt[50] ^= 0x55
    with SerialPortSource(SerialConfig(port=wire.port)) as source:
        source.open()
        wire.send(b"boot: rst 0x1\r\n" + parts[0] + parts[1] + bytes(hurt) + parts[3] + b"".join(parts[5:]))
        blocks = until_last(source)
    expected = [0] * 200 + [Cause.CRC] * 100 + [0] * 100 + [Cause.SEQUENCE_GAP] * 100 + [0] * 100
    assert causes(blocks, 600) == expected
    assert source.counters["damaged_frames"] == 2
    assert source.counters["garbage_bytes"] > 15


def test_ascii_lines(wire):
    config = SerialConfig(port=wire.port, format="ascii", lead="II", sample_rate_hz=100.0, gain=100.0)
    with SerialPortSource(config) as source:
        source.open()
        wire.send(b"9\r\n512\r\n612\r\n!\r\nnoise\r\n")
        blocks, samples = source.blocks(), []
        while len(samples) < 4:
            block = next(blocks)
            samples += zip(block.samples[0].tolist(), block.missing[0].tolist(), strict=True)
    assert samples == [(0.0, 0), (1.0, 0), (0.0, Cause.LEAD_OFF), (0.0, Cause.INVALID)]
    assert (block.leads, block.sample_rate_hz) == (("II",), 100.0)
    assert source.counters["garbage_lines"] == 1


def test_a_port_that_is_not_there_says_what_to_do():
    with pytest.raises(SourceError, match="list_ports") as caught:
        SerialPortSource(SerialConfig(port="/dev/ttyNONE")).open()
    assert "\n" not in str(caught.value)


def test_a_port_that_is_busy_is_refused(wire):
    with SerialPortSource(SerialConfig(port=wire.port)) as source:
        source.open()
        with pytest.raises(SourceError, match="cannot be opened"):
            SerialPortSource(SerialConfig(port=wire.port)).open()


def test_a_scale_that_cannot_be_meant_is_refused():
    with pytest.raises(ConfigError, match="gains"):
        SerialPortSource(SerialConfig(port="x", format="ascii", gain=0.0))


def test_a_port_that_vanishes_ends_in_one_error(wire):
    with SerialPortSource(SerialConfig(port=wire.port)) as source:
        source.open()
        wire.send(frames([100])[0])
        blocks = source.blocks()
        assert next(blocks).end_sample == 100
        wire.unplug()
        with pytest.raises(SourceError, match="vanished"):
            next(blocks)


def test_stop_ends_a_silent_source_and_silence_is_counted(wire):
    with SerialPortSource(SerialConfig(port=wire.port, silent_after_s=0.05)) as source:
        blocks = []
        reader = threading.Thread(target=lambda: blocks.extend(source.blocks()))
        reader.start()
        wait_until(lambda: source.counters.get("silences", 0) == 1, what="a counted silence")
        source.stop()
        reader.join(10)
        assert not reader.is_alive()
        assert blocks == []


def test_lines_after_a_port_was_opened_again_are_new_samples(wire):
    """Lines carry no number: after a loose cable the first of them were taken for those that had come before."""
    config = SerialConfig(port=wire.port, format="ascii")
    epochs = []
    for _ in range(2):
        with SerialPortSource(config) as source:
            source.open()
            wire.send(b"\n500\n501\n")
            epochs.append(next(source.blocks()).epoch)
    assert epochs[0] != epochs[1]
