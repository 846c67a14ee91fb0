"""Beat classes and a classified beat."""

from dataclasses import dataclass

CLASSES = "NSVFQX"  # normal, supraventricular ectopic, ventricular ectopic, fusion, paced, no beat (EC57, and X)
S, V, X = (CLASSES.index(kind) for kind in "SVX")


@dataclass(frozen=True, slots=True)
class ClassifiedBeat:
    """What is known of one beat at most one beat later."""

    time_s: float  # of the QRS complex, stream time
    kind: str  # one of `CLASSES`
    probabilities: tuple[float, ...]  # of each of `CLASSES`, calibrated
    joined: bool  # no gap lies between it and the beat before

    def probability(self, kinds: str) -> float:
        """Return the probability that the beat is of one of these classes."""
        return sum(self.probabilities[CLASSES.index(kind)] for kind in kinds)
