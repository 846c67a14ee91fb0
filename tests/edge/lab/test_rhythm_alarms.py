"""The alarms of the rules on beats, from a recording to the report."""

import pytest

from edge.bundle.shipped import find_bundle
from edge.lab.replay import ReplayConfig, replay_recording
from edge.sources.recordings import open_recording

NAME = "synthetic:sinus:30 vt:15 sinus:40"


def replay(via):
    """Return the alerts of a patient with 15 s of ventricular tachycardia."""
    return replay_recording(open_recording(NAME), find_bundle("rhythm"), ReplayConfig(record=NAME, via=via)).alerts


@pytest.fixture(scope="module")
def alerts():
    return replay("direct")


def test_one_tachycardia_raises_one_alarm(alerts):
    assert [alert.label for alert in alerts if alert.event == "raised"] == ["VT"]


def test_an_alarm_ends_with_its_rhythm(alerts):
    """Rhythms were once stepped for a whole batch before its first decision, so alarms stayed on in a fast replay."""
    (raised,) = (alert for alert in alerts if alert.event == "raised")
    (cleared,) = (alert for alert in alerts if alert.event == "cleared")
    assert cleared.reason == "condition_ended"
    assert 30 < raised.end_s < 40
    assert 45 < cleared.end_s < 60
    assert raised.probability > 0.5


def test_rhythm_alarms_are_equal_over_another_transport(alerts):
    """Other blocks, and so other batches, give the same events."""
    other = replay("serial")
    assert [(one.id, one.label, one.event, one.end_s) for one in alerts] == [
        (one.id, one.label, one.event, one.end_s) for one in other
    ]
