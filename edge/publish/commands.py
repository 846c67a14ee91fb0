"""Receives commands over MQTT, checks them, and counts what became of each."""

import logging
import threading
from collections import Counter
from collections.abc import Callable

from paho.mqtt.client import MQTTMessage

from edge.alarms.command import Command
from edge.core.errors import FrameError
from edge.publish.payloads import MAX_COMMAND_BYTES, decode

_LOG = logging.getLogger(__name__)
OnCommand = Callable[[str, Command], bool]
"""Takes a stream and a command to it; returns whether the command was accepted."""


class CommandReceiver:
    """Receives commands in paho's thread; any thread may read `counts`."""

    def __init__(self) -> None:
        self.handler: OnCommand | None = None
        self._lock = threading.Lock()  # for the counts only; the handler runs without it
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """Commands so far, by result: taken, refused (by the handler) and bad (not valid)."""
        with self._lock:
            return dict(self._counts)

    def receive(self, stream: str, message: MQTTMessage) -> None:
        """Check a command and pass it to the handler."""
        result = self._handle(stream, message)
        with self._lock:
            self._counts[result] += 1

    def _handle(self, stream: str, message: MQTTMessage) -> str:
        # A broker repeats a retained command on every connect, long after the alarm that it was for.
        if message.retain:
            return "bad"
        try:
            command = decode(bytes(message.payload), Command, MAX_COMMAND_BYTES)
        except FrameError as exc:
            _LOG.info("%s: %s", message.topic, exc)
            return "bad"
        return "taken" if self.handler is not None and self.handler(stream, command) else "refused"
