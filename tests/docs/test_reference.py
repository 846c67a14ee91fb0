"""What the documentation says by hand about names in the program: each name exists, and none is left out."""

import ast
import difflib
import importlib
import re
import sys

import msgspec
import pytest
from doc_blocks import ROOT, pages
from doc_commands import command_lines, usage_problem

from edge.core.leads import LEADS
from edge.core.samples import Cause
from edge.lab.results_page import write_section
from edge.mqtt import topics
from edge.publish.schemas import PAYLOADS
from edge.signal.quality import QualityIssue
from edge.sources.formats.mqtt_payload import SamplesPayload
from edge.sources.synthesis.rhythms import RHYTHMS
from training.data.sets.snomed import _CODES

DOCS = ROOT / "docs"
MOST_LINES = {"README.md": 130, "ARCHITECTURE.md": 120}


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


def first_column(text):
    """Return the code in the first cell of each row of the tables in a text."""
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)


def section(text, heading):
    return re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)[1]


@pytest.fixture(scope="module")
def generators():
    """Return the hook's module with the command lines."""
    sys.path.insert(0, str(DOCS / "generate"))
    try:
        yield importlib.import_module("commands")
    finally:
        sys.path.remove(str(DOCS / "generate"))


@pytest.mark.parametrize(("name", "most"), MOST_LINES.items())
def test_a_page_stays_short(name, most):
    assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= most


def test_every_topic_is_in_the_table():
    written = set(first_column(page("reference/topics.md")))
    made = {
        topics.status_topic("D"),
        topics.health_topic("D"),
        topics.events_topic("D"),
        topics.alerts_topic("D", "S"),
        topics.alarm_topic("D", "S", "L"),
        topics.stream_alarms_topic("D", "S"),
        topics.predictions_topic("D", "S"),
        topics.commands_topic("D", "S"),
    }
    names = {"D": "<device>", "S": "<stream>", "L": "<LABEL>"}
    made = {"/".join(names.get(level, level) for level in topic.split("/")) for topic in made}
    assert made == {topic for topic in written if topic.startswith("ecg-nat/")}


def test_every_payload_has_a_section():
    headings = re.findall(r"^## (\w+)$", page("reference/payloads.md"), re.MULTILINE)
    asked = re.findall(r"<!-- generated: payload (\w+) -->", page("reference/payloads.md"))
    assert sorted(headings) == sorted(asked) == sorted(kind.__name__ for kind in PAYLOADS)


def test_every_field_of_the_samples_is_in_the_table():
    fields = [field.encode_name for field in msgspec.structs.fields(SamplesPayload)]
    assert sorted(first_column(page("reference/mqtt-samples.md"))) == sorted(fields)


def test_every_cause_is_in_the_table():
    written = first_column(section(page("reference/metrics.md"), "Causes"))
    assert written == [cause.key for cause in Cause if cause is not Cause.PRESENT]


def test_every_issue_of_the_quality_is_in_the_table():
    rows = re.findall(r"^\| (\w+) \|", section(page("explanation/quality.md"), "What is judged"), re.MULTILINE)
    assert rows[1:] == [issue.name.lower() for issue in QualityIssue if issue is not QualityIssue.NONE]


def test_every_rhythm_of_the_synthetic_patient_is_named():
    text = page("tutorials/first-ecg.md")
    assert not [name for name in RHYTHMS if f"`{name}`" not in text]


def test_every_diagnosis_code_is_in_the_table():
    rows = re.findall(r"^\| (`.*?`) \| ([\d, ]+) \|$", page("how-to/own-labels.md"), re.MULTILINE)
    written = {}
    for names, codes in rows:
        known = re.findall(r"`([^`]+)`", names)
        numbers = codes.split(", ")
        each = [{number} for number in numbers] if len(known) > 1 else [set(numbers)]
        written |= dict(zip(known, each, strict=True))
    assert written == _CODES


def test_the_leads_of_the_bundle_page_are_in_order():
    assert LEADS[:6] == ("I", "II", "III", "aVR", "aVL", "aVF")
    assert "I, II, III, aVR, aVL, aVF, V1 to V6" in page("reference/bundle.md")


def test_every_metric_that_a_page_names_exists():
    sys.path.insert(0, str(DOCS / "generate"))
    try:
        known = importlib.import_module("facts").metrics("")
    finally:
        sys.path.remove(str(DOCS / "generate"))
    named = set()
    for path in DOCS.rglob("*.md"):
        named |= set(re.findall(r"\becg_nat_\w+", path.read_text(encoding="utf-8")))
    assert len(named) > 8
    assert not [name for name in named if name not in known]


def test_every_example_of_every_help_is_valid(generators):
    for program, group in generators.GROUPS.items():
        for name, command in generators.members(group):
            lines = command_lines(generators.examples(command))
            assert lines, f"{program} {name}: no example"
            for words in lines:
                problem = usage_problem(words)
                assert not problem, f"{' '.join(words)}: {problem}"


@pytest.mark.parametrize("path", sorted((DOCS / "results").glob("*.md")), ids=lambda path: path.stem)
def test_a_section_of_a_results_page_is_replaced_where_it_stands(path, tmp_path):
    text = path.read_text(encoding="utf-8")
    names = re.findall(r"^<!-- end of (.+) -->$", text, re.MULTILINE)
    assert names or path.stem in {"load", "retired"}
    copy = tmp_path / path.name
    copy.write_text(text, encoding="utf-8")
    for name in names:
        write_section(copy, "", name, "new\n")
    new = copy.read_text(encoding="utf-8")
    assert re.findall(r"^<!-- end of (.+) -->$", new, re.MULTILINE) == names
    assert new.count("new\n") == len(names)


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_of_the_checkout_that_a_page_names_exists(path):
    if path.parent.name == "results" or path.name == "CHANGELOG.md":
        return  # commands and modules as they were when the figures were made
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"`((?:edge|ecgnat|training|calibration|deploy|scripts|tests|docs)/[\w./-]*\w/?)`", text)
    assert not [name for name in named if not (ROOT / name).exists()]


def messages():
    """Return every text in the source of the device, with `…` for what is put in."""
    for path in (ROOT / "edge").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                yield "".join(map(str, parts)).replace("'…'", "…")
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.sub(r"%(\.\d)?[sdgr]", "…", node.value)


def test_every_heading_of_the_troubleshooting_is_a_message():
    headings = re.findall(r"^### (.+)$", page("how-to/troubleshooting.md"), re.MULTILINE)
    others = {
        "No message, but no ECG either",
        "Object contains unknown field `…`; did you mean `…`?",  # msgspec's; a block of the page shows it
    }
    known = list(messages())
    unknown = []
    for heading in set(headings) - others:
        wanted = heading.rstrip("?").strip("… ")
        if not any(wanted in text for text in known):
            unknown.append(f"{heading}\n  nearest: {difflib.get_close_matches(wanted, known, n=1, cutoff=0.0)[0]}")
    assert not unknown, "no message of the program says this any more:\n" + "\n".join(unknown)
