"""The systemd unit: whether it is installed, starts at boot, and runs."""

from collections.abc import Iterator

from edge.service.doctor.finding import Finding, fail, ok, output_of, warn

UNIT = "ecg-edge.service"
_PROPERTIES = ("LoadState", "UnitFileState", "ActiveState", "SubState", "NRestarts", "Result")


def inspect_unit() -> dict[str, str] | None:
    """Return the unit's properties; None without systemd."""
    answer = output_of("systemctl", "show", UNIT, "--property=" + ",".join(_PROPERTIES))
    return None if answer is None else dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)


def check_unit(unit: dict[str, str] | None) -> Iterator[Finding]:
    """Check the unit."""
    if unit is None:
        yield ok("unit", "systemd does not run here, so the unit is not checked")
        return
    if unit.get("LoadState") != "loaded":
        yield warn(
            "unit", f"{UNIT} is not installed", "see docs/how-to/install.md, then: sudo systemctl enable --now ecg-edge"
        )
        return
    if unit.get("UnitFileState") not in {"enabled", "enabled-runtime", "static"}:
        yield warn("unit", f"{UNIT} does not start at boot", "sudo systemctl enable ecg-edge")
    match unit.get("ActiveState"):
        case "active":
            yield ok("unit", f"{UNIT} runs, {unit.get('NRestarts', '0')} restarts")
        case "failed":
            yield fail("unit", f"{UNIT} failed: {unit.get('Result')}", "journalctl -u ecg-edge -n 50  # shows why")
        case state:
            yield warn("unit", f"{UNIT} is {state} ({unit.get('SubState')})", "sudo systemctl start ecg-edge")
