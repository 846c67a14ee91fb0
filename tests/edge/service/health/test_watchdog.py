"""The watchdog with a test clock: its pings and its status."""

import logging

import pytest

from edge.core.loops import Loop
from edge.service.health.watchdog import OLDEST_S, Watchdog


class RecordingNotifier:
    """Records what systemd would receive."""

    watchdog_s = 8.0

    def __init__(self):
        self.pings = 0
        self.statuses = []

    def ping(self):
        self.pings += 1

    def status(self, text):
        self.statuses.append(text)


class Service:
    """A service of one loop, with a test clock."""

    def __init__(self):
        self.now_s = 100.0
        self.oldest_s = 0.0
        self.state = "streams: 1"
        self.notifier = RecordingNotifier()
        self.loop = Loop("classifier", 5.0, lambda: self.now_s)
        self.watchdog = Watchdog(
            self.notifier,
            loops=lambda: [self.loop],
            oldest_s=lambda: self.oldest_s,
            status_line=lambda: self.state,
            clock_s=lambda: self.now_s,
        )

    def pings_in(self, seconds):
        before = self.notifier.pings
        for _ in range(2 * seconds):
            self.now_s += 0.5
            self.watchdog.check()
        return self.notifier.pings - before


@pytest.fixture
def service():
    return Service()


def test_it_pings_four_times_in_each_period(service):
    assert service.pings_in(80) == 40


def test_a_loop_that_rests_may_rest_for_ever(service):
    service.loop.turn()
    service.loop.rest()
    assert service.pings_in(1000) == 500


def test_a_loop_that_stops_turning_stops_the_pings_until_it_turns_again(service, caplog):
    service.loop.turn()
    assert service.pings_in(5) > 0
    assert service.pings_in(20) == 0
    assert service.notifier.statuses[-1] == "stuck: classifier has not turned for 24 s"
    service.loop.turn()
    assert service.pings_in(4) > 0
    assert service.notifier.statuses[-1] == "streams: 1"
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        "stuck: classifier has not turned for 6 s"
    ]
    assert caplog.records[-1].message == "all loops turn again"


def test_a_window_that_waits_too_long_stops_the_pings(service):
    service.oldest_s = OLDEST_S
    assert service.pings_in(4) > 0
    service.oldest_s = OLDEST_S + 1
    assert service.pings_in(20) == 0
    assert service.notifier.statuses[-1] == "stuck: a window has waited 31 s for its decision"


def test_a_status_is_sent_once(service):
    service.pings_in(10)
    service.state = "streams: 2"
    service.pings_in(10)
    assert service.notifier.statuses == ["streams: 1", "streams: 2"]


def test_without_a_watchdog_only_the_status_is_sent(service):
    service.notifier.watchdog_s = None
    assert service.pings_in(100) == 0
    assert service.notifier.statuses == ["streams: 1"]
