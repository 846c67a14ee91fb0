"""Rhythm rules on beats computed by hand: time, class, and what must come of it."""

import pytest

from edge.beats.classes import CLASSES, ClassifiedBeat
from edge.beats.rules import Finding, Limits, RhythmRules


def beats(
    kinds: str, rr_s: float | list[float] = 0.8, start_s: float = 10.0, sure: float = 0.95, broken: tuple[int, ...] = ()
) -> list[ClassifiedBeat]:
    """Beats of these kinds; one interval for all, or the interval before each."""
    intervals = [rr_s] * len(kinds) if isinstance(rr_s, float) else rr_s
    result, time = [], start_s
    for k, (kind, rr) in enumerate(zip(kinds, intervals, strict=True)):
        time += rr
        rest = (1 - sure) / (len(CLASSES) - 1)
        result.append(
            ClassifiedBeat(time, kind, tuple(sure if c == kind else rest for c in CLASSES), k > 0 and k not in broken)
        )
    return result


def play(sequence: list[ClassifiedBeat], limits: Limits | None = None) -> list[Finding]:
    rules = RhythmRules(limits)
    return [finding for beat in sequence for finding in rules.push(beat)]


def labels(found: list[Finding], kind: str = "on") -> list[str]:
    return [f.label for f in found if f.kind == kind]


def test_five_fast_ventricular_beats_are_vt() -> None:
    found = play(beats("NNNVVVVVNNN", 0.4))
    assert labels(found) == ["NSVT", "VT"]
    vt = next(f for f in found if f.label == "VT" and f.kind == "on")
    assert vt.start_s == pytest.approx(10.0 + 4 * 0.4)
    assert vt.at_s == pytest.approx(10.0 + 8 * 0.4)
    off = next(f for f in found if f.label == "VT" and f.kind == "off")
    assert off.at_s == pytest.approx(10.0 + 10 * 0.4)  # the second other beat


def test_rate_of_vt_is_strictly_above_the_limit() -> None:
    assert "VT" not in labels(play(beats("NNVVVVVNN", 0.6)))
    assert "VT" in labels(play(beats("NNVVVVVNN", 0.59)))


def test_four_are_a_run_and_no_vt() -> None:
    assert labels(play(beats("NNNVVVVNNN", 0.4))) == ["NSVT"]


def test_slow_run_is_idioventricular() -> None:
    assert labels(play(beats("NNNVVVVVVNNN", 0.8))) == ["AIVR"]


def test_two_are_a_couplet() -> None:
    found = play(beats("NNVVNN", 0.5))
    assert labels(found) == []
    assert labels(found, "moment") == ["PVC", "PVC", "COUPLET"]


def test_no_run_leads_over_a_gap() -> None:
    assert labels(play(beats("NNVVVVVNN", 0.4, broken=(4,)))) == ["NSVT"]  # V V | V V V
    assert labels(play(beats("NNVVVVNN", 0.4, broken=(4,)))) == []


def test_false_detections_are_left_out_and_their_intervals_join() -> None:
    found = play(beats("NNNXNNN", [0.8, 0.8, 0.8, 2.0, 2.5, 0.8, 0.8]))
    assert labels(found) == ["ASYSTOLE"]  # 4.5 s between two beats
    found = play(beats("NNVXVVVVNN", 0.25))
    assert labels(found) == ["NSVT", "VT"]


def test_a_beat_between_two_ventricular_ones_is_one_as_well() -> None:
    unsure = ClassifiedBeat(10.0 + 6 * 0.4, "N", (0.5, 0.0, 0.45, 0.0, 0.0, 0.05), joined=True)
    sequence = beats("NNNVVNVVNN", 0.4)
    sequence[5] = unsure
    assert "VT" in labels(play(sequence))
    sequence[5] = ClassifiedBeat(unsure.time_s, "N", (0.7, 0.0, 0.3, 0.0, 0.0, 0.0), joined=True)
    assert labels(play(sequence)) == []


def test_unsure_beats_make_no_vt() -> None:
    assert labels(play(beats("NNVVVVVVN", 0.4, sure=0.3))) == []


def test_bigeminy_needs_three_cycles() -> None:
    assert labels(play(beats("NNNVNVNN"))) == []
    found = play(beats("NNNVNVNVNVNN"))
    assert labels(found) == ["BIGEMINY"]
    on = next(f for f in found if f.kind == "on")
    assert on.start_s == pytest.approx(10.0 + 3 * 0.8)
    off = next(f for f in found if f.label == "BIGEMINY" and f.kind == "off")
    assert off.at_s == pytest.approx(10.0 + 12 * 0.8)


def test_trigeminy() -> None:
    assert labels(play(beats("NNVNNVNNVNN"))) == []
    assert labels(play(beats("NNVNNVNNVNNVNNN"))) == ["TRIGEMINY"]
    assert labels(play(beats("NNVNFVNNVNNVNNN"))) == []  # a fusion beat is no other beat


def test_supraventricular_run() -> None:
    assert labels(play(beats("NNSSSNN", [0.8, 0.8, 0.5, 0.5, 0.5, 0.9, 0.8]))) == ["SVT"]
    assert labels(play(beats("NNSSSNN", 0.7))) == []


def test_pause_and_asystole_closed_by_the_next_beat() -> None:
    assert labels(play(beats("NNN", [0.8, 0.8, 3.5])), "moment") == ["PAUSE"]
    found = play(beats("NNN", [0.8, 0.8, 4.02]))
    assert [(f.label, f.kind) for f in found] == [("ASYSTOLE", "on"), ("ASYSTOLE", "off")]
    assert found[0].start_s == pytest.approx(11.6)


def test_a_gap_is_no_pause_and_no_bradycardia() -> None:
    assert play(beats("NNN", [0.8, 0.8, 9.0], broken=(2,))) == []
    assert labels(play(beats("NNNNN", 1.6, broken=(2,)))) == []
    assert labels(play(beats("NNNNN", 1.6))) == ["EXTREME_BRADY"]


def test_asystole_while_it_lasts() -> None:
    rules = RhythmRules()
    for beat in beats("NNN", 0.8):
        rules.push(beat)
    last = 10.0 + 2.4
    assert rules.tick(last + 3.9, 0.0, quiet=True) == []
    assert rules.tick(last + 4.0, 0.0, quiet=False) == []
    assert labels(rules.tick(last + 4.1, 0.0, quiet=True)) == ["ASYSTOLE"]
    assert rules.tick(last + 5.1, 0.0, quiet=True) == []  # told once
    assert labels(rules.tick(last + 6.1, None, quiet=False), "off") == ["ASYSTOLE"]


def test_asystole_counts_from_the_end_of_a_gap() -> None:
    rules = RhythmRules()
    for beat in beats("NNN", 0.8):
        rules.push(beat)
    assert rules.tick(20.0, 17.0, quiet=True) == []
    assert labels(rules.tick(21.0, 17.0, quiet=True)) == ["ASYSTOLE"]


def test_extreme_rates_count_beats() -> None:
    assert labels(play(beats("N" * 16, 0.4))) == []
    assert labels(play(beats("N" * 17, 0.4))) == ["EXTREME_TACHY"]
    assert labels(play(beats("N" * 17, 60 / 140))) == []
    assert labels(play(beats("NNNN", 1.6))) == []
    assert labels(play(beats("NNNNN", 1.6))) == ["EXTREME_BRADY"]


def test_r_on_t() -> None:
    kinds = "N" * 9 + "VN"
    assert "R_ON_T" in labels(play(beats(kinds, [0.9] * 9 + [0.29, 1.4])), "moment")
    assert "R_ON_T" not in labels(play(beats(kinds, [0.9] * 9 + [0.31, 1.4])), "moment")


def test_limits_can_be_set() -> None:
    assert "VT" in labels(play(beats("NNVVVNN", 0.4), Limits(vt_beats=3)))
