"""The table `[publish]` of the configuration."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta


class HomeAssistantConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the device announces itself to Home Assistant (MQTT discovery)."""

    prefix: Annotated[
        str,
        Meta(description="Discovery prefix that Home Assistant listens on. Letters, digits, _, - and /, 64 at most."),
    ] = "homeassistant"
    remove_at_end: Annotated[
        bool, Meta(description="Remove the device and its streams from Home Assistant when the service stops.")
    ] = False

    def __post_init__(self) -> None:
        """Raise ValueError when the prefix cannot begin a topic."""
        if not re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", self.prefix) or len(self.prefix) > 64:
            raise ValueError(f"prefix {self.prefix[:80]!r} must be letters, digits, _, - and /, 64 at most")


class PublishConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is published beside alerts, alarm states and status, and where messages wait for the broker."""

    predictions: Annotated[bool, Meta(description="Publish the probabilities of every window too.")] = False
    queue_messages: Annotated[
        int, Meta(description="Most messages that wait in memory while the broker is away. 1 to 1000000.")
    ] = 10_000
    outbox: Annotated[
        str | None,
        Meta(
            description="File in which alerts wait for the broker. "
            "It survives a crash and a power cut. Without it, alerts wait in memory."
        ),
    ] = None
    outbox_messages: Annotated[
        int,
        Meta(
            description="Most alerts that wait in the outbox. "
            "When it is full, the least important are dropped first. 1 to 1000000."
        ),
    ] = 50_000
    outbox_mb: Annotated[
        int, Meta(description="Most megabytes of alerts that wait in the outbox. The file never shrinks. 1 to 1000000.")
    ] = 256
    evidence: Annotated[
        bool,
        Meta(
            description="Attach the samples of the deciding window to each alert. An alert without them is about 1 KB."
        ),
    ] = True
    alert_log: Annotated[
        str | None,
        Meta(
            description="File that keeps the latest alerts on this device, for `ecg-edge evidence`. "
            "Without it, none are kept."
        ),
    ] = None
    alert_log_mb: Annotated[
        int,
        Meta(
            description="Most megabytes of the alert log, its three older files included. "
            "The oldest alerts are dropped. 1 to 1000000."
        ),
    ] = 64
    home_assistant: Annotated[
        HomeAssistantConfig | None,
        Meta(description="Announces the device to Home Assistant. Without this table it is not announced."),
    ] = None

    def __post_init__(self) -> None:
        """Raise ValueError for a size out of range."""
        for key in ("queue_messages", "outbox_messages", "outbox_mb", "alert_log_mb"):
            if not 1 <= getattr(self, key) <= 1_000_000:
                raise ValueError(f"{key} {getattr(self, key)} is not in 1 to 1000000")
