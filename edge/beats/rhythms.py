"""The rhythms of one stream: the rules on its classified beats, and which of several is reported.

One event raises one alarm. A rhythm that holds beside one of higher rank is hidden, and stays hidden until it ends, so
that the fast beats after a ventricular tachycardia raise no second alarm. A short run of ventricular beats is reported
when it has ended, because until then it may become a ventricular tachycardia.
"""

from collections.abc import Sequence

from edge.beats.classes import ClassifiedBeat
from edge.beats.fibrillation import FibrillationState, Judged
from edge.beats.rules import PRECEDENCE, Finding, Limits, RhythmRules
from edge.beats.tracker import BeatSecond

_AT_END = frozenset({"NSVT"})  # reported when they end


class StreamRhythms:
    """Derives the rhythms of one stream.

    Parameters
    ----------
    limits : of the rules
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._fibrillation = FibrillationState()
        self._rules = RhythmRules(limits)
        self._probabilities: dict[str, float | None] = {}  # of each label that holds
        self._hidden: set[str] = set()
        self._since_take: dict[str, float | None] = {}  # labels that held since the last `take`
        self._known = False  # a second without a gap came since then

    def step(self, second: BeatSecond, beats: Sequence[ClassifiedBeat], judged: Judged | None = None) -> None:
        """Take the next second, the classes of its beats in the same order, and what its last 5 s are."""
        for beat in beats:
            self._apply(self._rules.push(beat))
        if second.waiting == 0 or second.unbroken_since_s is None:
            self._apply(self._rules.tick(second.confirmed_s, second.unbroken_since_s, quiet=second.quiet))
        self._step_fibrillation(judged)
        self._known = self._known or second.unbroken_since_s is not None

    def take(self) -> dict[str, float | None] | None:
        """Return the labels that held since the last call, with the probability of each; None during a gap.

        A rhythm whose rule needs no classes has the probability None.
        """
        held = self._since_take if self._known else None
        self._since_take = {
            label: probability
            for label, probability in self._active.items()
            if label not in self._hidden and label not in _AT_END
        }
        self._known = False
        return held

    def _step_fibrillation(self, judged: Judged | None) -> None:
        state = self._fibrillation
        before = state.label
        state.push(judged)
        if before is not None and before != state.label and before not in self._probabilities:
            self._hidden.discard(before)
        if state.label is not None:
            self._hide_outranked()
            self._report(state.label, state.probability)

    @property
    def _active(self) -> dict[str, float | None]:
        """Labels that hold, with their probabilities, by the rules and by the signal itself."""
        state = self._fibrillation
        return self._probabilities if state.label is None else {state.label: state.probability, **self._probabilities}

    def _apply(self, findings: Sequence[Finding]) -> None:
        for finding in findings:
            if finding.kind == "off":
                self._end(finding.label)
            elif finding.kind == "on":
                self._probabilities[finding.label] = finding.probability
                self._hide_outranked()
            if finding.kind != "off" and finding.label not in _AT_END:
                self._report(finding.label, finding.probability)

    def _end(self, label: str) -> None:
        probability = self._probabilities.pop(label, None)
        if label in _AT_END:
            self._report(label, probability)
        self._hidden.discard(label)

    def _report(self, label: str, probability: float | None) -> None:
        if label not in self._hidden and not self._outranked(label):
            self._since_take[label] = probability

    def _hide_outranked(self) -> None:
        for label in self._active:
            if self._outranked(label):
                self._hidden.add(label)
                self._since_take.pop(label, None)

    def _outranked(self, label: str) -> bool:
        if label not in PRECEDENCE:
            return False
        return any(other in self._active for other in PRECEDENCE[: PRECEDENCE.index(label)])
