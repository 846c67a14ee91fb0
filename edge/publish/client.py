"""How this program talks to an MQTT broker: settings, a paho client made from them, and errors in one line.

MQTT 5 over TCP or TLS. Knows nothing of topics or payloads.
"""

import socket
import ssl
from pathlib import Path

import msgspec
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from edge.errors import BrokerError, ConfigError

CONNECT_TIMEOUT_S = 5.0
IN_FLIGHT = 20  # messages of QoS 1 that wait for their acknowledgement at the same time
_MAX_PASSWORD_BYTES = 4096


class BrokerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the broker is and how to log in; secrets stand in files."""

    host: str = "localhost"
    port: int = 1883
    tls: bool = False  # also on when one of the files is named
    ca_file: str | None = None  # certificates to trust; the system's where none is named
    cert_file: str | None = None  # this client's certificate
    key_file: str | None = None
    username: str | None = None
    password_file: str | None = None
    keepalive_s: int = 30
    client_id: str = ""  # empty: the broker chooses

    def __post_init__(self) -> None:
        """Raise ValueError when a setting is impossible."""
        if not self.host or not 1 <= self.port <= 65535:
            raise ValueError(f"{self.host}:{self.port} is no address of a broker")
        if not 5 <= self.keepalive_s <= 3600:
            raise ValueError(f"keepalive_s {self.keepalive_s} is not in 5 to 3600")
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs a cert_file")

    @property
    def address(self) -> str:
        """Host and port for messages."""
        return f"{self.host}:{self.port}"


def new_client(config: BrokerConfig) -> Client:
    """Return a client that is set up and not connected.

    Raises
    ------
    ConfigError
        When a file of the configuration cannot be used.
    """
    client = Client(CallbackAPIVersion.VERSION2, client_id=config.client_id, protocol=MQTTv5)
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.max_inflight_messages_set(IN_FLIGHT)
    client.reconnect_delay_set(min_delay=1, max_delay=30)
    client.on_socket_open = _send_at_once
    if config.tls or config.ca_file or config.cert_file:
        client.tls_set_context(_tls_context(config))
    if config.username is not None:
        client.username_pw_set(config.username, _password(config))
    return client


def open_connection(client: Client, config: BrokerConfig) -> None:
    """Open the connection and start the client's thread; the broker's answer comes to `on_connect`.

    Raises
    ------
    BrokerError
        When nothing answers there, or the TLS handshake fails.
    """
    try:
        client.connect(config.host, config.port, config.keepalive_s)
    except (OSError, ValueError) as exc:
        raise BrokerError(f"{config.address}: {_reason(exc)}") from exc
    client.loop_start()


def refusal(code: ReasonCode, config: BrokerConfig) -> str:
    """Return one line that says why the broker said no, by the reason code of its CONNACK (MQTT 5, table 3-1)."""
    name = code.getName()
    hints = {
        "Bad user name or password": "check username and password_file",
        "Not authorized": "check username, password_file and the broker's access list",
        "Unsupported protocol version": "the broker must speak MQTT 5",
        "Client identifier not valid": "choose another client_id",
        "Banned": "ask the broker's administrator",
        "Server unavailable": "try again later",
        "Server busy": "try again later",
    }
    hint = hints.get(name)
    return f"{config.address}: the broker refuses: {name.lower()}" + (f"; {hint}" if hint else "")


def _send_at_once(_client: Client, _userdata: object, sock: object) -> None:
    # Alerts are small: without this they wait up to 40 ms for the acknowledgement of the packet before (Nagle).
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _tls_context(config: BrokerConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
        if config.cert_file:
            context.load_cert_chain(config.cert_file, config.key_file)
    except OSError as exc:  # ssl.SSLError is one
        files = ", ".join(filter(None, (config.ca_file, config.cert_file, config.key_file)))
        raise ConfigError(f"TLS files {files}: {exc}") from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _password(config: BrokerConfig) -> str | None:
    if config.password_file is None:
        return None
    try:
        with Path(config.password_file).open("rb") as file:
            return file.read(_MAX_PASSWORD_BYTES).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"password_file {config.password_file}: {exc}") from exc


def _reason(exc: OSError | ValueError) -> str:
    match exc:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({exc.verify_message}); name its ca_file"
        case ssl.SSLError():
            return f"the TLS handshake failed ({exc.reason}); does the port speak TLS?"
    plain: dict[type[Exception], str] = {
        ConnectionRefusedError: "nothing listens there; is the broker running?",
        ConnectionResetError: "the connection was closed at once; is TLS switched on at one side alone?",
        socket.gaierror: "no such host",
        TimeoutError: f"no answer within {CONNECT_TIMEOUT_S:g} s",
    }
    return plain.get(type(exc), str(exc))
