"""Command lines in a shell text, checked without running them."""

import re
import shlex
import subprocess
from pathlib import Path

import click

from calibration.__main__ import cli as calibrate
from edge.__main__ import cli as edge
from training.__main__ import cli as train

GROUPS: dict[str, click.Group] = {"ecg-edge": edge, "ecg-train": train, "ecg-calibrate": calibrate}


def shell_problem(text: str) -> str:
    """Return what bash has against a text; empty when it is valid."""
    return subprocess.run(["bash", "-n", "-c", text], capture_output=True, text=True).stderr


def command_lines(text: str) -> list[list[str]]:
    """Return the words of each command in a shell text that calls one of our programs."""
    found = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        for part in re.split(r"&&|\|\|?|;", line):
            words = shlex.split(part, comments=True) if part.count("'") % 2 == 0 else part.split()
            words = [Path(word).name if word.startswith("/opt/") else word for word in words]
            while words and words[0] in {"sudo", "env"}:
                words = words[1:]
            if words and words[0] in GROUPS:
                found.append(words[: words.index(">")] if ">" in words else words)
    return found


def usage_problem(words: list[str]) -> str:
    """Return what click has against a command line; empty when it is valid. Files need not exist."""
    group = GROUPS[words[0]]
    command = group.get_command(click.Context(group), words[1])
    if command is None:
        return "no such command"
    try:
        command.make_context(words[1], words[2:])
    except click.ClickException as exc:
        missing = re.search(r"does not exist|no folder", exc.format_message())
        return "" if missing else exc.format_message()
    return ""
