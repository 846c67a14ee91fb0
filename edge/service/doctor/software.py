"""Python, and what TensorRT needs: JetPack, the bindings, pycuda and a GPU."""

import importlib
import os
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edge.classifiers.base import ClassifierConfig
from edge.service.doctor.finding import Finding, fail, ok, warn

OLDEST, NEWEST = (3, 10), (3, 12)
_GPU_NODES = ("/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu/igpu0/power")
_OLDEST_TENSORRT = (10, 3)
_JETSON = "docs/how-to/jetson.md"


class Accelerator(NamedTuple):
    """What TensorRT can run on; a version is empty where the module cannot be imported."""

    tegra: str  # first line of /etc/nv_tegra_release
    tensorrt: str
    pycuda: str
    nodes: dict[str, bool]  # GPU node -> whether this user may use it
    system_site: bool  # whether this Python sees the system's packages


def inspect_accelerator() -> Accelerator:
    """Return what this machine has."""
    release = Path("/etc/nv_tegra_release")
    return Accelerator(
        tegra=release.read_text(errors="replace").partition("\n")[0] if release.is_file() else "",
        tensorrt=_version("tensorrt"),
        pycuda=_version("pycuda"),
        nodes={node: os.access(node, os.R_OK | os.W_OK) for node in _GPU_NODES if Path(node).exists()},
        system_site=_sees_system_site(Path(sys.prefix)),
    )


def check_python(version: tuple[int, int], implementation: str) -> Iterator[Finding]:
    """Check the interpreter."""
    name = f"{implementation} {version[0]}.{version[1]}, {platform.machine()}"
    if version < OLDEST:
        yield fail("python", f"{name}: older than 3.10", "python3.12 -m venv /opt/ecg-nat/venv")
    elif version > NEWEST:
        yield warn("python", f"{name}: newer than the tested versions", "python3.12 -m venv /opt/ecg-nat/venv")
    else:
        yield ok("python", name)


def check_accelerator(found: Accelerator, config: ClassifierConfig) -> Iterator[Finding]:
    """Check what TensorRT needs where it is configured; else list what this machine has."""
    have = [f"JetPack {_jetpack(found.tegra)}" if found.tegra else "no Jetson"]
    have += [f"TensorRT {found.tensorrt}"] if found.tensorrt else []
    have += [f"GPU at {', '.join(found.nodes)}"] if found.nodes else ["no GPU"]
    if config.backend != "tensorrt":
        yield ok("accelerator", ", ".join(have) + "; not used, the back end is ONNX Runtime")
        return
    faults = list(_accelerator_faults(found))
    finding = warn if config.fallback else fail
    rest = "; ONNX Runtime runs the graph instead" if config.fallback else ""
    for fault, fix in faults:
        yield finding("accelerator", fault + rest, fix)
    if not faults:
        yield ok("accelerator", ", ".join(have))


def _accelerator_faults(found: Accelerator) -> Iterator[tuple[str, str]]:
    if not found.nodes:
        yield "there is no GPU", f"see {_JETSON}, or set backend = 'onnxruntime'"
    for node in (node for node, usable in found.nodes.items() if not usable):
        yield f"this user may not use {node}", "sudo usermod -aG video,render $USER  # and log in again"
    if not found.tensorrt and found.tegra and not found.system_site:
        yield (
            "this Python does not see JetPack's TensorRT",
            "sudo deploy/install.sh --upgrade --jetson",
        )
    elif not found.tensorrt:
        install = "sudo apt-get install -y nvidia-jetpack" if found.tegra else "pip install 'ecg-nat[gpu]'"
        yield "TensorRT cannot be imported", install
    elif _numbers(found.tensorrt) < _OLDEST_TENSORRT:
        yield f"TensorRT {found.tensorrt} is older than 10.3", f"update JetPack to 6.1 or later; see {_JETSON}"
    if not found.pycuda:
        yield "pycuda cannot be imported", "pip install 'ecg-nat[jetson]'  # with nvcc in the PATH"


def _jetpack(tegra: str) -> str:
    """Return the JetPack version for a line such as `# R36 (release), REVISION: 4.0, ...` of nv_tegra_release."""
    release = re.search(r"R(\d+)", tegra)
    names = {"35": "5", "36": "6", "38": "7"}
    return names.get(release[1], f"of L4T R{release[1]}") if release else "of an unknown release"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def _version(module: str) -> str:
    """Return the version of an installed module; empty where it cannot be imported."""
    try:
        found = importlib.import_module(module)
    except Exception:  # noqa: BLE001  a broken CUDA installation raises errors of any kind
        return ""
    return str(getattr(found, "__version__", "") or getattr(found, "VERSION_TEXT", "") or "unknown")


def _sees_system_site(prefix: Path) -> bool:
    settings = prefix / "pyvenv.cfg"
    return not settings.is_file() or "include-system-site-packages = true" in settings.read_text(errors="replace")
