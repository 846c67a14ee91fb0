"""The container file, as far as it can be checked without an engine."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy" / "Containerfile").read_text()


def test_every_file_that_is_copied_is_there():
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", TEXT, re.MULTILINE)
    paths = [path for line in copied for path in line.split()]
    assert {"edge", "pyproject.toml", "deploy/ecg-edge.example.toml"} <= set(paths)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_last_stage_is_small_and_not_root():
    last = TEXT[TEXT.rindex("\nFROM ") :]
    assert "-slim" in last.splitlines()[1]
    assert re.search(r"^USER (?!root)", last, re.MULTILINE)
    assert not re.search(r"apt-get|pip install|build-essential", last)
    assert "HEALTHCHECK" in last
