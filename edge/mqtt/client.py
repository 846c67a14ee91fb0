"""The MQTT 5 client over TCP or TLS: its settings, a paho client made from them, and each error as one line."""

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

CONNECT_TIMEOUT_S = 5.0  # paho's own default; a broker in the same house answers in milliseconds
_LOOP_LIMIT_S = 300.0  # a name lookup may take a minute, and restarting the service does not bring a broker back
IN_FLIGHT = 20  # most messages of QoS 1 that wait for their acknowledgement at the same time
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
    """A paho client that keeps the reason why it is not connected, and whose thread can be watched.

    Attributes
    ----------
    trouble : the reason in one line; empty while connected, and before the first attempt
    network : the loop of paho's thread
    """

    def __init__(self, config: BrokerConfig) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id=config.client_id, protocol=MQTTv5)
        self.trouble = ""
        self.network = Loop("network", _LOOP_LIMIT_S)
        self._config = config
        self._socket_error: OSError | None = None  # that ended the connection
        self._answered = False  # whether the broker has, since the last attempt
        self._reported = ""
        # paho only logs the error that ends a connection, so this client's own logger is where to catch it.
        errors = logging.Logger("paho", logging.ERROR)  # noqa: LOG001  not to be shared with other clients
        errors.addFilter(self._catch_socket_error)
        self.enable_logger(errors)

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        """Run paho's thread."""
        self.network.turn()
        code = super().loop_forever(timeout, retry_first_connection)
        self.network.rest()  # not in a `finally`: after an exception the watchdog must find the loop stuck
        return code

    def loop_stop(self) -> MQTTErrorCode:
        """End paho's thread, and close the sockets that wake it; paho leaves them open until it is collected."""
        code = super().loop_stop()
        self._reset_sockets(sockpair_only=True)
        return code

    def loop_misc(self) -> MQTTErrorCode:
        """Note a turn of paho's loop, which calls this each time."""
        self.network.turn()
        return super().loop_misc()

    def reconnect(self) -> MQTTErrorCode:
        """Connect; when that fails, set `trouble`.

        Raises
        ------
        OSError
            When it fails. No other error is raised, since paho's thread would end with it.
        """
        self.network.turn()
        self._socket_error, self._answered = None, False
        try:
            return super().reconnect()
        except (OSError, ValueError) as exc:  # ValueError: the host is no valid name
            self.trouble = f"{self._config.address}: {_reason(exc)}"
            raise exc if isinstance(exc, OSError) else OSError(str(exc)) from exc

    def note_answer(self, code: ReasonCode) -> bool:
        """Set `trouble` from the broker's answer to a connection; return whether it accepts."""
        self._answered = True
        if code.is_failure:
            self.trouble = refusal(code, self._config)
        else:
            self.trouble = self._reported = ""
        return not code.is_failure

    def note_disconnect(self, code: ReasonCode) -> bool:
        """Set `trouble` from the end of a connection; return whether it ended before the broker answered."""
        if not code.is_failure or (self._answered and self.trouble):  # we asked for it, or were refused before
            return False
        # In TLS 1.3 the broker checks our certificate after the handshake, so its alert arrives as a socket error.
        if isinstance(self._socket_error, ssl.SSLError) and not isinstance(self._socket_error, ssl.SSLEOFError):
            why = tls.reason(self._socket_error)
        elif not self._answered:
            why = f"it closed the connection before it answered; {_advice(self._config)}"
        else:
            why = f"the connection was lost ({code.getName().lower()})"
        self.trouble = f"{self._config.address}: {why}"
        return not self._answered

    def new_trouble(self) -> str:
        """Return the trouble if it has changed since the last call, else an empty string."""
        if self.trouble == self._reported:
            return ""
        self._reported = self.trouble
        return self.trouble

    def _catch_socket_error(self, record: logging.LogRecord) -> bool:
        arguments: Any = record.args
        if isinstance(arguments, tuple) and arguments and isinstance(arguments[-1], OSError):
            self._socket_error = arguments[-1]
        return False  # nothing is logged


def new_client(config: BrokerConfig) -> BrokerClient:
    """Return a client that is not connected yet.

    Raises
    ------
    ConfigError
        When a file of the configuration cannot be used.
    """
    client = BrokerClient(config)
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.max_inflight_messages_set(IN_FLIGHT)
    client.reconnect_delay_set(min_delay=1, max_delay=30)  # doubles between these; alerts should not wait longer
    client.on_socket_open = _disable_nagle
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
        When the broker cannot be reached, or the TLS handshake fails.
    """
    try:
        client.connect(config.host, config.port, config.keepalive_s)
    except OSError as exc:
        raise BrokerError(client.trouble) from exc
    client.loop_start()


def refusal(code: ReasonCode, config: BrokerConfig) -> str:
    """Return why the broker refuses, from the reason code of its CONNACK (MQTT 5, table 3-1)."""
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


def _disable_nagle(_client: Client, _userdata: object, sock: object) -> None:
    # With Nagle's algorithm a small packet, such as an alert, waits up to 40 ms for the packet before it.
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _password(config: BrokerConfig) -> str | None:
    if config.password_file is None:
        return None
    path = tls.find_file("password_file", config.password_file)
    try:
        with path.open("rb") as file:
            return file.read(_MAX_PASSWORD_BYTES).decode().rstrip("\r\n")  # editors end a file with a newline
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"password_file {path}: {exc}") from exc


def _advice(config: BrokerConfig) -> str:
    if not config.uses_tls:
        return "does it want TLS?"
    return "does it trust this certificate?" if config.cert_file else "does it want a certificate (cert_file)?"


def _reason(exc: OSError | ValueError) -> str:
    if isinstance(exc, ssl.SSLError):
        return tls.reason(exc)
    plain: dict[type[Exception], str] = {
        ConnectionRefusedError: "nothing listens there; is the broker running?",
        ConnectionResetError: "the connection was closed at once; is TLS switched on at one side only?",
        socket.gaierror: "no such host",
        TimeoutError: f"no answer within {CONNECT_TIMEOUT_S:g} s",
    }
    return plain.get(type(exc), str(exc))
