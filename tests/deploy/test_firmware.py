"""The firmware's encoder against the one that the project defines the frame by, compiled and run for real."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.core.samples import Cause
from edge.sources.formats.adc import AdcBlock, AdcSpec
from edge.sources.formats.frame import FrameWriter
from edge.sources.formats.frame_decoder import FrameDecoder

ROOT = Path(__file__).parents[2]
FIRMWARE = ROOT / "deploy" / "firmware"
SKETCH = FIRMWARE / "ecg_frame"
STRICT = ["-Wall", "-Wextra", "-Wconversion", "-Werror", "-pedantic", "-O2"]
BAUD_RATES = (9600, 19200, 38400, 57600, 115_200, 230_400, 460_800, 921_600)
NAMES = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

EXPORTS = """
#include "ecg_frame.h"
size_t header(uint8_t *out, size_t room, const ecg_stream *s, uint32_t sequence) {
    return ecg_header_frame(out, room, s, sequence);
}
size_t data(uint8_t *out, size_t room, const ecg_stream *s, uint32_t sequence, uint64_t us, uint16_t off,
            const int32_t *samples, size_t instants) {
    return ecg_data_frame(out, room, s, sequence, us, off, samples, instants);
}
size_t end(uint8_t *out, size_t room, const ecg_stream *s, uint32_t sequence, uint64_t us) {
    return ecg_end_frame(out, room, s, sequence, us);
}
"""

ARDUINO = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
enum { HIGH = 1, LOW = 0, INPUT = 0, A0 = 14 };
static uint64_t now_us = 4294000000u, began_us = 0; /* micros() is about to wrap */
static uint32_t micros() { return (uint32_t)now_us; }
static int analogRead(int) { return (int)((now_us - began_us) * 250 / 1000000) & 1023; }
static int digitalRead(int pin) { return pin == 11 && now_us - began_us > 8000000 ? HIGH : LOW; }
static void pinMode(int, int) {}
struct Port {
    void begin(long) {}
    void write(const uint8_t *data, size_t length) { fwrite(data, 1, length, stdout); }
};
static Port Serial;
"""

MAIN = """
int main() {
    setup();
    began_us = now_us;
    for (int turn = 0; turn < 10000; turn++) {
        loop();
        now_us += turn == 3000 ? 1000000 : 997;
    }
}
"""


class Lead(ctypes.Structure):
    """The header's ecg_lead."""

    _fields_ = (("name", ctypes.c_char_p), ("gain", ctypes.c_double), ("baseline", ctypes.c_int32))


class Stream(ctypes.Structure):
    """The header's ecg_stream."""

    _fields_ = (
        ("leads", ctypes.POINTER(Lead)),
        ("lead_count", ctypes.c_uint8),
        ("width", ctypes.c_uint8),
        ("rate_hz", ctypes.c_double),
        ("session", ctypes.c_uint16),
    )


def compiler(name):
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: install a C and C++ compiler")
    return found


@pytest.fixture(scope="session", params=[[], ["-DECG_NARROW_DOUBLE"]], ids=["double of 64 bits", "of 32 bits"])
def encoder(request, tmp_path_factory):
    """Return the compiled encoder, once as it is and once as on a machine whose double has 32 bits."""
    folder = tmp_path_factory.mktemp("firmware")
    (folder / "exports.c").write_text(EXPORTS)
    library = folder / "ecg_frame.so"
    arguments = ["-std=c99", *STRICT, *request.param, "-shared", "-fPIC", f"-I{SKETCH}", "exports.c", "-o", library]
    subprocess.run([compiler("cc"), *arguments], cwd=folder, check=True, timeout=60)
    loaded = ctypes.CDLL(str(library))
    for function in (loaded.header, loaded.data, loaded.end):
        function.restype = ctypes.c_size_t
    return loaded


def frames(encoder, spec, session, block, lead_off=0):
    """Return HEADER, DATA and END as the firmware encodes them."""
    leads = (Lead * len(spec.leads))(
        *(
            Lead(name.encode(), gain, base)
            for name, gain, base in zip(spec.leads, spec.gain, spec.baseline, strict=True)
        )
    )
    stream = ctypes.byref(Stream(leads, len(leads), spec.width, spec.sample_rate_hz, session))
    out = (ctypes.c_uint8 * 5000)()
    samples = np.ascontiguousarray(block.adc.T)
    sizes = [encoder.header(out, ctypes.c_size_t(5000), stream, ctypes.c_uint32(block.first_sample))]
    written = bytes(out[: sizes[-1]])
    first, us = ctypes.c_uint32(block.first_sample), ctypes.c_uint64(block.device_us)
    pointer = samples.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
    off, instants = ctypes.c_uint16(lead_off), ctypes.c_size_t(block.adc.shape[1])
    sizes.append(encoder.data(out, ctypes.c_size_t(5000), stream, first, us, off, pointer, instants))
    written += bytes(out[: sizes[-1]])
    end = block.part(block.adc.shape[1], block.adc.shape[1], spec)
    last, us = ctypes.c_uint32(end.first_sample % 2**32), ctypes.c_uint64(end.device_us)
    sizes.append(encoder.end(out, ctypes.c_size_t(5000), stream, last, us))
    assert all(sizes)
    return written + bytes(out[: sizes[-1]])


@settings(deadline=None)
@given(st.data())
def test_the_firmware_and_the_project_agree_byte_for_byte(encoder, data):
    names = NAMES[: data.draw(st.integers(1, 12), "leads")]
    width = data.draw(st.sampled_from([2, 3, 4]), "width")
    narrow = st.floats(1, 1e6, width=32)
    spec = AdcSpec(
        names,
        data.draw(st.floats(10, 20_000, width=32), "rate"),
        tuple(data.draw(narrow | narrow.map(lambda gain: -gain)) for _ in names),
        tuple(data.draw(st.integers(-(1 << 31), (1 << 31) - 1)) for _ in names),
        width,
    )
    count = data.draw(st.integers(1, 1000 // spec.instant_bytes), "instants")
    top = (1 << (8 * width - 1)) - 1
    kind = data.draw(st.sampled_from(["any", "zero", "no zero"]), "bytes")
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    adc = random.integers(-top, top, (len(names), count), np.int32, endpoint=True)
    adc = {"any": adc, "zero": adc * 0, "no zero": adc * 0 - 1}[kind]
    first, us = data.draw(st.integers(0, 2**32 - 1), "first"), data.draw(st.integers(0, 2**63), "us")
    session = data.draw(st.integers(0, 65535), "session")
    lead_off = data.draw(st.integers(0, 2 ** len(names) - 1), "off")
    missing = np.array([[Cause.LEAD_OFF * (lead_off >> k & 1)] for k in range(len(names))], np.uint8)
    block = AdcBlock(first, adc, np.repeat(missing, count, axis=1), us, last=True)
    code = -(1 << (8 * width - 1))
    adc_sent = np.where(block.missing == Cause.PRESENT, adc, code).astype(np.int32)
    ours = FrameWriter(spec, session).encode(block)
    sent = AdcBlock(first, adc_sent, block.missing, us)
    assert frames(encoder, spec, session, sent, lead_off) == ours


def test_a_frame_that_does_not_fit_is_none(encoder):
    leads = (Lead * 1)(Lead(b"I", 200.0, 0))
    stream = ctypes.byref(Stream(leads, 1, 2, 250.0, 1))
    out = (ctypes.c_uint8 * 5000)(*[7] * 5000)
    samples = (ctypes.c_int32 * 2500)()
    whole = encoder.header(out, ctypes.c_size_t(5000), stream, ctypes.c_uint32(0))
    for room in range(whole):
        out[room] = 7
        assert encoder.header(out, ctypes.c_size_t(room), stream, ctypes.c_uint32(0)) == 0
        assert out[room] == 7, "nothing is written behind the room"
    arguments = (stream, ctypes.c_uint32(0), ctypes.c_uint64(0), ctypes.c_uint16(0), samples)
    assert encoder.data(out, ctypes.c_size_t(5000), *arguments, ctypes.c_size_t(2000)) > 4000
    assert encoder.data(out, ctypes.c_size_t(5000), *arguments, ctypes.c_size_t(2100)) == 0


def test_the_sketch_compiles_and_its_samples_arrive(tmp_path):
    """Ten seconds of the sketch on a clock that wraps, with a stall of a second and an electrode that comes off."""
    (tmp_path / "Arduino.h").write_text(ARDUINO)
    (tmp_path / "main.cpp").write_text(f'#include "Arduino.h"\n#include "{SKETCH / "ecg_frame.ino"}"\n{MAIN}')
    arguments = ["-std=c++11", "-Wall", "-Wextra", "-Werror", f"-I{SKETCH}", "main.cpp", "-o", "sketch"]
    subprocess.run([compiler("c++"), *arguments], cwd=tmp_path, check=True, timeout=60)
    wire = subprocess.run([tmp_path / "sketch"], capture_output=True, check=True, timeout=60).stdout
    decoder = FrameDecoder("bed")
    blocks = decoder.feed(wire)
    assert not decoder.counters
    assert {(block.leads, block.sample_rate_hz) for block in blocks} == {(("I",), 250.0)}
    assert all(block.epoch not in {"", "0"} for block in blocks)
    missing = np.concatenate([block.missing[0] for block in blocks])
    gap = np.flatnonzero(missing == Cause.SEQUENCE_GAP)
    assert 240 <= gap.size <= 252
    assert 740 <= gap[0] <= 760
    index = np.arange(missing.size)
    present = missing == Cause.PRESENT
    samples = np.concatenate([block.samples[0] for block in blocks])
    assert np.allclose(samples[present] * 225 + 512, (index & 1023)[present], atol=1e-3)
    assert 1995 <= np.flatnonzero(missing == Cause.LEAD_OFF)[0] <= 2005
    times = [block.device_time_s - block.first_sample / 250 for block in blocks if not block.missing.any()]
    assert max(times) - min(times) < 0.01, "the device's clock does not wrap"


def table():
    text = (ROOT / "docs/reference/serial.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    assert len(rows) == 14
    return [tuple(map(int, row)) for row in rows]


@pytest.mark.parametrize(("leads", "bits", "rate", "bytes_a_second", "baud"), table())
def test_the_table_of_baud_rates(leads, bits, rate, bytes_a_second, baud):
    spec = AdcSpec(NAMES[:leads], rate, (200.0,) * leads, (0,) * leads, bits // 8)
    writer, instants, total = FrameWriter(spec, frame_bytes=4000), rate // 10, 0
    for frame in range(10):
        adc = np.full((leads, instants), -1, np.int32)
        total += len(writer.encode(AdcBlock(frame * instants, adc, np.zeros(adc.shape, np.uint8), 1)))
    assert total == bytes_a_second
    assert baud == next(each for each in BAUD_RATES if each * 0.8 >= 10 * total)
