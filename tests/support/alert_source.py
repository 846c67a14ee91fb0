"""A program to be killed: it raises and clears alarms of three streams as fast as its outbox accepts them.

    python alert_source.py PORT DEVICE OUTBOX EPOCH [drain]

With `drain` it makes no alerts: it sends those in the file, and ends.
"""

import sys
import threading
from pathlib import Path

import numpy as np

from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmMachine
from edge.alarms.specs import AlarmOverride, alarm_specs
from edge.bundle.manifest import BundleRef, Label
from edge.core.samples import Cause
from edge.mqtt.client import BrokerConfig
from edge.publish.outbox import Outbox
from edge.publish.publisher import Publisher

STREAMS = ("s0", "s1", "s2")
RATE = 250
_LABEL = Label(abbreviation="AF", name="Atrial fibrillation", priority="high")
_MAX_WAITING = 100  # far below the capacity of the outbox's queue, so that none is dropped there


def decision(stream: str, index: int) -> Decision:
    """Return the 1 s window that starts at second `index`; every other one is over the threshold."""
    outputs = np.array([0.9 - 0.8 * (index % 2)], np.float32)
    return Decision(stream, index * RATE, (index + 1) * RATE, index + 1.0, Cause.PRESENT, ("II",), outputs)


def flow(publisher: Publisher, outbox: Outbox, epoch: str) -> None:
    """Publish the event of every window of every stream until killed."""
    specs = alarm_specs((_LABEL,), {"ALARM_STORM": AlarmOverride(priority="none")})
    machines = {stream: AlarmMachine(stream, epoch, specs) for stream in STREAMS}
    pause, index = threading.Event(), 0
    while True:
        for stream, machine in machines.items():
            for event in machine.step(decision(stream, index)):
                publisher.publish_event(event, sample_rate_hz=RATE)
        index += 1
        while len(outbox) > _MAX_WAITING:
            pause.wait(0.001)


def main() -> None:
    """Run until killed, or until the outbox is empty."""
    port, device, path, epoch, *drain = sys.argv[1:]
    outbox = Outbox(Path(path), 10_000)
    bundle = BundleRef(name="rhythm", version="1", sha256="0" * 64)
    publisher = Publisher(
        BrokerConfig(host="127.0.0.1", port=int(port)), device, version="1", bundle=bundle, outbox=outbox
    )
    publisher.connect()
    if drain:
        publisher.close(60.0)
        print(publisher.health)  # noqa: T201  the test reads it
    else:
        flow(publisher, outbox, epoch)


if __name__ == "__main__":
    main()
