"""A simulated GPU, with an engine cache of its own."""

import pytest
from fake_gpu import GpuState


@pytest.fixture
def engines(tmp_path, monkeypatch):
    """Folder for the engines of this test."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    return tmp_path / "engines"


@pytest.fixture
def gpu(engines, monkeypatch):
    """Replace tensorrt and pycuda by stand-ins, and check at the end that everything on the GPU was freed."""
    with GpuState().installed(monkeypatch) as state:
        yield state
    assert state.clean
