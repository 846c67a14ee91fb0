"""The alarm of one label against a plain model, walked at random: windows, bad windows, commands, the end."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from edge.alarms.command import Command
from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmMachine, State
from edge.alarms.specs import AlarmOverride, alarm_specs
from edge.bundle.manifest import Label
from edge.core.samples import Cause

RATE = 250
LOST_S = 8
SECONDS = st.integers(0, 4)


class AlarmWalk(RuleBasedStateMachine):
    """Windows of 10 s come every second. The model keeps whole seconds, and looks back instead of counting on."""

    @initialize(
        on_delay=SECONDS,
        off_delay=SECONDS,
        cooldown=st.integers(0, 12),
        escalate=st.integers(0, 5),
        clear=st.sampled_from([None, 0.3]),
        latch=st.booleans(),
    )
    def begin(self, on_delay, off_delay, cooldown, escalate, clear, latch):
        self.on_delay, self.off_delay, self.cooldown, self.escalate = on_delay, off_delay, cooldown, escalate
        self.clear, self.latch = clear, latch
        override = AlarmOverride(
            on_delay_s=float(on_delay),
            off_delay_s=float(off_delay),
            cooldown_s=float(cooldown),
            escalate_s=float(escalate),
            clear_threshold=clear,
            latch=latch,
        )
        label = Label(abbreviation="A", name="a", priority="high", threshold=0.5)
        off = AlarmOverride(priority="none")
        specs = alarm_specs((label,), {"A": override, "ALARM_STORM": off})
        self.alarms = AlarmMachine("s", "e", specs, signal_lost_s=float(LOST_S))
        self.ids = set()
        self.now = -1
        self.known = None  # time of the last window with evidence
        self.run = 0  # seconds of adjacent evidence since the last change of side
        self.adjacent = False
        self.phase = "off"  # off, pending, on, ending, latched
        self.seen = False
        self.raised_at = self.escalated = None
        self.not_before = -100

    @rule(level=st.sampled_from([0.1, 0.4, 0.8]), count=st.integers(1, 4))
    def good_windows(self, level, count):
        for _ in range(count):
            self.window(level)

    @rule(pause=st.integers(0, 4))
    def end_and_come_back(self, pause):
        """Walk through a whole alarm and into the next, soon enough to fall into the cooldown of the first."""
        for level, count in ((0.8, self.on_delay + 1), (0.1, self.off_delay + 1 + pause), (0.8, self.on_delay + 1)):
            self.good_windows(level, count)

    @rule(count=st.integers(1, 5))
    def bad_windows(self, count):
        for _ in range(count):
            self.window(None)

    @rule()
    def acknowledge(self):
        self.check(self.alarms.acknowledge("A"), self.model_acknowledge())

    @precondition(lambda self: self.now >= 0)
    @rule(silence=st.integers(1, 6))
    def silence(self, silence):
        expected = [*self.model_acknowledge(), "silenced"]
        self.not_before = max(self.not_before, self.now + silence)
        events = self.alarms.on_command(Command(command="silence", label="A", silence_s=float(silence)))
        assert [event.kind for event in events] == expected

    def teardown(self):
        if hasattr(self, "alarms"):
            expected = ["cleared"] if self.phase in {"on", "ending", "latched"} else []
            self.phase = "off"
            self.check([event for event in self.alarms.finish() if event.spec.label == "A"], expected)
            assert self.alarms.state("A") is State.INACTIVE

    def window(self, level):
        self.now += 1
        outputs = None if level is None else np.array([level], np.float32)
        cause = Cause.BAD_QUALITY if level is None else Cause.PRESENT
        decision = Decision("s", self.now * RATE, (self.now + 10) * RATE, self.now + 10.0, cause, (), outputs)
        events = [event for event in self.alarms.step(decision) if event.spec.label == "A"]
        self.check(events, [*self.model_window(level), *self.model_escalation()])

    def check(self, events, expected):
        assert [event.kind for event in events] == expected
        fresh = {event.id for event in events}
        assert len(fresh) == len(events)
        assert not fresh & self.ids
        self.ids |= fresh
        states = {"off": "inactive", "pending": "pending", "on": "active", "ending": "clearing", "latched": "latched"}
        assert self.alarms.state("A").value == states[self.phase]

    def model_window(self, level):
        kinds = []
        if self.known is not None and self.now - self.known >= LOST_S:
            if self.phase == "pending":
                self.phase = "off"
            elif self.phase in {"on", "ending"}:
                kinds += self.model_end()
        if level is None:
            self.adjacent = False
            return kinds
        lasting = self.phase in {"on", "ending"} and self.clear is not None
        over = level >= (self.clear if lasting else 0.5)
        turn = {
            ("off", True): "pending",
            ("pending", False): "off",
            ("on", False): "ending",
            ("ending", True): "on",
            ("latched", True): "on",
        }.get((self.phase, over))
        if turn:
            self.seen = self.seen and turn != "pending"
            self.phase, self.run = turn, 0
        elif self.adjacent:
            self.run += 1
        self.known, self.adjacent = self.now, True
        if self.phase == "pending" and self.run >= self.on_delay and self.now >= self.not_before:
            self.phase, self.raised_at, self.escalated = "on", self.now, False
            kinds.append("raised")
        elif self.phase == "ending" and self.run >= self.off_delay:
            kinds += self.model_end()
        return kinds

    def model_escalation(self):
        on = self.phase in {"on", "ending", "latched"}
        if not on or self.seen or not self.escalate or self.escalated:
            return []
        if self.now - self.raised_at < self.escalate:
            return []
        self.escalated = True
        return ["escalated"]

    def model_acknowledge(self):
        if self.phase not in {"on", "ending", "latched"} or self.seen:
            return []
        self.seen = True
        return ["acknowledged", *(self.model_end() if self.phase == "latched" else [])]

    def model_end(self):
        if self.latch and not self.seen:
            self.phase = "latched"
            return []
        self.phase = "off"
        self.not_before = max(self.not_before, self.now + self.cooldown)
        return ["cleared"]


TestAlarmWalk = AlarmWalk.TestCase
TestAlarmWalk.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
