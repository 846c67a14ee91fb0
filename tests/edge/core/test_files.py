"""Atomic file writing: the old content or the new one, and no scratch file left behind."""

import pytest

from edge.core.files import atomic_path, write_atomic


@pytest.fixture
def path(tmp_path):
    """Give a file that has content."""
    path = tmp_path / "state.json"
    path.write_bytes(b"old")
    return path


def test_the_new_content_replaces_the_old(path):
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_writer_that_fails_leaves_the_old_content(path):
    def write_half():
        with atomic_path(path) as scratch:
            scratch.write_bytes(b"ne")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  any error will do
        write_half()
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_two_writers_at_once_do_not_mix(path):
    with atomic_path(path) as first, atomic_path(path) as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert path.read_bytes() == b"first"
    assert list(path.parent.iterdir()) == [path]
