"""The hook of MkDocs: fills in what the program itself knows, and takes in the pages that live outside `docs/`.

A page asks for a table by a comment, `<!-- generated: NAME ARGUMENT -->`; the names are in `GENERATORS`. Nothing that
is generated is committed, so it cannot go stale. Everything is made from the checkout: no request leaves the machine.
"""

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import commands
import facts
import structs
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
GENERATORS: dict[str, Callable[[str], str]] = {
    "commands": commands.pages,
    "configuration": structs.configuration,
    "payload": structs.payload,
    "manifest": structs.manifest,
    "leads": facts.leads,
    "alarms": facts.alarms,
    "rules": facts.rules,
    "outputs": facts.outputs,
    "metrics": facts.metrics,
    "serial-formats": facts.serial_formats,
}
BORROWED = {  # page of the site -> file of the checkout
    "index.md": "README.md",
    "architecture.md": "ARCHITECTURE.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "model-card.md": "edge/bundles/rhythm/MODEL_CARD.md",
}
_COMMENT = re.compile(r"<!-- generated: ([a-z-]+) ?(\S*) -->")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside `docs/`, and the JSON Schemas for editors and subscribers."""
    pages = {source: page for page, source in BORROWED.items()}
    for page, source in BORROWED.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_relink(text, source, pages)))
    for name, text in structs.schema_files().items():
        files.append(File.generated(config, f"reference/schemas/{name}", content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:  # noqa: ANN401  MkDocs passes page, config and files
    """Put the generated parts into a page."""
    return _COMMENT.sub(lambda asked: GENERATORS[asked[1]](asked[2]), markdown)


def _relink(text: str, source: str, pages: dict[str, str]) -> str:
    """Turn the links of a file of the checkout into links of the site, or into text where the site lacks the file."""

    def link(found: re.Match[str]) -> str:
        picture, words, target, anchor = found[1], found[2], found[3], found[4] or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path in pages:
            return f"{picture}[{words}]({pages[path]}{anchor})"
        if path.startswith("docs/"):
            return f"{picture}[{words}]({path.removeprefix('docs/')}{anchor})"
        return words if words.strip("`") == path else f"{words} (`{path}`)"

    return _LINK.sub(link, text)
