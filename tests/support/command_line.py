"""Runs a command line inside the test's process, which saves the second that a new process takes to import it.

It is the same code as in a process of its own, from the arguments to the exit code. Tests of signals, kills and what is
imported start real processes.
"""

import io
import logging
import sys
from collections.abc import Callable
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest import mock

import edge.__main__
import training.__main__


@dataclass(frozen=True)
class Finished:
    """A command line that has ended, with the fields of `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str


def ecg_edge(*arguments: object) -> Finished:
    """Run `ecg-edge`."""
    return _run("ecg-edge", edge.__main__.main, arguments)


def ecg_train(*arguments: object) -> Finished:
    """Run `ecg-train`."""
    return _run("ecg-train", training.__main__.main, arguments)


def _run(name: str, main: Callable[[], None], arguments: tuple[object, ...]) -> Finished:
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with (
        mock.patch.object(sys, "argv", [name, *map(str, arguments)]),
        mock.patch("faulthandler.enable"),  # pytest has enabled it already, for a file of its own
        redirect_stdout(out),
        redirect_stderr(err),
        _logging_to(err),
    ):
        try:
            main()
        except SystemExit as exc:
            code = exc.code or 0
    return Finished(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))


@contextmanager
def _logging_to(stream):
    """Log as the command line does, whose own `basicConfig` does nothing where pytest has installed its handlers."""
    root, edge_logger = logging.getLogger(), logging.getLogger("edge")
    levels = root.level, edge_logger.level
    handler = logging.StreamHandler(stream)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(levels[0])
        edge_logger.setLevel(levels[1])
