"""What a runtime tells of itself: what waits, and the sums over all streams."""

from collections import Counter
from dataclasses import dataclass, field

from edge.monitor.stream_monitor import StreamMonitor


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the classifier has not decided yet."""

    windows: int  # that wait in the queue
    oldest_s: float  # since the last block of the oldest window arrived, those being classified included; 0: none


@dataclass
class Totals:
    """Sums over all streams, those that have ended included."""

    samples_in: int = 0
    classified: int = 0
    pending: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    windows: int = 0
    shed_windows: int = 0  # of these, given up under overload
    duplicates: int = 0

    def add(self, monitor: StreamMonitor) -> None:
        """Add the account of one stream."""
        balance = monitor.balance
        self.samples_in += balance.samples_in
        self.classified += balance.classified
        self.pending += balance.pending
        self.missing.update(balance.missing)
        self.windows += monitor.windows
        self.shed_windows += monitor.shed_windows
        self.duplicates += monitor.duplicates
