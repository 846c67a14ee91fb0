"""Torch on one thread: the networks of these tests are too small for more."""

import sys

import pytest
import torch

from training.__main__ import main
from training.loop import pictures


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)  # before each test, as a command line that a test ran may have set another number


@pytest.fixture(autouse=True)
def _pictures_are_not_drawn(request, monkeypatch):
    """Write a PNG's first bytes in place of each training picture: drawing them takes longer than the toys' training.

    Tests with the mark `draws` draw them.
    """
    if request.node.get_closest_marker("draws") is None:
        monkeypatch.setattr(pictures, "save_figure", lambda _figure, path: path.write_bytes(b"\x89PNG"))


@pytest.fixture
def ecg_train(monkeypatch, capsys):
    """Return a function that runs a command line in this process, and returns its exit code and output."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["ecg-train", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, *capsys.readouterr()

    return command
