"""A GPU that is not there, with an engine cache of its own."""

import pytest
from fake_gpu import State


@pytest.fixture
def engines(tmp_path, monkeypatch):
    """Folder in which the engines of this test are kept."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    return tmp_path / "engines"


@pytest.fixture
def gpu(engines, monkeypatch):
    """Stand-ins of tensorrt and pycuda in place of the real ones; everything taken of the GPU is given back."""
    with State().installed(monkeypatch) as state:
        yield state
    assert state.clean
