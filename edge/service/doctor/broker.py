"""Brokers: whether each accepts this device, and how long the certificates are valid."""

import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from edge.core.errors import BrokerError, ConfigError
from edge.mqtt.client import CONNECT_TIMEOUT_S, BrokerConfig
from edge.mqtt.subscriber import Subscriber
from edge.mqtt.tls import find_file, new_context
from edge.mqtt.topics import commands_filter
from edge.service.config import ServiceConfig
from edge.service.doctor.finding import Finding, fail, ok, output_of, warn
from edge.sources.config import MqttConfig

_DAY_S = 86_400.0
_SOON_DAYS = 30.0  # a certificate that expires sooner is a warning


class BrokerProbe(NamedTuple):
    """The result of connecting to one broker."""

    address: str
    trouble: str  # one line; empty when the broker accepted us
    tls: bool
    expires_s: float | None = None  # when the broker's certificate expires, in s since 1970; None: not known
    own: str = ""  # file of this device's certificate
    own_expires_s: float | None = None


def brokers_of(config: ServiceConfig) -> dict[BrokerConfig, str]:
    """Return every broker of the configuration, each with a topic that the service subscribes to."""
    topics = {config.broker: commands_filter(config.device.id)}
    for source in config.source:
        if isinstance(source, MqttConfig) and source.broker is not None:
            topics.setdefault(source.broker, source.topic)
    return topics


def probe_broker(config: BrokerConfig, topic: str) -> BrokerProbe:
    """Connect as the service does, but with another client id: a broker disconnects the older of two with one id."""
    tls = bool(config.tls or config.ca_file or config.cert_file)
    try:
        with Subscriber(msgspec.structs.replace(config, client_id=""), [topic], timeout_s=CONNECT_TIMEOUT_S):
            pass
    except (BrokerError, ConfigError) as exc:
        return BrokerProbe(config.address, str(exc), tls)
    if not tls:
        return BrokerProbe(config.address, "", tls)
    return BrokerProbe(config.address, "", tls, _peer_expires_s(config), config.cert_file or "", _own_expires_s(config))


def check_broker(probe: BrokerProbe, now_s: float) -> Iterator[Finding]:
    """Check connection, encryption and certificates."""
    if probe.trouble:
        yield fail("broker", probe.trouble, "correct [broker], or start the broker: sudo systemctl start mosquitto")
        return
    yield ok("broker", f"{probe.address}: accepts us" + (", over TLS" if probe.tls else ""))
    local = probe.address.rpartition(":")[0] in {"localhost", "127.0.0.1", "::1"}
    if not probe.tls and not local:
        yield warn("tls", f"{probe.address}: alerts go over the network unencrypted", "set ca_file in [broker]")
    if probe.expires_s is not None:
        yield _check_expiry(f"the certificate of {probe.address}", probe.expires_s - now_s, "renew it at the broker")
    if probe.own and probe.own_expires_s is None:
        yield warn("tls", f"the expiry of {probe.own} cannot be read", "sudo apt-get install -y openssl")
    elif probe.own_expires_s is not None:
        fix = f"openssl x509 -noout -dates -in {probe.own}  # and have a new one signed"
        yield _check_expiry(f"{probe.own}, this device's certificate,", probe.own_expires_s - now_s, fix)


def _check_expiry(certificate: str, left_s: float, fix: str) -> Finding:
    days = left_s / _DAY_S
    if days <= 0:
        return fail("tls", f"{certificate} expired {-days:.0f} days ago", fix)
    if days <= _SOON_DAYS:
        return warn("tls", f"{certificate} expires in {days:.0f} days", fix)
    return ok("tls", f"{certificate} is valid for {days:.0f} days")


def _peer_expires_s(config: BrokerConfig) -> float | None:
    try:
        with (
            socket.create_connection((config.host, config.port), CONNECT_TIMEOUT_S) as plain,
            new_context(config).wrap_socket(plain, server_hostname=config.host) as secure,
        ):
            certificate = secure.getpeercert() or {}
    except OSError:  # ssl.SSLError is one; the broker itself has accepted us before
        return None
    return ssl.cert_time_to_seconds(str(certificate["notAfter"])) if "notAfter" in certificate else None


def _own_expires_s(config: BrokerConfig) -> float | None:
    if config.cert_file is None:
        return None
    output = output_of("openssl", "x509", "-noout", "-enddate", "-in", str(find_file("cert_file", config.cert_file)))
    return None if output is None else float(ssl.cert_time_to_seconds(output.strip().removeprefix("notAfter=")))
