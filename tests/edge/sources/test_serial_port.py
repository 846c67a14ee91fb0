"""The serial source on a real pty; the test writes the device's bytes into the other end."""

import os
import threading
import tty

import numpy as np
import pytest
from adc_blocks import SPEC, causes, counted_blocks
from waiting import wait_until

from edge.core.errors import ConfigError, SourceError
from edge.core.samples import Cause
from edge.sources.config import SerialConfig
from edge.sources.formats.adc import mv_from_adc
from edge.sources.formats.frame import FrameWriter
from edge.sources.serial_port import SerialPortSource, port_path, stable_name


class Wire:
    """A pty: the device writes to one end, the source opens the other."""

    def __init__(self):
        self._device, self._far = os.openpty()
        tty.setraw(self._device)
        tty.setraw(self._far)
        self.port = os.ttyname(self._far)
        self._sender = None

    def send(self, data):
        """Write from another thread, because a pty buffers only a few KiB."""

        def write():
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._device, rest) :]

        self._sender = threading.Thread(target=write, daemon=True)
        self._sender.start()

    def receive(self, count):
        """Return the first bytes that the source sent to the device."""
        data = b""
        while len(data) < count:
            data += os.read(self._device, count - len(data))
        return data

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
    config = SerialConfig(port=wire.port, format="ascii", leads=("II",), sample_rate_hz=100.0, gain=100.0)
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


def test_a_missing_port_is_an_error_with_advice():
    with pytest.raises(SourceError, match="list_ports") as caught:
        SerialPortSource(SerialConfig(port="/dev/ttyNONE")).open()
    assert "\n" not in str(caught.value)


def test_a_busy_port_is_refused(wire):
    with SerialPortSource(SerialConfig(port=wire.port)) as source:
        source.open()
        with pytest.raises(SourceError, match="cannot be opened"):
            SerialPortSource(SerialConfig(port=wire.port)).open()


def test_a_scale_out_of_range_is_refused():
    with pytest.raises(ConfigError, match="gains"):
        SerialPortSource(SerialConfig(port="x", format="ascii", gain=0.0))


class Reader(threading.Thread):
    """Takes a source's blocks in its own thread."""

    def __init__(self, source):
        super().__init__(daemon=True)
        self.source = source
        self.blocks = []
        self.start()

    def run(self):
        for block in self.source.blocks():
            self.blocks.append(block)

    def has(self, cause, sample=0):
        """Whether an instant from `sample` on has this cause."""
        return any(b.end_sample > sample and (b.missing == cause).any() for b in tuple(self.blocks))

    def end(self):
        self.source.stop()
        self.join(10)
        assert not self.is_alive()
        return self.blocks


def plug(folder, port):
    """Give a port a stable name, as those below /dev/serial/by-id are."""
    name = folder / "usb-ECG-if00"
    name.unlink(missing_ok=True)
    name.symlink_to(port)
    return str(name)


def test_a_port_that_is_unplugged_and_plugged_in_again(tmp_path, caplog):
    """The stream stays open. The gap is silent until the sequence shows what was lost; each instant counts once."""
    before, unsent, after = counted_blocks([250, 2500, 250])[:3]
    writer = FrameWriter(SPEC, session=3)
    first, second = Wire(), Wire()
    config = SerialConfig(port=plug(tmp_path, first.port), silent_after_s=0.1)
    with SerialPortSource(config) as source:
        reader = Reader(source)
        wait_until(lambda: source._port is not None, what="the port to be open")
        first.send(writer.encode(before))
        wait_until(lambda: reader.has(Cause.PRESENT, 249), what="the samples before")
        first.unplug()
        wait_until(lambda: reader.has(Cause.SILENT), what="silence")
        plug(tmp_path, second.port)
        wait_until(lambda: source._port is not None, what="the port to be open again")
        writer.encode(unsent)
        second.send(writer.encode(after))
        wait_until(lambda: reader.has(Cause.PRESENT, 2999), what="the samples after")
        blocks = reader.end()
    second.unplug()
    assert {block.epoch for block in blocks if block.end_sample} - {"unheard"} == {"3"}
    kinds = causes([b for b in blocks if b.epoch == "3"], 3000)
    silent = kinds.count(Cause.SILENT)
    assert kinds == [0] * 250 + [Cause.SILENT] * silent + [Cause.SEQUENCE_GAP] * (2500 - silent) + [0] * 250
    assert silent > 0
    assert source.counters["disconnects"] == 1
    assert source.true_rates_hz == {}, "not enough data yet"
    assert any("vanished" in record.message and "trying again" in record.message for record in caplog.records)


def test_a_port_that_never_existed_is_silent(tmp_path):
    """A configured stream exists without its port, so that it can raise an alarm."""
    config = SerialConfig(port=str(tmp_path / "none"), stream="bed", leads=("II",), silent_after_s=0.1)
    with SerialPortSource(config) as source:
        reader = Reader(source)
        wait_until(lambda: reader.has(Cause.SILENT), what="silence")
        blocks = reader.end()
    assert {(b.stream, b.leads, b.epoch) for b in blocks} == {("bed", ("II",), "unheard")}


def test_the_wait_grows_with_each_failure_of_the_port(wire):
    source = SerialPortSource(SerialConfig(port="/dev/ttyNONE"))
    waits = [source._wait_longer(0.0) for _ in range(12)]
    assert all(0.1 * 2**k <= waits[k] <= 0.2 * 2**k for k in range(8))
    assert all(15 <= wait_s <= 30 for wait_s in waits[8:])


def test_a_name_below_by_id_needs_no_path(tmp_path, monkeypatch, wire):
    monkeypatch.setattr("edge.sources.serial_port.BY_ID", tmp_path)
    name = plug(tmp_path, wire.port)
    assert port_path("usb-ECG-if00") == name
    assert port_path(wire.port) == wire.port
    assert stable_name(wire.port) == name
    assert stable_name(name) is None
    assert stable_name("/dev/null") is None
    monkeypatch.setattr("edge.sources.serial_port.BY_ID", tmp_path / "none")
    assert stable_name(wire.port) is None


def test_a_cyton_gets_its_start_command_again_while_silent(wire):
    """The board sends after a `b`; a board that was switched on later needs another one."""
    config = SerialConfig(port=wire.port, format="cyton", leads=("II", "-", "V1"), silent_after_s=0.1)
    with SerialPortSource(config) as source:
        reader = Reader(source)
        assert wire.receive(3) == b"bbb"
        packets = (bytes([0xA0, k]) + (1000).to_bytes(3, "big") * 8 + bytes(6) + b"\xc0" for k in range(3))
        wire.send(b"".join(packets))
        wait_until(lambda: reader.has(Cause.PRESENT), what="samples")
        blocks = [block for block in reader.end() if not block.epoch]
    assert blocks[0].leads == ("II", "V1")
    assert blocks[0].samples[0, 0] == pytest.approx(1000 * 4500 / 24 / (2**23 - 1))


@pytest.mark.parametrize("form", ["ads1292r", "healthypi"])
def test_protocentral_boards(wire, form):
    config = SerialConfig(port=wire.port, format=form, leads=("II",), gain=100.0)
    packet = b"\x0a\xfa\x14\x00\x02" + (-50).to_bytes(2, "little", signed=True) + bytes(18) + b"\x00\x0b"
    with SerialPortSource(config) as source:
        source.open()
        wire.send(packet * 3)
        block = next(source.blocks())
    assert (block.leads, block.sample_rate_hz) == (("II",), 125.0)
    assert block.samples[0].tolist() == [-0.5] * block.samples.shape[1]


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"format": "cyton", "leads": ("I",) * 9}, "8 channels"),
        ({"format": "ads1292r", "leads": ("I", "II")}, "one lead"),
        ({"format": "healthypi", "sample_rate_hz": 0.0}, "sample rate"),
    ],
)
def test_settings_out_of_range_are_refused(settings, word):
    with pytest.raises(ConfigError, match=word):
        SerialPortSource(SerialConfig(port="x", **settings))


def test_stop_ends_a_silent_source_and_silence_is_counted(wire):
    with SerialPortSource(SerialConfig(port=wire.port, silent_after_s=0.05)) as source:
        reader = Reader(source)
        wait_until(lambda: source.counters.get("silences", 0) == 1, what="a counted silence")
        blocks = reader.end()
        assert all((block.missing == Cause.SILENT).all() for block in blocks)


def test_lines_after_a_port_was_opened_again_are_new_samples(wire):
    """Lines carry no number. After a loose cable, the first new lines used to be taken for old ones."""
    config = SerialConfig(port=wire.port, format="ascii")
    epochs = []
    for _ in range(2):
        with SerialPortSource(config) as source:
            source.open()
            wire.send(b"\n500\n501\n")
            epochs.append(next(source.blocks()).epoch)
    assert epochs[0] != epochs[1]
