"""What commands share that write their figures into a `RESULTS.md`: a section each, with how it was made.

Knows nothing of the figures.
"""

import os
import re
import shlex
import sys
from pathlib import Path

from edge.core.machine import processor
from edge.core.output import clock


def write_section(path: Path, title: str, name: str, section: str) -> None:
    """Put a section into a Markdown file, in place of the one of this name; a new file begins with the title."""
    text = path.read_text(encoding="utf-8") if path.is_file() else title
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    old = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    new = f"{begin}\n{section}\n{end}"
    text = old.sub(lambda _: new, text) if old.search(text) else f"{text}\n{new}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def how_made(wall_s: float) -> str:
    """Return this process's command line, the machine and the time taken, as lines of Markdown."""
    command = command_line(sys.argv)
    cores = os.cpu_count() or 1
    return f"    {command}\n\n{processor()}, {cores} cores; wall time {clock(wall_s)}, with whatever else ran there."


def command_line(arguments: list[str]) -> str:
    """Return a command line as one would type it, with the home folder as `~`."""
    program = Path(arguments[0])
    words = ["python", "-m", program.parent.name] if program.name == "__main__.py" else [program.name]
    return shlex.join([*words, *arguments[1:]]).replace(str(Path.home()), "~")
