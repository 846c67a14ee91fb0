"""Searches the largest number of streams that a service keeps up with."""

from collections.abc import Callable

from edge.lab.bench.trial import Trial

_RESOLUTION = 1.06  # ratio at which the search ends: the smallest number that failed to the largest that passed
_TARGET_SHARE = 0.9  # of the core, for the first guess
_MAX_STREAMS = 4096


def search_capacity(run: Callable[[int], Trial], known: Trial) -> list[Trial]:
    """Run trials until the capacity is known, and return them in order, `known` first.

    The first guess is scaled from the known trial's share of the core.
    """
    trials = [known]
    while (streams := _next(trials)) is not None:
        trials.append(run(streams))
    return trials


def kept_up(trials: list[Trial]) -> int:
    """Return the largest number of streams that passed; 0 where none did."""
    return max((trial.streams for trial in trials if trial.kept_up), default=0)


def _next(trials: list[Trial]) -> int | None:
    low = kept_up(trials)
    high = min((trial.streams for trial in trials if not trial.kept_up and trial.streams > low), default=None)
    if len(trials) == 1 and low:
        return max(low + 1, min(round(_TARGET_SHARE * low / max(trials[0].cpu_share, 0.01)), _MAX_STREAMS))
    if high is None:  # nothing has failed yet: go up by a quarter
        return None if low >= _MAX_STREAMS else min(round(1.25 * low) + 1, _MAX_STREAMS)
    # Between the two the search halves the gap, until they are within the resolution.
    if high <= _RESOLUTION * low or high - low <= 1:
        return None
    return (low + high) // 2
