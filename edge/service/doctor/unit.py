"""The systemd unit: whether it is installed, starts with the machine, and runs."""

from collections.abc import Iterator

from edge.service.doctor.finding import Finding, ask, fail, ok, warn

UNIT = "ecg-edge.service"
_PROPERTIES = ("LoadState", "UnitFileState", "ActiveState", "SubState", "NRestarts", "Result")


def look_at_unit() -> dict[str, str] | None:
    """Return what systemd says of the unit; None where there is no systemd to ask."""
    answer = ask("systemctl", "show", UNIT, "--property=" + ",".join(_PROPERTIES))
    return None if answer is None else dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)


def check_unit(unit: dict[str, str] | None) -> Iterator[Finding]:
    """Judge it."""
    if unit is None:
        yield ok("unit", "systemd does not run here, so no unit is looked for")
        return
    if unit.get("LoadState") != "loaded":
        yield warn(
            "unit", f"{UNIT} is not installed", "see deploy/README.md, then: sudo systemctl enable --now ecg-edge"
        )
        return
    if unit.get("UnitFileState") not in {"enabled", "enabled-runtime", "static"}:
        yield warn("unit", f"{UNIT} does not start with the machine", "sudo systemctl enable ecg-edge")
    match unit.get("ActiveState"):
        case "active":
            yield ok("unit", f"{UNIT} runs, {unit.get('NRestarts', '0')} restarts")
        case "failed":
            yield fail("unit", f"{UNIT} failed: {unit.get('Result')}", "journalctl -u ecg-edge -n 50  # says why")
        case state:
            yield warn("unit", f"{UNIT} is {state} ({unit.get('SubState')})", "sudo systemctl start ecg-edge")
