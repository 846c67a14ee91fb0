"""What is published, and where it waits for the broker: the tables `[publish]` of the configuration."""

import re

import msgspec


class HomeAssistantConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the device is announced to Home Assistant."""

    prefix: str = "homeassistant"  # its discovery prefix
    remove_at_end: bool = False  # take device and streams out again when the service stops

    def __post_init__(self) -> None:
        """Raise ValueError when the prefix cannot stand at the beginning of a topic."""
        if not re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", self.prefix) or len(self.prefix) > 64:
            raise ValueError(f"prefix {self.prefix[:80]!r} must be letters, digits, _, - and /, 64 at most")


class PublishConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is published beside alerts, alarm states and the status, and where it waits for the broker."""

    predictions: bool = False
    queue_messages: int = 10_000  # that wait in memory
    outbox: str | None = None  # file in which alerts wait; in memory where none is named
    outbox_messages: int = 50_000
    outbox_mb: int = 256  # of payloads in it
    evidence: bool = True  # alerts carry the samples of the window that decided
    alert_log: str | None = None  # file that keeps the last alerts on this device
    alert_log_mb: int = 64
    home_assistant: HomeAssistantConfig | None = None  # announced where the table is there

    def __post_init__(self) -> None:
        """Raise ValueError for a queue, an outbox or a log that cannot be meant."""
        for key in ("queue_messages", "outbox_messages", "outbox_mb", "alert_log_mb"):
            if not 1 <= getattr(self, key) <= 1_000_000:
                raise ValueError(f"{key} {getattr(self, key)} is not in 1 to 1000000")
