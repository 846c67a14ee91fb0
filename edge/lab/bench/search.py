"""Looks for the largest number of streams that a service keeps up with. Knows nothing of how a trial is run."""

from collections.abc import Callable

from edge.lab.bench.trial import Trial

_RESOLUTION = 1.06  # between the largest number that was kept up with and the smallest that was not
_HEADROOM = 0.9  # of the core; where the first guess goes
_MAX_STREAMS = 4096


def largest(run: Callable[[int], Trial], known: Trial) -> list[Trial]:
    """Run trials until the edge is known, and return them in their order, `known` the first.

    The first guess follows from the share of the core that the known trial took.
    """
    trials = [known]
    while (streams := _next(trials)) is not None:
        trials.append(run(streams))
    return trials


def kept_up(trials: list[Trial]) -> int:
    """Return the largest number of streams that was kept up with; 0 where none was."""
    return max((trial.streams for trial in trials if trial.kept_up), default=0)


def _next(trials: list[Trial]) -> int | None:
    low = kept_up(trials)
    high = min((trial.streams for trial in trials if not trial.kept_up and trial.streams > low), default=None)
    if len(trials) == 1 and low:
        return max(low + 1, min(round(_HEADROOM * low / max(trials[0].cpu_share, 0.01)), _MAX_STREAMS))
    if high is None:
        return None if low >= _MAX_STREAMS else min(round(1.25 * low) + 1, _MAX_STREAMS)
    if high <= _RESOLUTION * low or high - low <= 1:
        return None
    return (low + high) // 2
