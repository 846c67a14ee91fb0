"""A program in the background, and what it has printed."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PATIENCE_S = 20.0


class Background:
    """Runs until `stop`.

    Parameters
    ----------
    name : for people
    command, folder, environment : of the program
    output : file for what it prints
    """

    def __init__(
        self, name: str, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str], output: Path
    ) -> None:
        self._name = name
        self._output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # so that `stop` reaches what it starts
            )
        self.pid = self._process.pid

    def printed(self) -> str:
        """Return what it has printed so far."""
        return self._output.read_text(errors="replace")

    def wait_for_text(self, text: str) -> None:
        """Wait until it has printed the words of a text in this order on one line; fail with its output if not."""
        pattern = re.compile(".*".join(map(re.escape, text.split())))
        self.wait_for(lambda: pattern.search(self.printed()) is not None, repr(text))

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds; fail with its output if it does not, or if it ends before."""
        until_s = time.monotonic() + PATIENCE_S
        while not condition():
            state = "ended" if self._process.poll() is not None else "still runs"
            waiting = state == "still runs" and time.monotonic() < until_s
            assert waiting, f"{self._name} {state}, without {what}:\n{self.printed()}"
            time.sleep(0.05)

    def stop(self) -> None:
        """End it and all that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.pid, number)
                self._process.wait(10)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue
