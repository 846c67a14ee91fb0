"""Rhythms from classified beats: which of them hold after each beat, and since when.

Every rule reads the last beats alone, so a replay gives the same. An interval across a gap is not known and ends what
needs it: no run, rate, pause or pattern leads over a stretch in which there was nothing to see. Beats that are false
detections are left out, and the intervals on both sides of them join.

The table `RULES` holds what each rule means and where that comes from; `Limits` holds what can be configured.
CinC 2015: G. D. Clifford et al., The PhysioNet/Computing in Cardiology Challenge 2015, doi 10.1109/CIC.2015.7408639.
AHA 2004: B. J. Drew et al., Practice standards for electrocardiographic monitoring, Circulation 2004;110:2721-2746.
EC57: ANSI/AAMI EC57, runs of three or more.
AHA/ACC/HRS 2017: guideline on ventricular arrhythmias, Circulation 2018;138:e272.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from edge.beats.classes import ClassifiedBeat
from edge.beats.irregularity import Irregularity

Priority = Literal["high", "medium", "low", "none"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the rules; the defaults follow CinC 2015 where it has a definition."""

    vt_beats: int = 5
    vt_rate_bpm: float = 100.0
    vt_confidence: float = 0.5  # mean probability of V over the run
    run_beats: int = 3  # fewer than `vt_beats`: a run
    run_confidence: float = 0.5
    run_lowest: float = 0.0  # probability of V that each beat of a short run must have
    pattern_confidence: float = 0.0  # mean probability of V over the ventricular beats of bigeminy and trigeminy
    pattern_early: float = 0.0  # part of the others' mean interval below which each must come; 0: not asked
    svt_beats: int = 3
    svt_rate_bpm: float = 100.0
    svt_irregular: float = 0.5  # evidence for atrial fibrillation above which no supraventricular run is reported
    r_on_t: float = 1 / 3  # of the usual interval
    pause_s: float = 3.0
    asystole_s: float = 4.0
    brady_bpm: float = 40.0
    brady_beats: int = 5
    tachy_bpm: float = 140.0
    tachy_beats: int = 17
    fill: float = 0.4  # p(V) + p(F) + p(X) at which a beat between two V counts as V
    fill_s: float = 0.6  # when it is no further than this from both
    end_beats: int = 2  # other beats in a row that end a run


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table that the documentation shows."""

    label: str
    priority: Priority
    definition: str
    source: str


RULES = (
    Rule("ASYSTOLE", "high", "no QRS complex for 4 s while there is a signal to see", "CinC 2015"),
    Rule("VF", "high", "the last 5 s look like fibrillation or flutter, p above .5 over 3 s", "this project"),
    Rule("VT", "high", "5 or more ventricular beats in a row above 100/min", "CinC 2015"),
    Rule("EXTREME_BRADY", "high", "5 beats in a row, median interval below 40/min", "CinC 2015"),
    Rule("EXTREME_TACHY", "high", "17 beats in a row, median interval above 140/min", "CinC 2015"),
    Rule("NSVT", "medium", "run of 3 or 4 ventricular beats above 100/min", "EC57; AHA 2004"),
    Rule("PAUSE", "medium", "interval of more than 3 s between two beats", "AHA 2004"),
    Rule("AIVR", "low", "3 or more ventricular beats in a row at 40 to 100/min", "AHA/ACC/HRS 2017"),
    Rule("SVT", "low", "3 or more supraventricular ectopic beats in a row above 100/min", "EC57"),
    Rule("BIGEMINY", "low", "other and ventricular beat in turn, 3 times (N V N V N V)", "AHA 2004"),
    Rule("TRIGEMINY", "low", "2 other beats between ventricular ones, 3 times (V N N V N N V N N V)", "AHA 2004"),
    Rule("R_ON_T", "low", "ventricular beat at less than a third of the usual interval", "AHA 2004"),
    Rule("COUPLET", "none", "exactly 2 ventricular beats in a row", "EC57"),
    Rule("PVC", "none", "single ventricular beat", "EC57"),
    Rule("PAC", "none", "single supraventricular ectopic beat", "EC57"),
)
# What a rhythm begins with, N being any beat but a ventricular or a fusion one, and how many beats a cycle has.
PATTERNS = {"BIGEMINY": ("NVNVNV", 2), "TRIGEMINY": ("VNNVNNVNNV", 3)}
# One event, one alarm: a label hides the labels to its right.
PRECEDENCE = ("ASYSTOLE", "VF", "VT", "EXTREME_BRADY", "EXTREME_TACHY", "NSVT", "AIVR", "SVT", "PAUSE")
_KEPT = 40
_LOWEST_BPM = 40.0  # of an accelerated idioventricular rhythm
_HOLD = 1.15  # of a run's interval: a supraventricular run goes on while the beats keep its rate
_USUAL = 12
_ROUNDING = 1 + 1e-6  # times are quotients of sample numbers


@dataclass(frozen=True, slots=True)
class Finding:
    """A rhythm that began, ended, or was a moment."""

    label: str
    kind: Literal["on", "off", "moment"]
    at_s: float  # stream time of the beat, or of the instant without one, that decided
    start_s: float  # where it begins
    probability: float | None = None  # mean over its beats, where it is made of classified beats


@dataclass(slots=True)
class _Kept:
    """A beat in the list: X left out, filled beats changed."""

    time_s: float
    kind: str
    rr_s: float | None  # interval to the beat before in the list; None across a gap
    probability: float  # of V, S where the kind is so, else of N


class RhythmRules:
    """The rules on one stream.

    Parameters
    ----------
    limits : see `Limits`
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._raw: deque[ClassifiedBeat] = deque(maxlen=_KEPT)
        self._irregularity = Irregularity()
        self.irregular: float | None = None  # evidence of the RR intervals for atrial fibrillation
        self._on: dict[str, float] = {}  # label and start of what holds

    @property
    def on(self) -> dict[str, float]:
        """Labels that hold, and since when."""
        return dict(self._on)

    def push(self, beat: ClassifiedBeat) -> list[Finding]:
        """Take the next beat, false detections included."""
        gap = not beat.joined
        self._raw.append(beat)
        self.irregular = self._irregularity.push(beat)
        findings = list(self._end_all(beat.time_s)) if gap and len(self._raw) > 1 else []
        if beat.kind == "X":
            return findings
        beats = self._beats()
        findings += self._asystole_over(beats[-1])
        findings += self._moments(beats)
        for label, rule in self._rules():
            findings += self._change(label, rule(beats), beat.time_s)
        return findings

    def tick(self, now_s: float, watched_since_s: float | None, *, quiet: bool) -> list[Finding]:
        """Say how far the stream has come without a further beat.

        Parameters
        ----------
        now_s : up to here every beat is known
        watched_since_s : the signal is unbroken from here on; None while there is none that is good
        quiet : nothing in the signal since the last beat is as high as a beat may be
        """
        if watched_since_s is None:
            return list(self._end_all(now_s))
        last_s = max((beat.time_s for beat in self._raw if beat.kind != "X"), default=watched_since_s)
        start_s = max(last_s, watched_since_s)
        if quiet and now_s - start_s >= self.limits.asystole_s and "ASYSTOLE" not in self._on:
            ended = list(self._end_all(now_s))
            self._on["ASYSTOLE"] = start_s
            return [*ended, Finding("ASYSTOLE", "on", now_s, start_s)]
        return []

    def _rules(self) -> Iterator[tuple[str, Callable[[Sequence[_Kept]], tuple[float, float] | None]]]:
        yield "VT", self._vt
        yield "EXTREME_BRADY", self._brady
        yield "EXTREME_TACHY", self._tachy
        yield "NSVT", self._nsvt
        yield "AIVR", self._aivr
        yield "SVT", self._svt
        yield "BIGEMINY", lambda beats: self._pattern("BIGEMINY", beats)
        yield "TRIGEMINY", lambda beats: self._pattern("TRIGEMINY", beats)

    def _beats(self) -> list[_Kept]:
        """Return the last beats without false detections, with beats between two V filled."""
        kinds = self._filled()
        beats: list[_Kept] = []
        joined = True
        for beat, kind in zip(self._raw, kinds, strict=True):
            joined = joined and beat.joined
            if kind == "X":
                continue
            rr_s = beat.time_s - beats[-1].time_s if beats and joined else None
            beats.append(_Kept(beat.time_s, kind, rr_s, beat.probability(kind)))
            joined = True
        return beats

    def _filled(self) -> list[str]:
        kinds = [beat.kind for beat in self._raw]
        for k in range(1, len(kinds) - 1):
            before, beat, after = self._raw[k - 1], self._raw[k], self._raw[k + 1]
            between = kinds[k - 1] == "V" == kinds[k + 1] and kinds[k] != "V" and beat.joined and after.joined
            near = max(beat.time_s - before.time_s, after.time_s - beat.time_s) < self.limits.fill_s
            if between and near and beat.probability("VFX") > self.limits.fill:
                kinds[k] = "V"
        return kinds

    def _change(self, label: str, holds: tuple[float, float] | None, at_s: float) -> Iterator[Finding]:
        """Compare what holds now, (start, probability), with what held before."""
        if holds is not None and label not in self._on:
            self._on[label] = holds[0]
            yield Finding(label, "on", at_s, *holds)
        elif holds is None and label in self._on:
            yield Finding(label, "off", at_s, self._on.pop(label))

    def _end_all(self, at_s: float) -> Iterator[Finding]:
        for label in list(self._on):
            yield Finding(label, "off", at_s, self._on.pop(label))

    def _asystole_over(self, beat: _Kept) -> Iterator[Finding]:
        """End an asystole; where the beat closes a pause of that length that was not reported, report it."""
        if "ASYSTOLE" in self._on:
            yield Finding("ASYSTOLE", "off", beat.time_s, self._on.pop("ASYSTOLE"))
        elif beat.rr_s is not None and beat.rr_s >= self.limits.asystole_s:
            start_s = beat.time_s - beat.rr_s
            yield Finding("ASYSTOLE", "on", beat.time_s, start_s)
            yield Finding("ASYSTOLE", "off", beat.time_s, start_s)

    def _moments(self, beats: Sequence[_Kept]) -> Iterator[Finding]:
        last = beats[-1]
        if last.rr_s is not None and self.limits.pause_s <= last.rr_s < self.limits.asystole_s:
            yield Finding("PAUSE", "moment", last.time_s, last.time_s - last.rr_s)
        if last.kind == "S":
            yield Finding("PAC", "moment", last.time_s, last.time_s, last.probability)
        if last.kind == "V":
            yield Finding("PVC", "moment", last.time_s, last.time_s, last.probability)
            if last.rr_s is not None and last.rr_s < self.limits.r_on_t * _usual(beats):
                yield Finding("R_ON_T", "moment", last.time_s, last.time_s, last.probability)
        elif len(run := _tail(beats[:-1], "V")) == 2 and last.rr_s is not None:
            yield Finding("COUPLET", "moment", last.time_s, run[0].time_s, _mean(run))

    def _ventricular(self, beats: Sequence[_Kept], label: str) -> list[_Kept]:
        """Return the ventricular run at the end; while an alarm stands, a few other beats do not end it."""
        allowed = self.limits.end_beats - 1 if label in self._on else 0
        for others in range(allowed + 1):
            part = beats[: len(beats) - others]
            unbroken = all(beat.rr_s is not None for beat in beats[len(beats) - others :])
            if part and part[-1].kind == "V" and unbroken:
                return _tail(part, "V")
        return []

    def _vt(self, beats: Sequence[_Kept]) -> tuple[float, float] | None:
        limits = self.limits
        if "VT" in self._on:
            run = self._ventricular(beats, "VT")[-limits.run_beats :]
            return (self._on["VT"], _mean(run)) if run and _rate(run, limits.vt_rate_bpm) else None
        run = self._ventricular(beats, "VT")[-limits.vt_beats :]
        if len(run) < limits.vt_beats or not _rate(run, limits.vt_rate_bpm) or _mean(run) < limits.vt_confidence:
            return None
        return run[0].time_s, _mean(run)

    def _nsvt(self, beats: Sequence[_Kept]) -> tuple[float, float] | None:
        """Hold from the third beat of a run on, until it ends or becomes VT."""
        if "VT" in self._on:
            return None
        run = self._ventricular(beats, "NSVT")
        if len(run) < self.limits.run_beats or not _rate(run, self.limits.vt_rate_bpm):
            return None
        sure = _mean(run) >= self.limits.run_confidence
        sure = sure and min(beat.probability for beat in run[: self.limits.run_beats]) >= self.limits.run_lowest
        return (run[0].time_s, _mean(run)) if sure or "NSVT" in self._on else None

    def _aivr(self, beats: Sequence[_Kept]) -> tuple[float, float] | None:
        run = self._ventricular(beats, "AIVR")
        slow = len(run) >= self.limits.run_beats and not _rate(run, self.limits.vt_rate_bpm)
        return (run[0].time_s, _mean(run)) if slow and _rate(run, _LOWEST_BPM) else None

    def _svt(self, beats: Sequence[_Kept]) -> tuple[float, float] | None:
        limits, last = self.limits, beats[-1]
        run = _tail(beats, "S")
        if (self.irregular or 0.0) > limits.svt_irregular:
            return None
        if len(run) >= limits.svt_beats and _rate(run, limits.svt_rate_bpm):
            return run[0].time_s, _mean(run)
        before = [beat.rr_s for beat in beats[-1 - limits.svt_beats : -1]]
        if "SVT" not in self._on or last.rr_s is None or last.kind == "V" or None in before or not before:
            return None
        usual = sum(rr for rr in before if rr) / len(before)
        held = last.rr_s < _HOLD * usual and last.rr_s < 60.0 / limits.svt_rate_bpm
        return (self._on["SVT"], last.probability) if held else None

    def _pattern(self, label: str, beats: Sequence[_Kept]) -> tuple[float, float] | None:
        """Look for a pattern of ventricular and other beats; once on, it lasts while their number stays."""
        pattern, period = PATTERNS[label]
        length = 2 * period if label in self._on else len(pattern)
        part = beats[-length:]
        if len(part) < length or not _known(part) or any(beat.kind == "F" for beat in part):
            return None
        kinds = "".join("V" if beat.kind == "V" else "N" for beat in part)
        places = [k for k, kind in enumerate(kinds) if kind == "V"]
        lasts = label in self._on and len(places) == 2 and places[1] - places[0] == period
        if not lasts and (kinds != pattern or not self._typical([part[k] for k in places], part)):
            return None
        return part[0].time_s, _mean([part[k] for k in places])

    def _typical(self, ectopic: Sequence[_Kept], part: Sequence[_Kept]) -> bool:
        """Say whether the ventricular beats of a pattern are sure, and early as ectopic beats are."""
        limits = self.limits
        if _mean(ectopic) < limits.pattern_confidence:
            return False
        others = [beat.rr_s for beat in part if beat.kind != "V" and beat.rr_s is not None]
        latest = limits.pattern_early * sum(others) / len(others) if limits.pattern_early else float("inf")
        return all(beat.rr_s is None or beat.rr_s < latest for beat in ectopic)

    def _brady(self, beats: Sequence[_Kept]) -> tuple[float, float] | None:
        part = beats[-self.limits.brady_beats :]
        interval_s = _median_interval(part, self.limits.brady_beats)
        slow = interval_s is not None and interval_s * self.limits.brady_bpm > 60.0 * _ROUNDING
        return (part[0].time_s, 1.0) if slow else None

    def _tachy(self, beats: Sequence[_Kept]) -> tuple[float, float] | None:
        part = beats[-self.limits.tachy_beats :]
        interval_s = _median_interval(part, self.limits.tachy_beats)
        fast = interval_s is not None and interval_s * self.limits.tachy_bpm * _ROUNDING < 60.0
        return (part[0].time_s, 1.0) if fast else None


def _tail(beats: Sequence[_Kept], kind: str) -> list[_Kept]:
    """Return the beats of one kind at the end, without a gap between them."""
    run: list[_Kept] = []
    for beat in reversed(beats):
        if beat.kind != kind:
            break
        run.append(beat)
        if beat.rr_s is None:
            break
    return run[::-1]


def _known(beats: Sequence[_Kept]) -> bool:
    return all(beat.rr_s is not None for beat in beats[1:])


def _rate(beats: Sequence[_Kept], above_bpm: float) -> bool:
    """Say whether the mean rate from the first to the last beat is above a limit; True for a single beat."""
    span_s = beats[-1].time_s - beats[0].time_s
    return (len(beats) - 1) * 60.0 > above_bpm * span_s * _ROUNDING if len(beats) > 1 else True


def _median_interval(beats: Sequence[_Kept], count: int) -> float | None:
    """Return the median interval, which one missed or added beat does not change much; None where not all are known."""
    known = [beat.rr_s for beat in beats[1:] if beat.rr_s is not None]
    return median(known) if len(beats) == count and len(known) == count - 1 else None


def _mean(beats: Sequence[_Kept]) -> float:
    return sum(beat.probability for beat in beats) / max(len(beats), 1)


def _usual(beats: Sequence[_Kept]) -> float:
    """Return the median of the last intervals; 0 where few are known, so that nothing is early against it."""
    known = sorted(beat.rr_s for beat in beats[-_USUAL:-1] if beat.rr_s is not None)
    return known[len(known) // 2] if len(known) >= 5 else 0.0
