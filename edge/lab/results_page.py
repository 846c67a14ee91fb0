"""Writes sections of a Markdown results page, each with the command and the machine that made it."""

import os
import re
import shlex
import sys
from pathlib import Path

from edge.core.machine import processor
from edge.core.output import clock


def write_section(path: Path, title: str, name: str, section: str) -> None:
    """Write a section of a Markdown file in place of the one with this name; a new file starts with `title`."""
    text = path.read_text(encoding="utf-8") if path.is_file() else title
    # Comments mark the section: invisible on the page, and unlike a heading they stay when the text changes.
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    old = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    new = f"{begin}\n{section}\n{end}"
    # A function, because a replacement text would be searched for backslashes.
    text = old.sub(lambda _: new, text) if old.search(text) else f"{text}\n{new}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def how_made(wall_s: float) -> str:
    """Return this process's command line, the processor and the wall time, as lines of Markdown."""
    command = command_line(sys.argv)
    cores = os.cpu_count() or 1
    machine = f"{processor()}, {cores} cores; wall time {clock(wall_s)}, beside whatever else ran on it."
    return f"    {command}\n\n{machine}"


def command_line(arguments: list[str]) -> str:
    """Return a command line as a person would type it, with the home folder as `~`."""
    program = Path(arguments[0])
    words = ["python", "-m", program.parent.name] if program.name == "__main__.py" else [program.name]
    return shlex.join([*words, *arguments[1:]]).replace(str(Path.home()), "~")
