"""Writes the JSON Schema of each payload for subscribers: `python -m edge.publish.schemas`."""

import json
from pathlib import Path

import msgspec

from edge.alarms.command import Command
from edge.publish.cloud_events import AlertEvent, DeviceEvent
from edge.publish.health import DeviceHealth
from edge.publish.payloads import AlarmState, DeviceStatus, Prediction, StreamAlarms

PAYLOADS: tuple[type[msgspec.Struct], ...] = (
    AlertEvent,
    AlarmState,
    Command,
    DeviceEvent,
    DeviceHealth,
    DeviceStatus,
    Prediction,
    StreamAlarms,
)
FOLDER = Path(__file__).parent / "json_schemas"


def schemas() -> dict[str, str]:
    """Return the text of each schema by its file's name."""
    return {f"{kind.__name__}.json": json.dumps(msgspec.json.schema(kind), indent=2) + "\n" for kind in PAYLOADS}


if __name__ == "__main__":
    for name, text in schemas().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
