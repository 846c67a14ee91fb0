"""Every TensorRT and pycuda name, argument and enum that our code uses exists in the real ones, old and new.

`scripts/trt-names` makes type stubs of NVIDIA's bindings (10.3 and 11.4) and of pycuda's wrapper; a strict type checker
then checks our code against them, and our stand-ins are compared with them. No GPU is needed.
"""

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import fake_pycuda
import fake_tensorrt
import pytest

ROOT = Path(__file__).parents[3]
VERSIONS = ("10.3.0", "11.4.0.106")
CODE = ("edge/classifiers/tensorrt_engine.py", "edge/classifiers/tensorrt_runtime.py")
TOOLS = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
SETTINGS = """[mypy]
strict = True
follow_imports = silent
warn_unused_ignores = False
[mypy-tensorrt.*,pycuda.*]
ignore_errors = True
"""
pytestmark = pytest.mark.timeout(600)  # the first run downloads a few MB
UNREACHABLE = (
    r"Failed to establish|ConnectionError|Name or service|Temporary failure|No matching distribution|cc: not found"
)


@pytest.fixture(scope="session")
def stubs():
    """Folder of the stubs, made once and kept beside the virtual environment; skips where they cannot be made."""
    folder = Path(sys.prefix) / "names"
    made = subprocess.run(
        [ROOT / "scripts" / "trt-names", folder], capture_output=True, text=True, timeout=500, env=TOOLS
    )
    reason = re.search(UNREACHABLE, made.stderr)
    if made.returncode and reason:
        pytest.skip(f"the real bindings cannot be fetched or imported here: {reason[0]}")
    assert made.returncode == 0, made.stderr
    return folder


def type_check(stubs, version, tmp_path, *files):
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    path = f"{stubs / version}:{stubs / 'pycuda'}:{ROOT}"
    command = [sys.executable, "-m", "mypy", "--config-file", tmp_path / "mypy.ini", "--cache-dir", tmp_path, *files]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=500, env={**TOOLS, "MYPYPATH": path}
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_our_code_uses_only_existing_names(stubs, version, tmp_path):
    checked = type_check(stubs, version, tmp_path, *CODE)
    assert checked.returncode == 0, checked.stdout


def test_the_check_finds_missing_names(stubs, tmp_path):
    """INT8 by a flag and a calibrator, as TensorRT 10 still has them and 11 no longer does."""
    old = tmp_path / "old.py"
    old.write_text(
        "import pycuda.driver as cuda\n"
        "import tensorrt as trt\n"
        "def use(config: trt.IBuilderConfig, builder: trt.Builder) -> None:\n"
        "    config.int8_calibrator = None\n"
        "    config.set_flag(trt.BuilderFlag.INT8)\n"
        "    builder.create_network(flags='strong')\n"
        "    cuda.Graph()\n"
        "    cuda.memcpy_htod_async(dst=0, src=0)\n"
    )
    ten, eleven = (type_check(stubs, version, tmp_path, old).stdout for version in VERSIONS)
    both = ("incompatible type", '"Graph"', '"dst"')
    assert [name for name in both if name not in ten or name not in eleven] == []
    assert '"IBuilderConfig" has no attribute "int8_calibrator"' in eleven
    assert 'no attribute "INT8"' in eleven
    assert "int8_calibrator" not in ten
    assert 'no attribute "INT8"' not in ten


def signatures(text):
    """Return {name: parameters} of a stub's functions, and {name: {method: parameters, attribute: None}} of classes."""
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = members = {}
            for item in node.body:
                if isinstance(item, ast.FunctionDef):
                    members.setdefault(item.name, []).append(parameters(item))
                elif isinstance(item, ast.AnnAssign):
                    members[item.target.id] = None
                elif isinstance(item, ast.ClassDef):
                    members[item.name] = None
        elif isinstance(node, ast.FunctionDef):
            found[node.name] = [parameters(node)]
    return found


def parameters(function):
    names = [argument.arg for argument in function.args.args if argument.arg != "self"]
    return None if function.args.vararg else names  # None: the real one does not name them


def differences(module, real):
    """Yield the names that only the stand-in has; names that begin with _ are its own."""
    for name, thing in vars(module).items():
        if name.startswith("_") or inspect.ismodule(thing) or name == "gpu":
            continue
        if name not in real:
            yield name
        elif inspect.isclass(thing):
            yield from class_differences(name, thing, real[name])
        elif callable(thing):
            yield from fits(name, thing, real[name])


def class_differences(name, stand_in, real):
    for member, value in vars(stand_in).items():
        if member.startswith("_") and not (member == "__init__" and ours_makes(value)):
            continue
        if member not in real:
            yield f"{name}.{member}"
        elif callable(value) and real[member] is not None:
            yield from fits(f"{name}.{member}", value, real[member])


def ours_makes(constructor):
    """Return whether our code calls it; if a parameter begins with _, only the stand-in does."""
    return not any(parameter.startswith("_") for parameter in inspect.signature(constructor).parameters)


def fits(name, function, overloads):
    function = function.__func__ if isinstance(function, staticmethod) else function
    ours = [parameter for parameter in inspect.signature(function).parameters if parameter != "self"]
    for theirs in overloads:
        if theirs is None or theirs[: len(ours)] == ours:
            return
    yield f"{name}({', '.join(ours)}), where the real one has {overloads}"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_stand_in_of_tensorrt_is_like_it(stubs, version):
    real = signatures((stubs / version / "tensorrt" / "__init__.pyi").read_text())
    assert list(differences(fake_tensorrt, real)) == []


def test_the_stand_in_of_pycuda_is_like_it(stubs):
    real = signatures((stubs / "pycuda" / "pycuda" / "driver.pyi").read_text())
    assert list(differences(fake_pycuda, real)) == []


def test_the_comparison_finds_a_difference():
    real = signatures(
        "class Stream:\n    def wait(self, event: int) -> None: ...\ndef init(flags: int = ...) -> None: ..."
    )

    class Stream:
        def wait(self, other):
            pass

        def query(self):
            pass

    module = type("module", (), {"Stream": Stream, "init": lambda mode: mode})
    assert sorted(text.split("(")[0] for text in differences(module, real)) == ["Stream.query", "Stream.wait", "init"]
