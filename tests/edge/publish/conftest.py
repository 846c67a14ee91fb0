"""Settings of real brokers, and events of real alarms to publish."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmEvent, AlarmMachine
from edge.alarms.specs import AlarmOverride, alarm_specs
from edge.bundle.manifest import BundleRef, Label
from edge.core.samples import Cause
from edge.mqtt.client import BrokerConfig
from edge.mqtt.embedded_broker import embedded_broker


@pytest.fixture(scope="session", params=["mosquitto", "embedded"])
def config(request) -> Iterator[BrokerConfig]:
    """Give the settings of each kind of broker in turn."""
    if request.param == "mosquitto":
        host, port = request.getfixturevalue("broker")
        yield BrokerConfig(host=host, port=port)
    else:
        with embedded_broker() as (host, port):
            yield BrokerConfig(host=host, port=port)


@pytest.fixture(scope="session")
def bundle() -> BundleRef:
    """Give the bundle that all payloads name."""
    return BundleRef(name="rhythm", version="1", sha256="0" * 64)


def _decision(index: int, probability: float) -> Decision:
    """Return the 10 s window that ends at second `index + 10`, at 250 Hz."""
    outputs = np.array([probability], np.float32)
    return Decision("s1", index * 250, (index + 10) * 250, index + 10.0, Cause.PRESENT, ("II",), outputs)


def _events(count: int = 1) -> list[AlarmEvent]:
    """Return raised and cleared for `count` alarms after another."""
    label = Label(abbreviation="AF", name="Atrial fibrillation", snomed="164889003", priority="high")
    alarms = AlarmMachine("s1", "e1", alarm_specs((label,), {"ALARM_STORM": AlarmOverride(priority="none")}))
    return [event for index in range(2 * count) for event in alarms.step(_decision(index, 0.9 - 0.8 * (index % 2)))]


@pytest.fixture(scope="session")
def decision() -> Callable[[int, float], Decision]:
    """Give the function that makes a window."""
    return _decision


@pytest.fixture(scope="session")
def events() -> Callable[..., list[AlarmEvent]]:
    """Give the function that makes events."""
    return _events
