"""Figures of this process and this machine, as Linux reports them; None where it does not."""

import os
import platform
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_CPU_ZONE = re.compile(r"cpu|pkg|soc|tj", re.IGNORECASE)  # x86_pkg_temp, cpu-thermal, CPU-therm, tj-thermal


def memory_mb(statm: Path = Path("/proc/self/statm")) -> float | None:
    """Return the resident memory of this process, in MB of 2**20 bytes; proc(5)."""
    try:
        return round(int(statm.read_text().split()[1]) * _PAGE_BYTES / (1 << 20), 1)
    except (OSError, ValueError, IndexError):
        return None


def cpu_temperature_c(thermal: Path = Path("/sys/class/thermal")) -> float | None:
    """Return the temperature of the hottest zone of the CPU, None without one; see sysfs-class-thermal."""
    return max(_temperatures_c(thermal), default=None)


def _temperatures_c(thermal: Path) -> Iterator[float]:
    for zone in thermal.glob("thermal_zone*"):
        try:
            if _CPU_ZONE.search((zone / "type").read_text()):
                yield int((zone / "temp").read_text()) / 1000
        except (OSError, ValueError):  # a zone that is switched off cannot be read; the others can
            continue


def peak_rss_mb() -> float:
    """Return the largest resident memory of this process so far, in MB of 2**20 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # getrusage(2) counts in KiB on Linux and in bytes on macOS.
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def processor() -> str:
    """Return the name of the processor from /proc/cpuinfo, or the architecture where that has no name (ARM)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()
