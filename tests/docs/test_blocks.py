"""Every code block of the README and the documentation is run; `doc_blocks` has the markers of those that are not."""

import json
import os
import re
import shutil
import subprocess
import sys

import msgspec
import pytest
import yaml
from doc_blocks import ROOT, blocks, pages, parse_marker
from doc_commands import command_lines, shell_problem, usage_problem
from doc_sandbox import Sandbox

from edge.publish.schemas import PAYLOADS
from edge.service.config import read_config
from edge.sources.formats.mqtt_payload import decode_payload

OF_TOPIC = {  # payloads by the last level of their topic
    "alerts": "AlertEvent",
    "alarms": "StreamAlarms",
    "commands": "Command",
    "events": "DeviceEvent",
    "predictions": "Prediction",
    "status": "DeviceStatus",
    "health": "DeviceHealth",
}
LANGUAGES = {"sh", "python", "toml", "json", "yaml", "text"}
WITH_BLOCKS = [page for page in pages() if blocks(page)]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page(page, tmp_path):
    if shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin") is None:
        pytest.skip("no mosquitto program; install the package mosquitto")
    found = blocks(page)
    sandbox = Sandbox(tmp_path, "\n".join(block.text for block in found))
    output = ""
    try:
        for block in found:
            output = check(block, sandbox, output)
        for block in found:
            if block.marker.expect:
                sandbox.expect(block)
    finally:
        sandbox.close()


def check(block, sandbox, output):
    """Test one block; return what it printed, or what the block before it did."""
    assert block.language in LANGUAGES, f"{block}: a block needs a language, of {sorted(LANGUAGES)}"
    match block.language:
        case "sh":
            return check_shell(block, sandbox)
        case "python":
            return check_python(block, sandbox)
        case "toml":
            check_toml(block, sandbox)
        case "json":
            check_json(block)
        case "yaml":
            assert yaml.safe_load(block.text), block
        case "text":
            if "output" in block.marker.words:
                check_output(block, output)
    return output


def check_shell(block, sandbox):
    problem = shell_problem(block.text)
    assert not problem, f"{block}: {problem}"
    if "skip" in block.marker.words:
        return ""
    if "arguments" in block.marker.words:
        for words in command_lines(block.text):
            check_arguments(block, words)
    if "background" in block.marker.words:
        sandbox.start(block)
        return ""
    return sandbox.run(block)


def check_arguments(block, words):
    """Let click parse a command line, as the program would, and stop before the command runs."""
    problem = usage_problem(words)
    assert not problem, f"{block}: {' '.join(words)}: {problem}"


def check_python(block, sandbox):
    compile(block.text, str(block), "exec")
    path = sandbox.write(block) if block.title else None
    if "background" in block.marker.words:
        sandbox.start(block)
    elif path is None:
        done = subprocess.run(
            [sys.executable, "-c", block.text],
            cwd=sandbox.work,
            env=sandbox.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{block}:\n{done.stderr}"
        return done.stdout
    return ""


def check_toml(block, sandbox):
    """Let the configuration reader take the block, unless the page shows a wrong one."""
    path = sandbox.write(block) if block.title else None
    if block.title == "wrong.toml":
        return
    text = block.text if "[[source]]" in block.text else block.text + '\n[[source]]\nkind = "synthetic"\n'
    whole = sandbox.work / "whole.toml"
    whole.write_text(text)
    read_config(path if path is not None and "[[source]]" in block.text else whole)


def check_json(block):
    """Decode the block as the payload of the topic in its title."""
    raw = block.text.encode()
    if block.title.startswith("ecg/"):
        payload = decode_payload(json.dumps(json.loads(raw)).encode())
        payload.to_block("bed-7", payload.first_sample or 0)
        return
    level = block.title.rpartition("/")[2]
    assert level in OF_TOPIC, f"{block}: the title of a JSON block is its topic"
    (kind,) = (kind for kind in PAYLOADS if kind.__name__ == OF_TOPIC[level])
    msgspec.json.decode(raw, type=kind)


def check_output(block, output):
    """Fail unless every line of the block occurs in the output, in this order."""
    rest = re.sub(r"\x1b\[[0-9;]*m", "", output)
    for line in block.text.splitlines():
        pattern = ".*?".join(re.escape(part.strip()) for part in re.split("…", line.strip()))
        found = re.search(pattern, rest)
        assert found, f"{block}: {line!r} is not in\n{output}"
        rest = rest[found.end() :]


def test_every_page_is_collected():
    tracked = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    ours = {str(page.relative_to(ROOT)) for page in pages()}
    others = set(tracked.stdout.split()) - ours
    assert others <= {"CHANGELOG.md", "edge/bundles/rhythm/MODEL_CARD.md"}


def test_no_fence_escapes_the_collector():
    for page in pages():
        fences = re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(blocks(page)), page


@pytest.mark.parametrize("text", ["skip", "arguments", "sikp because x", "background until x", "exit"])
def test_a_wrong_marker_is_refused(text):
    if text == "exit":
        assert parse_marker("exit 1").code == 1
        return
    with pytest.raises(ValueError, match="marker"):
        parse_marker(text)
