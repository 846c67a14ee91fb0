"""Brokers: whether each takes us, and for how long its certificate and ours are good."""

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
from edge.service.doctor.finding import Finding, ask, fail, ok, warn
from edge.sources.config import MqttConfig

_DAY_S = 86_400.0
_SOON_DAYS = 30.0


class Reach(NamedTuple):
    """What came of trying one broker."""

    address: str
    trouble: str  # one line that says what to do; empty when it took us
    tls: bool
    expires_s: float | None = None  # when the broker's certificate ends, since 1970; None: not known
    own: str = ""  # this device's certificate
    own_expires_s: float | None = None


def brokers_of(config: ServiceConfig) -> dict[BrokerConfig, str]:
    """Return every broker of the configuration, each with a topic that the service subscribes to there."""
    wanted = {config.broker: commands_filter(config.device.id)}
    for source in config.source:
        if isinstance(source, MqttConfig) and source.broker is not None:
            wanted.setdefault(source.broker, source.topic)
    return wanted


def try_broker(config: BrokerConfig, topic: str) -> Reach:
    """Connect as the service does, but with a client id of our own: one of a name would throw the other out."""
    tls = bool(config.tls or config.ca_file or config.cert_file)
    try:
        with Subscriber(msgspec.structs.replace(config, client_id=""), [topic], timeout_s=CONNECT_TIMEOUT_S):
            pass
    except (BrokerError, ConfigError) as exc:
        return Reach(config.address, str(exc), tls)
    if not tls:
        return Reach(config.address, "", tls)
    return Reach(config.address, "", tls, _peer_expires_s(config), config.cert_file or "", _own_expires_s(config))


def check_broker(reach: Reach, now_s: float) -> Iterator[Finding]:
    """Judge it."""
    if reach.trouble:
        yield fail("broker", reach.trouble, "correct [broker], or start the broker: sudo systemctl start mosquitto")
        return
    yield ok("broker", f"{reach.address}: takes us" + (", over TLS" if reach.tls else ""))
    local = reach.address.rpartition(":")[0] in {"localhost", "127.0.0.1", "::1"}
    if not reach.tls and not local:
        yield warn("tls", f"{reach.address}: alerts go over the network in the clear", "set ca_file in [broker]")
    if reach.expires_s is not None:
        yield _judge_expiry(f"the certificate of {reach.address}", reach.expires_s - now_s, "renew it at the broker")
    if reach.own and reach.own_expires_s is None:
        yield warn("tls", f"when {reach.own} ends cannot be told", "sudo apt-get install -y openssl")
    elif reach.own_expires_s is not None:
        mend = f"openssl x509 -noout -dates -in {reach.own}  # and have a new one signed"
        yield _judge_expiry(f"{reach.own}, this device's certificate,", reach.own_expires_s - now_s, mend)


def _judge_expiry(what: str, left_s: float, mend: str) -> Finding:
    days = left_s / _DAY_S
    if days <= 0:
        return fail("tls", f"{what} ended {-days:.0f} days ago", mend)
    if days <= _SOON_DAYS:
        return warn("tls", f"{what} ends in {days:.0f} days", mend)
    return ok("tls", f"{what} is good for {days:.0f} days")


def _peer_expires_s(config: BrokerConfig) -> float | None:
    try:
        with (
            socket.create_connection((config.host, config.port), CONNECT_TIMEOUT_S) as plain,
            new_context(config).wrap_socket(plain, server_hostname=config.host) as secure,
        ):
            certificate = secure.getpeercert() or {}
    except OSError:  # ssl.SSLError is one; that the broker takes us was seen before
        return None
    return ssl.cert_time_to_seconds(str(certificate["notAfter"])) if "notAfter" in certificate else None


def _own_expires_s(config: BrokerConfig) -> float | None:
    if config.cert_file is None:
        return None
    answer = ask("openssl", "x509", "-noout", "-enddate", "-in", str(find_file("cert_file", config.cert_file)))
    return None if answer is None else float(ssl.cert_time_to_seconds(answer.strip().removeprefix("notAfter=")))
