"""Commands that come over MQTT: which are passed on, and what became of each. Knows neither topics nor a client."""

import logging
import threading
from collections import Counter
from collections.abc import Callable

from paho.mqtt.client import MQTTMessage

from edge.alarms.command import Command
from edge.core.errors import FrameError
from edge.publish.payloads import MAX_COMMAND_BYTES, decode

_LOG = logging.getLogger(__name__)
OnCommand = Callable[[str, Command], bool]  # stream, command; says whether it could be passed on


class Commands:
    """Takes commands in paho's thread; any thread may ask what became of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._on_command: OnCommand | None = None

    @property
    def wanted(self) -> bool:
        """Whether somebody obeys."""
        return self._on_command is not None

    @property
    def counts(self) -> dict[str, int]:
        """How many were taken, refused and bad."""
        with self._lock:
            return dict(self._counts)

    def on_command(self, on_command: OnCommand) -> None:
        """Pass commands on to `on_command`."""
        self._on_command = on_command

    def take(self, stream: str, message: MQTTMessage) -> None:
        """Pass a command on; one that is retained is of the past, and a broker would repeat it for ever."""
        try:
            command = None if message.retain else decode(bytes(message.payload), Command, MAX_COMMAND_BYTES)
        except FrameError as exc:
            command = None
            _LOG.info("%s: %s", message.topic, exc)
        taken = command is not None and self._on_command is not None and self._on_command(stream, command)
        with self._lock:
            self._counts["bad" if command is None else "taken" if taken else "refused"] += 1
