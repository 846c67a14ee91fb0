"""What the classifier thread hands to a sink: one decision of one stream and the alarm events it caused."""

from collections.abc import Callable
from dataclasses import dataclass

from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmEvent
from edge.monitor.stream_monitor import StreamMonitor


@dataclass(frozen=True, slots=True)
class StreamUpdate:
    """A step of one stream."""

    monitor: StreamMonitor
    decision: Decision | None  # None at the end of a stream, after a command, and when another model takes over
    events: tuple[AlarmEvent, ...]  # caused by the decision, the end, the command or the other model
    latency_s: float  # since the arrival of the window's last block, or of the command


Sink = Callable[[StreamUpdate], None]
"""Receives each update. It is called in the classifier thread, in order per stream, so it must not block."""
