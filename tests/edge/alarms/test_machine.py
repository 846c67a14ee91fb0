"""The alarms: hand-written tables of windows and the events that must follow, and what holds for any windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.alarms.decision import Decision
from edge.alarms.machine import AlarmMachine, AlarmSpec, State
from edge.alarms.specs import TECHNICAL, AlarmOverride, alarm_specs
from edge.bundle.manifest import Label
from edge.core.errors import ConfigError, StreamError
from edge.core.samples import Cause

RATE = 250
AF = Label(abbreviation="AF", name="Atrial fibrillation", priority="medium", threshold=0.5)
NOISE = Label(abbreviation="NOISE", name="Noise", kind="technical", priority="low", threshold=0.9, on_delay_s=2.0)
CAUSES = {"x": Cause.BAD_QUALITY, "o": Cause.LEAD_OFF, "g": Cause.SEQUENCE_GAP}


def window(index: int, letter: str) -> Decision:
    """Return window `index` of 10 s every second: `#` AF, `.` none, `n` noise over AF, else a bad window."""
    cause = CAUSES.get(letter, Cause.PRESENT)
    outputs = np.array([0.2 if letter == "." else 0.8, 0.95 if letter == "n" else 0.1], np.float32)
    return Decision(
        stream="s",
        first_sample=index * RATE,
        end_sample=(index + 10) * RATE,
        end_s=index + 10.0,
        cause=cause,
        leads=("II",) if cause is Cause.PRESENT else (),
        probabilities=outputs if cause is Cause.PRESENT else None,
    )


def machine(lost_s: float = 30.0, **changes: object) -> AlarmMachine:
    """Return a machine for AF and NOISE with the technical alarms; `changes` are AF's."""
    specs = alarm_specs((AF, NOISE), {"AF": AlarmOverride(**changes)})
    return AlarmMachine("s", "e", specs, signal_lost_s=lost_s)


def play(alarms: AlarmMachine, letters: str, label: str = "AF") -> list[str]:
    """Return what happened to one label, as `window:what` and the reason where there is one."""
    events = [(index, event) for index, letter in enumerate(letters) for event in alarms.step(window(index, letter))]
    return [
        f"{index}:{event.kind}" + (f"({event.reason})" if event.reason else "")
        for index, event in events
        if event.spec.label == label
    ]


@pytest.mark.parametrize(
    ("changes", "letters", "expected"),
    [
        ({}, "..##..", ["2:raised", "4:cleared(condition_ended)"]),
        ({"on_delay_s": 2.0}, ".##.##.", []),
        ({"on_delay_s": 2.0}, ".###.", ["3:raised", "4:cleared(condition_ended)"]),
        ({"on_delay_s": 2.0}, "##xx##x#", ["5:raised"]),  # 1 s before the bad windows, 1 s after
        ({"on_delay_s": 2.0}, "#x#x#x#x#", []),  # no two good windows follow each other
        ({"on_delay_s": 2.0}, "##nn##", ["5:raised"]),  # noise is a bad window too
        ({"on_delay_s": 1.0}, "nnnnn", []),
        ({"off_delay_s": 3.0}, "#...#....", ["0:raised", "8:cleared(condition_ended)"]),
        ({"off_delay_s": 2.0}, "#.xxx..", ["0:raised"]),
        ({"off_delay_s": 2.0}, "#.xxx...", ["0:raised", "7:cleared(condition_ended)"]),
        ({"latch": True}, "#...", ["0:raised"]),
        ({"latch": True}, "#..#..", ["0:raised"]),
        ({"priority": "none"}, "#####", []),
        ({"threshold": 0.9}, "#####", []),
    ],
)
def test_table_of_windows_and_events(changes, letters, expected) -> None:
    assert play(machine(**changes), letters) == expected


@pytest.mark.parametrize("bad", ["x", "o", "g", "n"])
def test_an_alarm_ends_when_the_signal_is_lost_for_too_long(bad) -> None:
    assert play(machine(5.0), "##" + bad * 10) == ["0:raised", "6:cleared(signal_lost)"]


def test_a_running_on_delay_does_not_outlive_the_signal() -> None:
    assert play(machine(3.0, on_delay_s=2.0), "##xxx##") == []


def test_windows_that_are_far_apart_pass_no_delay_time() -> None:
    alarms = machine(on_delay_s=5.0)
    events = [event for index in (0, 20) for event in alarms.step(window(index, "#"))]
    assert events == []
    assert alarms.state("AF") is State.PENDING


@pytest.mark.parametrize(
    ("letters", "label", "expected"),
    [
        ("." + "o" * 6, "LEAD_OFF", ["6:raised"]),
        ("." + "o" * 6 + "...", "LEAD_OFF", ["6:raised", "9:cleared(condition_ended)"]),
        ("o" * 5 + "." + "o" * 5, "LEAD_OFF", []),
        ("x" * 6, "POOR_SIGNAL", ["5:raised"]),
        ("xnnxnx", "POOR_SIGNAL", ["5:raised"]),  # bad quality and noise alternate
        ("xxx.xx", "POOR_SIGNAL", []),
        ("x" * 6 + "." * 10 + "x" + "." * 11, "POOR_SIGNAL", ["5:raised", "27:cleared(condition_ended)"]),
        ("g" * 6 + "o" * 3, "NO_DATA", ["5:raised", "8:cleared(condition_ended)"]),
        ("nnn", "NOISE", ["2:raised"]),
        ("nn.n", "NOISE", []),
    ],
)
def test_technical_alarms(letters, label, expected) -> None:
    assert play(machine(), letters, label) == expected


def test_a_latched_alarm_ends_when_it_is_acknowledged() -> None:
    alarms = machine(latch=True)
    play(alarms, "#.")
    assert alarms.state("AF") is State.LATCHED
    assert [(e.kind, e.reason) for e in alarms.acknowledge("AF")] == [
        ("acknowledged", None),
        ("cleared", "condition_ended"),
    ]
    assert alarms.acknowledge("AF") == []
    assert alarms.state("AF") is State.INACTIVE


def test_an_acknowledged_alarm_stays_until_its_condition_ends() -> None:
    alarms = machine(latch=True)
    play(alarms, "#")
    assert [e.kind for e in alarms.acknowledge("AF")] == ["acknowledged"]
    assert alarms.state("AF") is State.ACTIVE
    assert [e.kind for e in alarms.step(window(1, "."))] == ["cleared"]


def test_without_an_alarm_an_acknowledgement_has_no_event() -> None:
    alarms = machine(on_delay_s=5.0)
    assert alarms.acknowledge("AF") == []
    play(alarms, "##")
    assert alarms.acknowledge("AF") == []
    assert alarms.acknowledge("NO_SUCH") == []


@pytest.mark.parametrize("letters", ["#", "#."])
def test_the_end_of_the_stream_clears_every_alarm_that_is_on(letters) -> None:
    alarms = machine(latch=True)
    assert alarms.finish() == []
    play(alarms, letters)
    assert [(e.kind, e.reason) for e in alarms.finish()] == [("cleared", "stream_end")]
    assert alarms.finish() == []


def test_an_event_has_the_place_and_the_leads_of_its_window() -> None:
    alarms = machine(on_delay_s=2.0)
    (event,) = [event for index, letter in enumerate(".###") for event in alarms.step(window(index, letter))]
    assert (event.onset_sample, event.onset_s) == (11 * RATE, 11.0)
    assert (event.first_sample, event.end_sample, event.end_s) == (3 * RATE, 13 * RATE, 13.0)
    assert event.leads == ("II",)
    assert event.probability == pytest.approx(0.8)
    assert event.spec.threshold == 0.5
    # A subscriber that knows this id must know it after any update too.
    assert str(event.alarm_id) == "de8a2426-337d-5dcb-91fd-72aac3a3e8a6"


def test_a_decision_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(StreamError, match="a good window has probabilities"):
        Decision("s", 0, 2500, 10.0, Cause.LEAD_OFF, (), np.zeros(2, np.float32))


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({"af": AlarmOverride()}, "did you mean 'AF'"),
        ({"LEADOFF": AlarmOverride()}, "did you mean 'LEAD_OFF'"),
        ({"AF": AlarmOverride(threshold=0.0)}, "threshold 0.0 is not in"),
        ({"AF": AlarmOverride(on_delay_s=-1.0)}, "on_delay_s -1.0"),
        ({"NO_DATA": AlarmOverride(threshold=0.5)}, "it has no threshold"),
    ],
)
def test_a_wrong_override_is_named(overrides, text) -> None:
    with pytest.raises(ConfigError, match=text):
        alarm_specs((AF,), overrides)


def test_a_label_cannot_take_the_name_of_a_technical_alarm() -> None:
    with pytest.raises(ConfigError, match="LEAD_OFF"):
        alarm_specs((Label(abbreviation="LEAD_OFF", name="?"),))


def test_each_cause_belongs_to_at_most_one_technical_alarm() -> None:
    causes = [cause for spec in TECHNICAL for cause in spec.causes]
    assert sorted(causes) == sorted(set(Cause) - {Cause.PRESENT, Cause.TAIL})


def _over(letter: str, spec: AlarmSpec) -> bool | None:
    """Return what a letter means for a label, worked out apart from the code under test."""
    if spec.label == "AF":
        return {"#": True, ".": False}.get(letter)
    return {"n": True, "#": False, ".": False}.get(letter)


@given(
    letters=st.text("####..xogn", max_size=80),
    on_delay=st.integers(0, 4),
    off_delay=st.integers(0, 4),
    latch=st.booleans(),
    seen_at=st.sets(st.integers(0, 80), max_size=3),
)
def test_invariants_for_any_windows(letters, on_delay, off_delay, latch, seen_at) -> None:
    """No alarm without an unbroken on delay of evidence; raised and cleared take turns; ids are unique and repeat."""
    delays = {"on_delay_s": float(on_delay), "off_delay_s": float(off_delay), "latch": latch}
    first, again = machine(6.0, **delays), machine(6.0, **delays)
    events = []
    for index, letter in enumerate(letters):
        new = first.step(window(index, letter)) + (first.acknowledge("AF") if index in seen_at else [])
        for event in new:
            if event.kind == "raised" and event.spec.output is not None:
                assert _evidence_s(letters[: index + 1], event.spec) >= event.spec.on_delay_s
        events += new
        assert new == again.step(window(index, letter)) + (again.acknowledge("AF") if index in seen_at else [])
    events += first.finish()
    assert len({event.id for event in events}) == len(events)
    for label in {event.spec.label for event in events}:
        of_label = [event for event in events if event.spec.label == label]
        turns = [event for event in of_label if event.kind != "acknowledged"]
        assert [event.kind for event in turns] == ["raised", "cleared"] * (len(turns) // 2)
        assert all(a.alarm_id == b.alarm_id for a, b in zip(turns[::2], turns[1::2], strict=True))


def _evidence_s(letters: str, spec: AlarmSpec) -> int:
    """Count the seconds between adjacent windows over the threshold, back to the last one under it."""
    total, after = 0, None
    for letter in reversed(letters):
        over = _over(letter, spec)
        if over is False:
            break
        total += bool(over and after)
        after = over
    return total
