"""The site is built without a warning, holds every page, and asks nobody but itself for anything."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from doc_blocks import ROOT

RELATIONS = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "modulepreload", "manifest"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [Path(sys.executable).with_name("mkdocs"), "build", "--strict", "--quiet", "--site-dir", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def loaded(text):
    """Return the addresses that a browser loads with a page."""
    tags = re.findall(r"<(?:script|img|iframe|source|video|audio)\b[^>]*?\bsrc=\"?([^\">\s]+)", text)
    links = re.findall(r"<link\b[^>]*>", text)
    relations = [set(re.findall(r"[\w-]+", re.search(r"rel=\"?([^\">]+)", link)[1])) for link in links]
    hrefs = [re.search(r"href=\"?([^\">\s]+)", link)[1] for link in links]
    return tags + [href for href, relation in zip(hrefs, relations, strict=True) if relation & RELATIONS]


def test_no_page_loads_anything_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert loaded(text), page
        assert not [url for url in loaded(text) if re.match(r"(https?:)?//", url)], page
        assert 'class="mermaid"' not in text, f"{page}: the theme would load mermaid from a CDN"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_what_is_generated_is_there(site):
    commands = (site / "reference/ecg-edge/index.html").read_text(encoding="utf-8")
    assert 'id="ecg-edge-run"' in commands
    alarms = (site / "reference/alarms/index.html").read_text(encoding="utf-8")
    assert "ASYSTOLE" in alarms
    assert "SCP_NDT" in alarms
    assert "ecg_nat_samples_missing" in (site / "reference/metrics/index.html").read_text(encoding="utf-8")
    assert (site / "reference/schemas/ecg-edge.json").is_file()
    assert not list(site.rglob("*.py"))
    for page in site.rglob("*.html"):
        assert "<!-- generated:" not in page.read_text(encoding="utf-8"), page


def test_pictures_are_small():
    for path in (ROOT / "docs").rglob("*.png"):
        assert path.stat().st_size < 400_000, path
    assert (ROOT / "docs/pictures/strip.png").stat().st_size < 150_000
