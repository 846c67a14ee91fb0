"""Code blocks of Markdown pages, with the marker in the comment above each that says how to test it.

    <!-- test: skip because REASON -->        syntax only
    <!-- test: arguments because REASON -->   ecg-edge, ecg-train and ecg-calibrate do nothing but parse their arguments
    <!-- test: exit 1 -->                     the block must end with this code
    <!-- test: background until "TEXT" -->    runs until the page ends; the next block waits for the text, or, with
                                              `until connected`, for its connection to the broker
    <!-- test: expect "TEXT" -->              what a background block must print before the page ends
    <!-- test: output -->                     a text block: each line occurs in the output of the block before, in this
                                              order; `…` stands for anything

A title (```toml title="ecg.toml") is the file that a block is written to; of JSON it is the topic.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(
    r"^(?:<!-- test: (?P<marker>.*?) -->\n)?(?P<indent> *)```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
_PART = re.compile(
    r"(?P<word>skip|arguments|output|background|expect|exit)"
    r"(?: (?P<code>\d+))?(?: (?:until (?P<until>connected|\"[^\"]+\")|(?P<text>\"[^\"]+\")))?"
)
_NEEDS_REASON = {"skip", "arguments"}


@dataclass(frozen=True)
class Marker:
    """How a block is tested."""

    words: frozenset[str] = frozenset()
    reason: str = ""
    code: int = 0
    until: str = ""
    expect: str = ""


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    language: str
    title: str
    text: str
    marker: Marker = field(default_factory=Marker)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Return every page whose blocks are tested."""
    named = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "training/weights/README.md"]
    found = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")]
    return [*(ROOT / name for name in named), *sorted(found)]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        marker = parse_marker(match["marker"]) if match["marker"] else Marker()
        found.append(Block(page, line, match["language"], match["title"] or "", match["text"], marker))
    return found


def parse_marker(text: str) -> Marker:
    """Read what stands behind `test: `, or raise ValueError."""
    rest, _, reason = text.partition(" because ")
    words, code, until, expect = set(), 0, "", ""
    for part in re.split(r", |(?<=background) (?=expect)", rest):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"marker {text!r}: {part!r} is not known")
        words.add(match["word"])
        code = int(match["code"] or code)
        until = (match["until"] or until).strip('"')
        if match["word"] == "expect":
            expect = match["text"].strip('"')
    if words & _NEEDS_REASON and not reason:
        raise ValueError(f"marker {text!r}: say why, with `because`")
    return Marker(frozenset(words), reason, code, until, expect)
