"""Hysteresis, cooldown, silence, escalation and storms, by hand-written windows."""

import numpy as np
import pytest

from edge.alarms.command import Command
from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmMachine, State
from edge.alarms.specs import AlarmOverride, alarm_specs
from edge.bundle.manifest import Label
from edge.core.errors import ConfigError
from edge.core.samples import Cause

RATE = 250
LEVELS = {"#": 0.8, "+": 0.4, ".": 0.1}


def window(index: int, *letters: str) -> Decision:
    """Return window `index` of 10 s every second, by letters: `#` over, `.` under, `+` between; `x` bad, `s` shed."""
    good = letters[0] not in "xs"
    return Decision(
        stream="s",
        first_sample=index * RATE,
        end_sample=(index + 10) * RATE,
        end_s=index + 10.0,
        cause=Cause.PRESENT if good else Cause.SHED if "s" in letters else Cause.BAD_QUALITY,
        leads=("II",) if good else (),
        probabilities=np.array([LEVELS[letter] for letter in letters], np.float32) if good else None,
    )


def machine(priority: str = "medium", storm: AlarmOverride | None = None, **changes: object) -> AlarmMachine:
    """Return a machine for one label A, with a threshold of 0.5."""
    label = Label(abbreviation="A", name="a", priority=priority, threshold=0.5)
    overrides = {"A": AlarmOverride(**changes)} | ({} if storm is None else {"ALARM_STORM": storm})
    return AlarmMachine("s", "e", alarm_specs((label,), overrides))


def play(alarms: AlarmMachine, letters: str, first: int = 0) -> list[str]:
    """Return what happened to the label A."""
    events = [
        (index, event) for index, letter in enumerate(letters, first) for event in alarms.step(window(index, letter))
    ]
    return [f"{index}:{event.kind}" for index, event in events if event.spec.label == "A"]


@pytest.mark.parametrize(
    ("changes", "letters", "expected"),
    [
        ({}, "#+", ["0:raised", "1:cleared"]),
        ({"clear_threshold": 0.3}, "++#+++.", ["2:raised", "6:cleared"]),
        ({"clear_threshold": 0.3, "off_delay_s": 2.0}, "#.+...", ["0:raised", "5:cleared"]),
        ({"clear_threshold": 0.3, "on_delay_s": 2.0}, "#+##+##", []),  # between counts as under while pending
        ({"clear_threshold": 0.3, "on_delay_s": 1.0}, "##+.", ["1:raised", "3:cleared"]),
        ({"clear_threshold": 0.3, "latch": True}, "#.+#", ["0:raised"]),
        ({"clear_threshold": 0.3}, "#" + "x" * 30 + "+", ["0:raised", "30:cleared"]),
        (
            {"clear_threshold": 0.3},
            "#" + "x" * 29 + "+",
            ["0:raised", "30:cleared"],
        ),  # 0.4 does not raise it again
        ({"cooldown_s": 4.0}, "#.#.#.#", ["0:raised", "1:cleared", "6:raised"]),
        (
            {"cooldown_s": 4.0},
            "#.######",
            ["0:raised", "1:cleared", "5:raised"],
        ),  # a condition that lasts
        ({"cooldown_s": 4.0}, "#.##....", ["0:raised", "1:cleared"]),
        ({"escalate_s": 3.0}, "#####", ["0:raised"]),  # medium
        ({"escalate_s": 3.0, "priority": "high"}, "########", ["0:raised", "3:escalated"]),
        (
            {"escalate_s": 3.0, "priority": "high"},
            "#xxxxx",
            ["0:raised", "3:escalated"],
        ),  # also without evidence
        ({"escalate_s": 3.0, "priority": "high"}, "###.###", ["0:raised", "3:cleared", "4:raised"]),
        ({"escalate_s": 3.0, "priority": "high", "latch": True}, "#.....", ["0:raised", "3:escalated"]),
        ({"escalate_s": 0.0, "priority": "high"}, "#" * 100, ["0:raised"]),
        ({"priority": "high"}, "#" * 62, ["0:raised", "60:escalated"]),
        ({"on_delay_s": 4.0}, "#s#ss#", ["5:raised"]),  # shed windows are as if the hop were longer
        ({"on_delay_s": 4.0}, "#s#xs####", ["7:raised"]),
        ({"off_delay_s": 4.0}, "#.s.s.", ["0:raised", "5:cleared"]),
        ({"off_delay_s": 3.0}, "#" + "s" * 40 + "#", ["0:raised", "30:cleared", "41:raised"]),
    ],
)
def test_table_of_windows_and_events(changes, letters, expected) -> None:
    assert play(machine(**changes), letters) == expected


def test_an_acknowledged_alarm_does_not_escalate() -> None:
    alarms = machine("high", escalate_s=3.0)
    play(alarms, "##")
    alarms.acknowledge("A")
    assert play(alarms, "#####", 2) == []


def test_a_silenced_alarm_is_acknowledged_and_is_raised_again_only_afterwards() -> None:
    alarms = machine("high")
    play(alarms, "#")
    command = Command(command="silence", label="A", silence_s=5.0)
    events = alarms.on_command(command)
    assert [event.kind for event in events] == ["acknowledged", "silenced"]
    assert play(alarms, ".#####", 1) == ["1:cleared", "5:raised"]
    assert [event.kind for event in machine().on_command(command)] == []  # before the first window there is no time


def test_an_alarm_can_be_silenced_before_it_is_raised() -> None:
    alarms = machine()
    play(alarms, ".")
    (event,) = alarms.on_command(Command(command="silence", label="A", silence_s=3.0))
    assert (event.kind, event.spec.label) == ("silenced", "A")
    assert play(alarms, "###", 1) == ["3:raised"]


def test_a_command_for_an_alarm_that_is_gone_does_nothing() -> None:
    alarms = machine()
    (raised,) = alarms.step(window(0, "#"))
    play(alarms, ".#", 1)
    assert alarms.on_command(Command(command="acknowledge", label="A", alarm_id=str(raised.alarm_id))) == []
    assert alarms.on_command(Command(command="acknowledge", label="B")) == []
    assert [event.kind for event in alarms.on_command(Command(command="acknowledge", label="A"))] == ["acknowledged"]


def storm_machine(count: int = 6) -> AlarmMachine:
    """Return a machine for alarms A, B, ... (B is high), of which three within 10 s are a storm."""
    names = "ABCDEFGH"[:count]
    labels = [
        Label(abbreviation=name, name=name, priority="high" if name == "B" else "low", threshold=0.5) for name in names
    ]
    storm = AlarmOverride(storm_limit=3, storm_window_s=10.0, off_delay_s=2.0)
    return AlarmMachine("s", "e", alarm_specs(labels, {"ALARM_STORM": storm}))


def play_all(alarms: AlarmMachine, rows: list[str]) -> list[str]:
    events = [(index, event) for index, row in enumerate(rows) for event in alarms.step(window(index, *row))]
    return [f"{index}:{event.spec.label} {event.kind}" for index, event in events]


def test_a_storm_is_one_alarm_and_withholds_all_below_high_priority() -> None:
    rows = ["#.....", "#.#...", "#.##..", "######", "######"]
    assert play_all(storm_machine(), rows) == [
        "0:A raised",
        "1:C raised",
        "2:D raised",
        "2:ALARM_STORM raised",
        "3:B raised",
    ]


def test_after_a_storm_a_withheld_alarm_that_lasts_is_raised() -> None:
    alarms = storm_machine()
    events = play_all(alarms, ["#.##..", "#.###.", *["#.###."] * 12])
    assert events == [
        "0:A raised",
        "0:C raised",
        "0:D raised",
        "0:ALARM_STORM raised",
        "12:ALARM_STORM cleared",
        "13:E raised",
    ]


def test_a_storm_counts_alarms_that_were_raised_and_withheld() -> None:
    alarms = storm_machine()
    rows = ["#.##..", "......", *["#...##", "......"] * 2, *["......"] * 12]
    storm = [
        event
        for index, row in enumerate(rows)
        for event in alarms.step(window(index, *row))
        if event.spec.label == "ALARM_STORM"
    ]
    assert [(event.kind, event.storm_counts) for event in storm] == [
        ("raised", {"A": 1, "C": 1, "D": 1}),
        ("cleared", {"A": 3, "C": 1, "D": 1, "E": 2, "F": 2}),
    ]


def test_alarms_that_flutter_keep_the_storm_alive() -> None:
    """Withheld alarms count too: otherwise the storm would end and begin again for as long as the cause lasts."""
    events = play_all(storm_machine(), ["#.##..", *["......", "#.##.."] * 30])
    assert [line for line in events if "STORM" in line] == ["0:ALARM_STORM raised"]
    assert len(events) == 7  # three raised, three cleared, the storm


def test_a_storm_can_be_switched_off() -> None:
    alarms = machine(storm=AlarmOverride(priority="none"))
    assert len(play(alarms, "#." * 40)) == 80
    assert alarms.state("ALARM_STORM") is State.INACTIVE


@pytest.mark.parametrize(
    ("label", "changes", "text"),
    [
        ("A", {"clear_threshold": 0.6}, "clear_threshold 0.6 is not in 0 to the threshold, 0.5"),
        ("A", {"clear_threshold": 0.0}, "clear_threshold"),
        ("A", {"cooldown_s": -1.0}, "cooldown_s -1.0"),
        ("A", {"escalate_s": 1e9}, "escalate_s"),
        ("A", {"storm_limit": 3}, "ALARM_STORM"),
        ("ALARM_STORM", {"storm_limit": 0}, "storm_limit 0"),
        ("NO_DATA", {"clear_threshold": 0.5}, "it has no threshold"),
    ],
)
def test_an_override_out_of_range_is_refused(label, changes, text) -> None:
    with pytest.raises(ConfigError, match=text):
        alarm_specs((Label(abbreviation="A", name="a"),), {label: AlarmOverride(**changes)})
