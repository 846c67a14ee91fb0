"""Torch on one thread: the toys of these tests are too small for more, and a busy machine makes many slow."""

import sys

import pytest
import torch

from training.__main__ import main


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def ecg_train(monkeypatch, capsys):
    """Return a function that runs a command line here, and gives its exit code and what it wrote."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["ecg-train", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, *capsys.readouterr()

    return command
