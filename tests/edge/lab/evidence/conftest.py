"""A replay of the synthetic patient whose alerts carry evidence."""

import pytest

from edge.lab.replay import ReplayConfig, replay_recording
from edge.sources.recordings import open_recording


@pytest.fixture(scope="session")
def report(tiny_bundle):
    """Give the report of a replay with VT, in two leads, and an electrode that falls off."""
    name = "synthetic:sinus:12,vt:14,lead_off:12"
    return replay_recording(open_recording(name), tiny_bundle, ReplayConfig(record=name))


@pytest.fixture(scope="session")
def raised(report):
    """Give the first alert that carries samples."""
    return next(alert for alert in report.alerts if alert.event == "raised" and alert.evidence.kept)
