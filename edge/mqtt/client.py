"""How this program talks to an MQTT broker: settings, a paho client made from them, and errors in one line.

MQTT 5 over TCP or TLS. Knows nothing of topics or payloads.
"""

import logging
import socket
import ssl
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from edge.core.errors import BrokerError, ConfigError
from edge.core.loops import Loop
from edge.mqtt import tls

CONNECT_TIMEOUT_S = 5.0
_LOOP_LIMIT_S = 300.0  # looking up a name alone may take a minute; a broker that is away is no reason to restart
IN_FLIGHT = 20  # messages of QoS 1 that wait for their acknowledgement at the same time
_MAX_PASSWORD_BYTES = 4096


class BrokerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the broker is and how to log in.

    A file that is named without a folder is a systemd credential, kept in /etc/ecg-edge/tls.
    """

    host: Annotated[str, Meta(description="Host name or address.")] = "localhost"
    port: Annotated[int, Meta(description="TCP port. 1 to 65535; 8883 is usual with TLS.")] = 1883
    tls: Annotated[bool, Meta(description="Use TLS. Naming ca_file or cert_file switches it on too.")] = False
    ca_file: Annotated[
        str | None,
        Meta(description="PEM file with the CA certificates to trust. Without it, the system's are trusted."),
    ] = None
    cert_file: Annotated[str | None, Meta(description="PEM file with this client's certificate.")] = None
    key_file: Annotated[
        str | None, Meta(description="PEM file with the key of cert_file. Without it, the key is read from cert_file.")
    ] = None
    username: Annotated[str | None, Meta(description="Name to log in with.")] = None
    password_file: Annotated[
        str | None, Meta(description="File with the password. The configuration itself holds no secrets.")
    ] = None
    keepalive_s: Annotated[
        int, Meta(description="Longest silence on the connection before each side checks the other. 5 to 3600 s.")
    ] = 30
    client_id: Annotated[str, Meta(description="MQTT client id. Empty: the broker chooses one.")] = ""

    def __post_init__(self) -> None:
        """Raise ValueError when a setting is impossible."""
        if not self.host or not 1 <= self.port <= 65535:
            raise ValueError(f"{self.host}:{self.port} is no address of a broker")
        if not 5 <= self.keepalive_s <= 3600:
            raise ValueError(f"keepalive_s {self.keepalive_s} is not in 5 to 3600")
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs a cert_file")

    @property
    def uses_tls(self) -> bool:
        """Whether TLS is on."""
        return bool(self.tls or self.ca_file or self.cert_file)

    @property
    def address(self) -> str:
        """Host and port for messages."""
        return f"{self.host}:{self.port}"


class BrokerClient(Client):
    """A paho client that knows why it is not connected, and whose thread can be watched.

    `trouble` is one line, empty while connected and before the first try; `network` is the thread's loop.
    """

    def __init__(self, config: BrokerConfig) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id=config.client_id, protocol=MQTTv5)
        self.trouble = ""
        self.network = Loop("network", _LOOP_LIMIT_S)
        self._config = config
        self._lost: OSError | None = None  # what ended the connection
        self._answered = False  # by the broker, since the last try
        self._told = ""
        errors = logging.Logger("paho", logging.ERROR)  # noqa: LOG001  of this client alone; paho has no other way to tell
        errors.addFilter(self._note_loss)
        self.enable_logger(errors)

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        """Run paho's thread; where that ends by a fault, the loop is left turning, and so is stuck."""
        self.network.turn()
        code = super().loop_forever(timeout, retry_first_connection)
        self.network.rest()
        return code

    def loop_misc(self) -> MQTTErrorCode:
        """Note a turn; paho calls this in each."""
        self.network.turn()
        return super().loop_misc()

    def reconnect(self) -> MQTTErrorCode:
        """Connect, and keep in `trouble` why that failed.

        Raises
        ------
        OSError
            When it did; no other error, since that would end paho's thread.
        """
        self.network.turn()
        self._lost, self._answered = None, False
        try:
            return super().reconnect()
        except (OSError, ValueError) as exc:  # ValueError: a host that can be none
            self.trouble = f"{self._config.address}: {_reason(exc)}"
            raise exc if isinstance(exc, OSError) else OSError(str(exc)) from exc

    def accepted(self, code: ReasonCode) -> bool:
        """Take the broker's answer to a connection; keep in `trouble` why it refuses."""
        self._answered = True
        if code.is_failure:
            self.trouble = refusal(code, self._config)
        else:
            self.trouble = self._told = ""
        return not code.is_failure

    def lost(self, code: ReasonCode) -> bool:
        """Take the end of a connection, keep in `trouble` why, and say whether the broker had not even answered."""
        if not code.is_failure or (self._answered and self.trouble):  # we wanted it, or were refused
            return False
        if isinstance(self._lost, ssl.SSLError) and not isinstance(self._lost, ssl.SSLEOFError):
            why = tls.reason(self._lost)
        elif not self._answered:
            why = f"it closed the connection before it answered; {_advice(self._config)}"
        else:
            why = f"the connection was lost ({code.getName().lower()})"
        self.trouble = f"{self._config.address}: {why}"
        return not self._answered

    def news(self) -> str:
        """Return the trouble if it is another one than this returned before, else nothing."""
        if self.trouble == self._told:
            return ""
        self._told = self.trouble
        return self.trouble

    def _note_loss(self, record: logging.LogRecord) -> bool:
        arguments: Any = record.args
        if isinstance(arguments, tuple) and arguments and isinstance(arguments[-1], OSError):
            self._lost = arguments[-1]
        return False


def new_client(config: BrokerConfig) -> BrokerClient:
    """Return a client that is set up and not connected.

    Raises
    ------
    ConfigError
        When a file of the configuration cannot be used.
    """
    client = BrokerClient(config)
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.max_inflight_messages_set(IN_FLIGHT)
    client.reconnect_delay_set(min_delay=1, max_delay=30)
    client.on_socket_open = _send_at_once
    if config.uses_tls:
        client.tls_set_context(tls.new_context(config))
    if config.username is not None:
        client.username_pw_set(config.username, _password(config))
    return client


def open_connection(client: BrokerClient, config: BrokerConfig) -> None:
    """Open the connection and start the client's thread; the broker's answer comes to `on_connect`.

    Raises
    ------
    BrokerError
        When nothing answers there, or the TLS handshake fails.
    """
    try:
        client.connect(config.host, config.port, config.keepalive_s)
    except OSError as exc:
        raise BrokerError(client.trouble) from exc
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


def _password(config: BrokerConfig) -> str | None:
    if config.password_file is None:
        return None
    path = tls.find_file("password_file", config.password_file)
    try:
        with path.open("rb") as file:
            return file.read(_MAX_PASSWORD_BYTES).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"password_file {path}: {exc}") from exc


def _advice(config: BrokerConfig) -> str:
    if not config.uses_tls:
        return "does it want TLS?"
    return "is the certificate one that it takes?" if config.cert_file else "does it want a certificate (cert_file)?"


def _reason(exc: OSError | ValueError) -> str:
    if isinstance(exc, ssl.SSLError):
        return tls.reason(exc)
    plain: dict[type[Exception], str] = {
        ConnectionRefusedError: "nothing listens there; is the broker running?",
        ConnectionResetError: "the connection was closed at once; is TLS switched on at one side alone?",
        socket.gaierror: "no such host",
        TimeoutError: f"no answer within {CONNECT_TIMEOUT_S:g} s",
    }
    return plain.get(type(exc), str(exc))
