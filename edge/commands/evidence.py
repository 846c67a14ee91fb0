"""`ecg-edge evidence`: writes the ECG behind an alert."""

import threading
from pathlib import Path

import click

from edge.commands.login import login_options
from edge.commands.stopping import stop_on_signal
from edge.core.errors import ConfigError
from edge.lab.evidence.find import await_alert, check_alert_id, find_in_files
from edge.lab.evidence.picture import draw_strip
from edge.lab.evidence.record import write_record
from edge.lab.evidence.strip import Strip
from edge.mqtt.client import BrokerConfig
from edge.mqtt.subscriber import Subscriber
from edge.mqtt.topics import alerts_filter
from edge.publish.alert_log import log_files
from edge.service.config import read_config

_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("alert_id", metavar="ID")
@click.option("--from", "path", type=_EXISTING, metavar="FILE", help="Output of `watch --json` or `replay --json`.")
@click.option("--config", type=_EXISTING, metavar="FILE", help="The service's TOML file; its alert_log is searched.")
@login_options()
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.1), default=60.0, show_default=True, metavar="SECONDS")
@click.option(
    "--out",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    default=".",
    show_default=True,
    metavar="FOLDER",
    help="Folder for the files.",
)
def evidence(
    *,
    alert_id: str,
    path: Path | None,
    config: Path | None,
    broker: BrokerConfig | None,
    timeout_s: float,
    out: Path,
) -> None:
    r"""Write the deciding window of the alert ID as a WFDB record and as a picture on ECG paper.

    ID is the id of an alert or of its alarm, or at least its first 8 characters; or `latest`, the newest alert that
    raised an alarm. One source is searched: a file of alerts, the alert log of the service on this device, or the
    alerts that a broker sends from now on.

    \b
    Examples:
      ecg-edge evidence 5b0c2b6e --config /etc/ecg-edge/ecg-edge.toml --out /tmp
      ecg-edge replay mitdb/208 --json report.json && ecg-edge evidence latest --from report.json
      ecg-edge evidence latest --broker ward:1883 --timeout 600
    """
    wanted = check_alert_id(alert_id)
    if sum(source is not None for source in (path, config, broker)) != 1:
        raise click.UsageError("give exactly one of --from, --config and --broker")
    if broker is not None:
        strip = _listen(broker, wanted, timeout_s)
    else:
        strip = find_in_files(_log(config) if path is None else [path], wanted)
    click.echo(strip.heading)
    for written in (*write_record(strip, out), draw_strip(strip, out / f"{strip.id}.png")):
        click.echo(written)


def _log(config: Path | None) -> list[Path]:
    log = None if config is None else read_config(config).publish.alert_log
    if log is None:
        raise ConfigError(f"{config}: it sets no alert_log in [publish], so no alerts are kept on this device")
    return log_files(Path(log))


def _listen(config: BrokerConfig, wanted: str, timeout_s: float) -> Strip:
    stopped = threading.Event()
    with stop_on_signal(stopped.set), Subscriber(config, [alerts_filter()]) as subscriber:
        return await_alert(subscriber, wanted, timeout_s, stopped.is_set)
