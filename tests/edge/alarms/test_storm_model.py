"""Several alarms and their storm against a plain model, walked at random: windows, bad windows, silence."""

from collections import Counter

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from edge.alarms.command import Command
from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmMachine
from edge.alarms.specs import TECHNICAL, AlarmOverride, alarm_specs
from edge.bundle.manifest import Label
from edge.core.samples import Cause

NAMES, HIGH, STORM = "ABCD", "B", "ALARM_STORM"
RATE = 250
ROWS = st.lists(st.sampled_from(["....", "#...", "#.#.", "####", ".#.#", ".###"]), min_size=1, max_size=6)


class StormWalk(RuleBasedStateMachine):
    """Windows of 10 s come every second; no alarm has a delay. B is high, and never withheld by the storm."""

    @initialize(limit=st.integers(2, 4), within=st.integers(1, 6), off_delay=st.integers(0, 3))
    def begin(self, limit, within, off_delay):
        self.limit, self.within, self.off_delay = limit, within, off_delay
        labels = [
            Label(abbreviation=name, name=name, priority="high" if name == HIGH else "low", threshold=0.5)
            for name in NAMES
        ]
        overrides = {spec.label: AlarmOverride(priority="none") for spec in TECHNICAL} | {
            HIGH: AlarmOverride(escalate_s=0.0),
            STORM: AlarmOverride(storm_limit=limit, storm_window_s=float(within), off_delay_s=float(off_delay)),
        }
        self.alarms = AlarmMachine("s", "e", alarm_specs(labels, overrides), signal_lost_s=1e9)
        self.now = -1
        self.on, self.seen, self.withheld = set(), set(), set()
        self.rest_until = dict.fromkeys(NAMES, -1)
        self.arrivals = []  # (time, label) of every alarm
        self.storm_on, self.quiet_since = False, None
        self.storm_counts = Counter()

    @rule(rows=ROWS)
    def good_windows(self, rows):
        for row in rows:
            self.window(np.array([0.9 if letter == "#" else 0.1 for letter in row], np.float32))

    @rule(count=st.integers(1, 3))
    def bad_windows(self, count):
        for _ in range(count):
            self.window(None)

    @precondition(lambda self: self.now >= 0)
    @rule(label=st.sampled_from(NAMES), silence=st.integers(1, 5))
    def silence(self, label, silence):
        expected = [(label, "acknowledged", None)] if label in self.on - self.seen else []
        self.seen |= self.on & {label}
        self.rest_until[label] = max(self.rest_until[label], self.now + silence)
        events = self.alarms.on_command(Command(command="silence", label=label, silence_s=float(silence)))
        assert self.described(events) == [*expected, (label, "silenced", None)]

    def window(self, outputs):
        self.now += 1
        cause = Cause.PRESENT if outputs is not None else Cause.BAD_QUALITY
        decision = Decision("s", self.now * RATE, (self.now + 10) * RATE, self.now + 10.0, cause, (), outputs)
        expected, storm = [], self.storm_on
        for index, label in enumerate(NAMES):
            if outputs is not None:
                expected += self.over(label, storm) if outputs[index] > 0.5 else self.under(label)
        assert self.described(self.alarms.step(decision)) == [*expected, *self.model_storm()]

    def over(self, label, storm):
        if label in self.on:
            return []
        if (storm and label != HIGH) or self.now < self.rest_until[label]:
            if label not in self.withheld:
                self.arrive(label, new=True)
            self.withheld.add(label)
            return []
        self.arrive(label, new=label not in self.withheld)
        self.withheld.discard(label)
        self.on.add(label)
        return [(label, "raised", None)]

    def under(self, label):
        self.withheld.discard(label)
        was_on = label in self.on
        self.on.discard(label)
        self.seen.discard(label)
        return [(label, "cleared", None)] if was_on else []

    def arrive(self, label, *, new):
        self.arrivals.append((self.now, label))
        self.storm_counts.update([label] if new else [])

    def model_storm(self):
        last = self.arrivals[-self.limit :]
        if len(last) == self.limit and self.now - last[0][0] < self.within:
            self.quiet_since = None
            if self.storm_on:
                return []
            self.storm_on, self.storm_counts = True, Counter(label for _, label in last)
            return [(STORM, "raised", dict(self.storm_counts))]
        if not self.storm_on:
            return []
        self.quiet_since = self.now if self.quiet_since is None else self.quiet_since
        if self.now - self.quiet_since < self.off_delay:
            return []
        self.storm_on = False
        return [(STORM, "cleared", dict(self.storm_counts))]

    @staticmethod
    def described(events):
        return [(event.spec.label, event.kind, event.storm_counts) for event in events]


TestStormWalk = StormWalk.TestCase
TestStormWalk.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
