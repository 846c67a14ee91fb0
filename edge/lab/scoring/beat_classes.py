"""Ventricular and supraventricular beats, beat by beat: what the beat network called them against the annotation.

Classes after EC57 as de Chazal et al. 2004 map MIT-BIH's symbols, with escape beats (e j n) as N; `bxb` counts those as
S. See `beats` for the matching.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from edge.alarms.decision import Decision
from edge.lab.scoring.annotation import Annotation
from edge.lab.scoring.beats import CLASSES, Beats, Confusion, compare

_FALSE_DETECTION = "X"


class ClassScore(msgspec.Struct, frozen=True):
    """Figures of one class; None where undefined."""

    se: float | None
    ppv: float | None
    f1: float | None
    n: int  # reference beats


class BeatScore(msgspec.Struct, frozen=True, kw_only=True):
    """Ventricular and supraventricular ectopic beats."""

    VEB: ClassScore
    SVEB: ClassScore
    first_lead: "BeatScore | None" = None  # the same, where one lead alone was asked for


def count_classes(annotation: Annotation, decisions: Sequence[Decision], start_s: float) -> Confusion | None:
    """Compare the classified beats with the annotation, from `start_s` on; None where no class is annotated."""
    if annotation.classes is None:
        return None
    found = [beat for each in decisions for beat in each.classified if beat.kind != _FALSE_DETECTION]
    found.sort(key=lambda beat: beat.time_s)
    test = Beats(np.array([beat.time_s for beat in found], np.float64), "".join(beat.kind for beat in found))
    return compare(annotation.classes, test, start_s=start_s)


def beat_score(confusion: Confusion, *, first_lead: bool = False) -> BeatScore:
    """Return the figures; with `first_lead` as those of the first lead alone too."""
    rates = confusion.rates()
    veb = _class(rates, "veb", int(confusion.counts[CLASSES.index("V")].sum()))
    sveb = _class(rates, "sveb", int(confusion.counts[CLASSES.index("S")].sum()))
    score = BeatScore(VEB=veb, SVEB=sveb)
    return BeatScore(VEB=veb, SVEB=sveb, first_lead=score) if first_lead else score


def _class(rates: dict[str, float | None], name: str, count: int) -> ClassScore:
    se, ppv = rates[f"{name}_se"], rates[f"{name}_ppv"]
    f1 = None if se is None or ppv is None else 2 * se * ppv / (se + ppv) if se + ppv else 0.0
    return ClassScore(se, ppv, f1, count)
