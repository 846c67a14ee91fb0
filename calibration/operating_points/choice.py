"""The choice of settings within budgets of false alarms: the combination of the greatest total utility.

The search is exact, since false alarms are whole numbers. Every figure is averaged with those of the next lower and
higher threshold, so that the choice does not rest on one lucky point. `docs/how-to/tune-alarms.md` explains the rules.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.operating_points.scoring import SUM_FIELDS, SettingResults
from calibration.operating_points.settings import Setting
from edge.lab.scoring.reference import BEAT_LABELS

WEIGHTS = {"high": 3.0, "medium": 2.0, "low": 1.0}  # of the utility, by priority
DELAY_COST = 0.002  # of F1, for each second of mean delay
THRESHOLD_COST = 0.002  # of F1, for each higher threshold: a new patient seldom reaches the outputs of those seen here
MIN_F1 = 0.25  # below it an alarm is of no use, and the fewer false alarms the better
MIN_FOUND = 0.5  # an alarm of high priority finds this part of the episodes that the budget alone would let it find
RUN_LABELS = ("VT", "SVT")
_CHANGE_COST = 1e-3  # keeps the setting of a label that never occurs, as far as the budgets allow

Sums = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Budget:
    """A limit of false alarms over all labels."""

    records: tuple[int, ...]
    false_alarms: int  # at most, on these records together


@dataclass(frozen=True)
class _Option:
    """One setting of a label."""

    number: int
    false_alarms: tuple[int, ...]  # under each budget
    utility: float


def choose(
    results: Sequence[SettingResults],
    current: Sequence[Setting],
    records: Sequence[int],
    budgets: Sequence[Budget],
    suppressed: Collection[int] = (),
) -> list[int]:
    """Choose the setting of each label that are best together within every budget; return their numbers.

    If no combination stays within the budgets, each label gets the setting with the fewest false alarms.

    Parameters
    ----------
    results : of each label
    current : setting of each label now
    records : on which the utility is measured
    budgets : of false alarms
    suppressed : numbers of labels to set as high and late as possible
    """
    options = [_best_options(*_evaluate(one, now, records, budgets)) for one, now in zip(results, current, strict=True)]
    for number in suppressed:
        options[number] = [_quietest(results[number], budgets)]
    # From spent false alarms to the best utility with them, and its settings: one label after the other.
    best: dict[tuple[int, ...], tuple[float, list[int]]] = {(0,) * len(budgets): (0.0, [])}
    for of_label in options:
        extended: dict[tuple[int, ...], tuple[float, list[int]]] = {}
        for spent, (utility, picks) in best.items():
            for option in of_label:
                total = tuple(one + other for one, other in zip(spent, option.false_alarms, strict=True))
                within = all(count <= budget.false_alarms for count, budget in zip(total, budgets, strict=True))
                if within and (total not in extended or utility + option.utility > extended[total][0]):
                    extended[total] = utility + option.utility, [*picks, option.number]
        best = extended
    if not best:
        return [min(of_label, key=lambda option: option.false_alarms).number for of_label in options]
    return max(best.values())[1]


def unproven_labels(
    results: Sequence[SettingResults], held_out: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> set[int]:
    """Return the numbers of the labels of low priority that are of no use on records that did not set them.

    Beat labels are never among them: their outputs by window are of use without an alarm.

    Parameters
    ----------
    results : of each label
    held_out : pairs of records and the number of each label's setting, chosen without these records
    """
    found = set()
    for number, one in enumerate(results):
        if one.label.priority != "low" or one.label.abbreviation in BEAT_LABELS:
            continue
        parts = [one.sums[picks[number], list(records)].sum(axis=0) for records, picks in held_out]
        total = np.sum(parts, axis=0) if parts else np.zeros(len(SUM_FIELDS))
        sums = dict(zip(SUM_FIELDS, total, strict=True))
        if sums["episodes"] and _f1(one.label.abbreviation, sums) < MIN_F1:
            found.add(number)
    return found


def _quietest(one: SettingResults, budgets: Sequence[Budget]) -> _Option:
    number = max(range(len(one.settings)), key=lambda k: (one.settings[k].threshold, one.settings[k].on_delay_s))
    totals = [one.total(number, budget.records) for budget in budgets]
    return _Option(number, tuple(total.alarms - total.right for total in totals), 0.0)


def _evaluate(
    one: SettingResults, current: Setting, records: Sequence[int], budgets: Sequence[Budget]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return false alarms, (settings, budgets), and utility, (settings,), of each setting, both smoothed.

    The utility of a setting that is ruled out is minus infinity.
    """
    of_budgets = [one.sums_on(budget.records) for budget in budgets]
    false = np.ceil(np.stack([_smooth(sums["alarms"] - sums["right"], one.levels) for sums in of_budgets]).T - 1e-9)
    false_alarms, sums = false.astype(np.int64), one.sums_on(records)
    if not sums["episodes"].any():
        return false_alarms, np.array([-_CHANGE_COST * _distance(setting, current) for setting in one.settings])
    utility = _utility(one, sums, false_alarms)
    if one.label.abbreviation in BEAT_LABELS:
        # The threshold of a beat serves its output by window; the budget of alarms may only change the delays.
        utility[~_best_by_windows(one, sums)] = -np.inf
    if one.label.priority == "high":
        # An alarm of high priority is not traded for those of other labels.
        found = _smooth(sums["found"], one.levels)
        affordable = (false_alarms <= [budget.false_alarms for budget in budgets]).all(axis=1)
        utility[found < MIN_FOUND * found.max(initial=0.0, where=affordable)] = -np.inf
    return false_alarms, utility


def _utility(one: SettingResults, sums: Sums, false_alarms: NDArray[np.int64]) -> NDArray[np.float64]:
    mean_delay_s = sums["delay_s"] / np.maximum(sums["delays"], 1)
    level = np.repeat(np.arange(one.levels), len(one.settings) // one.levels)
    f1 = _smooth(_f1(one.label.abbreviation, sums), one.levels)
    utility = WEIGHTS[one.label.priority] * (f1 - DELAY_COST * mean_delay_s - THRESHOLD_COST * level)
    useless = _CHANGE_COST * (level / one.levels - false_alarms.sum(axis=1) - 1.0)
    return np.where(f1 < MIN_F1, useless, utility)


def _best_by_windows(one: SettingResults, sums: Sums) -> NDArray[np.bool_]:
    """Return which settings have the threshold and the pooling of the best F1 by window."""
    f1 = 2 * sums["windows_right"] / np.maximum(sums["windows_with"] + sums["windows_over"], 1e-9)
    best = one.settings[int(_smooth(f1, one.levels).argmax())]
    same = [(each.threshold, each.pooled) == (best.threshold, best.pooled) for each in one.settings]
    return np.array(same, np.bool_)


def _f1(label: str, sums: Sums) -> NDArray[np.float64]:
    """F1 of episodes for runs and beats, F1 of time for rhythms and forms."""
    if label in (*RUN_LABELS, *BEAT_LABELS):
        found, right = sums["found"] / sums["episodes"], sums["right"] / np.maximum(sums["alarms"], 1)
        part, whole = 2 * found * right, found + right
    else:
        part, whole = 2 * sums["both_s"], sums["reference_s"] + sums["alarm_s"]
    f1: NDArray[np.float64] = part / np.maximum(whole, 1e-9)
    return f1


def _smooth(figures: NDArray[np.float64], levels: int) -> NDArray[np.float64]:
    """Average each (settings,) figure with those of the next lower and higher threshold."""
    by_threshold = figures.reshape(levels, -1)
    padded = np.concatenate([by_threshold[:1], by_threshold, by_threshold[-1:]])
    mean: NDArray[np.float64] = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    return mean.reshape(-1)


def _distance(one: Setting, other: Setting) -> float:
    delays_s = abs(one.on_delay_s - other.on_delay_s) + abs(one.off_delay_s - other.off_delay_s)
    levels = abs(one.threshold - other.threshold) + abs(one.clear_threshold - other.clear_threshold)
    return levels + delays_s / 60 + (one.pooled != other.pooled)


def _best_options(false_alarms: NDArray[np.int64], utility: NDArray[np.float64]) -> list[_Option]:
    """Return the Pareto front: the settings that no other one beats in false alarms and utility together."""
    front: list[_Option] = []
    for number in np.argsort(-utility, kind="stable"):  # from the best; earlier options beat later ones
        counts = tuple(false_alarms[number].tolist())
        beaten = any(all(a <= b for a, b in zip(other.false_alarms, counts, strict=True)) for other in front)
        if np.isfinite(utility[number]) and not beaten:
            front.append(_Option(int(number), counts, float(utility[number])))
    return front
