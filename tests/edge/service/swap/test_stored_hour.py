"""The stored hour: blocks come back as they were put, gaps included; it is bounded; damaged files are read safely."""

import numpy as np
import pytest

from edge.core.samples import Block, Cause
from edge.service.swap.stored_hour import STREAMS, StoredHour, stored_blocks


def block(stream, second, *, rate=250.0, seconds=1):
    size = round(rate * seconds)
    samples = np.random.default_rng(second).normal(0, 1, (2, size)).astype(np.float32)
    missing = np.zeros(samples.shape, np.uint8)
    missing[1, :10] = Cause.LEAD_OFF
    return Block(stream, rate, ("II", "V1"), round(second * rate), samples, missing, float(second), epoch="e")


def put(folder, blocks):
    hour = StoredHour(folder)
    for each in blocks:
        hour.put(each)
    hour.close()
    return hour


def test_blocks_come_back_with_their_gaps(tmp_path):
    blocks = [block("a", second) for second in (0, 1, 5, 6)]  # 2 to 4 never came
    put(tmp_path, blocks)
    put(tmp_path, [block("a", 20)])  # another run
    stored = list(stored_blocks(tmp_path))
    assert [each.first_sample for each in stored] == [0, 250, 1250, 1500, 5000]
    for before, after in zip(blocks, stored, strict=False):
        np.testing.assert_allclose(after.samples, before.samples, atol=6e-4)
        np.testing.assert_array_equal(after.missing, before.missing)
        assert (after.stream, after.leads, after.epoch) == ("a", ("II", "V1"), "e")


def test_it_keeps_one_hour_of_a_bounded_number_of_streams(tmp_path):
    put(tmp_path, [block("long", 60 * minute, seconds=60, rate=25.0) for minute in range(200)])
    seconds = sum(each.samples.shape[1] / 25 for each in stored_blocks(tmp_path))
    assert 3600 <= seconds <= 3900
    put(tmp_path, [block(f"s{number}", 0) for number in range(STREAMS + 3)])
    names = sorted({each.stream for each in stored_blocks(tmp_path)})
    assert names == sorted(f"s{number}" for number in range(STREAMS))


@pytest.mark.parametrize("damage", [lambda raw: raw[:-7], lambda raw: raw[:900] + b"\xff" * 40 + raw[940:]])
def test_an_incomplete_or_damaged_record_ends_only_its_file(tmp_path, damage):
    put(tmp_path, [block("a", 0), block("a", 1)])
    put(tmp_path, [block("a", 2)])
    first = tmp_path / "a" / "000000000000"
    first.write_bytes(damage(first.read_bytes()))
    found = [each.first_sample for each in stored_blocks(tmp_path)]
    assert found[-1] == 500
    assert found in ([0, 500], [500])


def test_blocks_lost_to_a_failing_disk_are_counted(tmp_path):
    (tmp_path / "a").write_bytes(b"in the way")
    assert put(tmp_path, [block("a", 0)]).lost == 1
    assert list(stored_blocks(tmp_path / "nowhere")) == []
