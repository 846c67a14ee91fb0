"""The verify script for a Jetson, without TensorRT and with stand-ins of it; the keys that the documentation names."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edge.classifiers.base import ClassifierConfig

ROOT = Path(__file__).parents[2]
JETSON = ROOT / "deploy" / "jetson"
FAKE_TENSORRT = """
import sys
sys.path.append({support!r})
import fake_gpu, fake_pycuda, fake_tensorrt
fake_tensorrt.gpu = fake_pycuda.gpu = fake_gpu.GpuState()
sys.modules["tensorrt"] = fake_tensorrt
"""


@pytest.fixture
def bundle(tmp_path):
    """Return the folder of a bundle with one graph, made by what makes it for the tests of edge."""
    code = "import energy_bundle; from pathlib import Path; import sys; energy_bundle.write_bundle(Path(sys.argv[1]))"
    where = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests' / 'support'}:{ROOT}"}
    folder = tmp_path / "bundle"
    subprocess.run([sys.executable, "-c", code, folder], check=True, env=where, cwd=tmp_path, timeout=60)
    return folder


def verify(bundle, tmp_path, *paths):
    environment = {
        **os.environ,
        "PYTHONPATH": ":".join(map(str, (*paths, ROOT))),
        "STATE_DIRECTORY": str(tmp_path / "state"),
    }
    out = tmp_path / "report.json"
    done = subprocess.run(
        [sys.executable, JETSON / "verify", "--model", bundle, "--max-batch", "4", "--out", out],
        capture_output=True,
        text=True,
        timeout=100,
        env=environment,
        cwd=tmp_path,
    )
    return done, json.loads(out.read_bytes())


def test_without_tensorrt_it_fails_and_says_why(bundle, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "tensorrt.py").write_text("raise ImportError('No module named tensorrt')\n")
    done, report = verify(bundle, tmp_path, blocked)
    assert done.returncode == 1, done.stderr
    assert report["passed"] is False
    assert report["precisions"]["fp32"]["error"].startswith("ecg-edge: TensorRT cannot be imported")
    assert "FAILED: ecg-edge: TensorRT cannot be imported" in done.stdout


def test_with_stand_ins_it_measures_and_names_no_person(bundle, tmp_path):
    fakes = tmp_path / "fakes"
    (fakes / "pycuda").mkdir(parents=True)
    (fakes / "tensorrt.py").write_text(FAKE_TENSORRT.format(support=str(ROOT / "tests" / "support")))
    (fakes / "pycuda" / "__init__.py").write_text("")
    (fakes / "pycuda" / "driver.py").write_text("from fake_pycuda import *\n")
    done, report = verify(bundle, tmp_path, fakes)
    assert done.returncode == 0, done.stderr + done.stdout
    result = report["precisions"]["fp32"]
    assert result["golden_worst"] < 1e-5
    assert result["latency_ms"].keys() == {"b1", "b4"}
    assert {"python", "kernel", "tensorrt", "pycuda"} <= report["device"].keys()
    assert str(tmp_path) not in json.dumps(report)


def test_a_bundle_that_is_not_there_is_one_clear_line(tmp_path):
    command = [sys.executable, JETSON / "verify", "--model", "/nowhere"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, cwd=tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(r"verify: no bundle '/nowhere'.*\n", done.stderr)


def test_the_documentation_shows_keys_that_exist():
    (table,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/how-to/jetson.md").read_text(), re.DOTALL)
    config = msgspec.toml.decode(table, type=dict[str, ClassifierConfig])["classifier"]
    assert (config.backend, config.fallback, config.max_batch) == ("tensorrt", True, 16)
