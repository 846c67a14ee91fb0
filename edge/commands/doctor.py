"""`ecg-edge doctor`: checks this machine and a configuration, and shows how to fix what is wrong."""

from pathlib import Path

import click
import msgspec
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from edge.commands.options import json_option, report_console
from edge.core.output import write_json
from edge.service.doctor.examine import examine
from edge.service.doctor.finding import Finding

_WIDTH = 200  # of a table in a file, so that each command can be copied from one line
_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


class Diagnosis(msgspec.Struct, frozen=True):
    """What `--json` writes."""

    ok: bool  # nothing fails
    counts: dict[str, int]  # by level
    findings: tuple[Finding, ...]


@click.command()
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The service's TOML file; default: /etc/ecg-edge/ecg-edge.toml, if it exists.",
)
@json_option()
@click.pass_context
def doctor(context: click.Context, path: Path | None, json_path: Path | None) -> None:
    r"""Check this machine and a configuration, and show how to fix each fault.

    Checks Python, bundle, ONNX Runtime, TensorRT, serial ports, broker, TLS, clock, disk and unit. It changes nothing
    and does not disturb a running service. Run it as the service's user, so that it has the same permissions. Exits
    with 1 when a check fails; a warning is not a failure.

    \b
    Examples:
      ecg-edge doctor
      ecg-edge doctor --config /etc/ecg-edge/ecg-edge.toml
      ecg-edge doctor --config my.toml --json - | jq '.findings[] | select(.level != "ok")'
    """
    console = report_console(json_path)
    if not console.is_terminal:
        console.width = _WIDTH
    with console.status("checking"):
        findings = tuple(examine(path))
    console.print(_table(findings))
    counts = {level: sum(finding.level == level for finding in findings) for level in _STYLES}
    console.print(", ".join(f"{count} {level}" for level, count in counts.items()), highlight=False)
    if json_path is not None:
        write_json(Diagnosis(not counts["fail"], counts, findings), json_path)
    context.exit(1 if counts["fail"] else 0)


def _table(findings: tuple[Finding, ...]) -> Table:
    table = Table("", "what", "found", box=SIMPLE, show_header=False)
    for finding in findings:
        text = Text(finding.message)
        if finding.fix:
            text.append(f"\n→ {finding.fix}", style="cyan")
        table.add_row(Text(finding.level, style=_STYLES[finding.level]), finding.check, text)
    return table
