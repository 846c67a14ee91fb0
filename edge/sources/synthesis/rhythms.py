"""Scenarios of the synthetic patient: their rhythms, their text form, and the beats that they plan."""

import difflib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from edge.core.errors import ConfigError
from edge.sources.synthesis.tones import Tones

MIN_EPISODE_S, MAX_SCENARIO_S = 0.5, 86400.0
_SINUS_RR_S = 0.80
_COUPLING = 0.56  # sinus cycles from a beat to the ectopic beat after it; the pause after that is compensatory

Steps = Iterator[tuple[float, str]]  # RR interval in s, and N (conducted) or V (ventricular)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A rhythm: its label, an endless sequence of beats, and whether normal beats have a P wave."""

    label: str
    steps: Callable[[np.random.Generator], Steps] | None  # None: no beats
    sinus: bool = True


@dataclass(frozen=True, slots=True)
class Episode:
    """One rhythm for some seconds."""

    rhythm: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Beat:
    """One planned beat."""

    time_s: float  # of the R peak
    symbol: str  # N or V
    p_wave: bool
    qt_s: float


Scenario = tuple[Episode, ...]


def _regular(rr_s: float) -> Callable[[np.random.Generator], Steps]:
    def steps(rng: np.random.Generator) -> Steps:
        while True:
            yield rr_s * (1 + 0.006 * rng.standard_normal()), "N"

    return steps


def _ectopy(pick_normal_beats: Callable[[np.random.Generator], int]) -> Callable[[np.random.Generator], Steps]:
    """Return beats with a ventricular one after each run of normal ones."""

    def steps(rng: np.random.Generator) -> Steps:
        while True:
            for _ in range(pick_normal_beats(rng) - 1):
                yield _SINUS_RR_S, "N"
            coupling = _COUPLING * (1 + 0.015 * rng.standard_normal())
            yield coupling * _SINUS_RR_S, "V"
            yield (2 - coupling) * _SINUS_RR_S, "N"

    return steps


def _fibrillation(rng: np.random.Generator) -> Steps:
    """Yield independent intervals, longer than the AV node's refractory time: mean 0.67 s, deviation 0.16 s."""
    while True:
        yield 0.38 + rng.gamma(3.0, 0.095), "N"


def _ventricular_tachycardia(rng: np.random.Generator) -> Steps:
    while True:
        yield 0.35 + 0.006 * rng.standard_normal(), "V"


RHYTHMS = {
    "sinus": Rhythm("SR", _regular(_SINUS_RR_S)),
    "bradycardia": Rhythm("SBRAD", _regular(1.35)),
    "tachycardia": Rhythm("STACH", _regular(0.48)),
    "af": Rhythm("AF", _fibrillation, sinus=False),
    "pvc": Rhythm("PVC", _ectopy(lambda rng: int(rng.integers(3, 6)))),
    "bigeminy": Rhythm("BIGEMINY", _ectopy(lambda _: 1)),
    "trigeminy": Rhythm("TRIGEMINY", _ectopy(lambda _: 2)),
    "vt": Rhythm("VT", _ventricular_tachycardia, sinus=False),
    "asystole": Rhythm("ASYSTOLE", None),
    "noise": Rhythm("NOISE", _regular(_SINUS_RR_S)),
    "lead_off": Rhythm("LEAD_OFF", None),
}

SCENARIOS = {
    "demo": "sinus:15 af:75 sinus:20 pvc:30 bigeminy:20 vt:12 sinus:15 lead_off:10 sinus:45",
}


def parse_scenario(text: str) -> Scenario:
    """Read a scenario such as `sinus:30 af:40 lead_off:10` (in seconds), or the name of one of `SCENARIOS`.

    Raises
    ------
    ConfigError
        For an unknown rhythm, with the nearest known one, a length out of range, or no episode.
    """
    words = SCENARIOS.get(text.strip(), text).replace(",", " ").split()
    scenario = tuple(_parse_episode(word) for word in words)
    check_scenario(scenario)
    return scenario


def _parse_episode(word: str) -> Episode:
    rhythm, colon, seconds = word.partition(":")
    _check_rhythm(rhythm)
    try:
        return Episode(rhythm, float(seconds))
    except ValueError:
        why = f"{seconds!r} is not a number" if colon else "the length is missing"
        raise ConfigError(f"scenario: {word!r}: {why}; write RHYTHM:SECONDS, such as {rhythm}:30") from None


def _check_rhythm(rhythm: str) -> None:
    if rhythm not in RHYTHMS:
        nearest = difflib.get_close_matches(rhythm.lower(), [*RHYTHMS, *SCENARIOS], n=1, cutoff=0.0)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise ConfigError(f"scenario: unknown rhythm {rhythm!r}; {hint}known rhythms: {', '.join(RHYTHMS)}")


def check_scenario(scenario: Scenario) -> None:
    """Raise ConfigError for an unknown rhythm or a length out of range."""
    for episode in scenario:
        _check_rhythm(episode.rhythm)
        if not episode.seconds >= MIN_EPISODE_S:
            raise ConfigError(
                f"scenario: {episode.rhythm} for {episode.seconds:g} s; at least {MIN_EPISODE_S:g} s are needed"
            )
    total = sum(episode.seconds for episode in scenario)
    if not 0 < total <= MAX_SCENARIO_S:
        raise ConfigError(
            f"scenario: {total:g} s in all; at most {MAX_SCENARIO_S:g} s are allowed, and at least one episode"
        )


def episode_edges(scenario: Scenario) -> list[float]:
    """Return the edges of the episodes in seconds, from 0: one more than there are episodes."""
    return list(itertools.accumulate((episode.seconds for episode in scenario), initial=0.0))


def plan_beats(scenario: Scenario, seed: int) -> list[Beat]:
    """Plan every beat of a scenario; the same seed gives the same beats.

    Sinus rhythm varies as in McSharry et al. 2003 (doi 10.1109/TBME.2003.808805): its intervals have a
    Mayer band around 0.1 Hz and a respiratory one around 0.25 Hz. QT follows a running mean of RR by the
    Framingham line, QT = QTc - 0.154 (1 - RR) (Sagie et al. 1992), with QTc = 0.40 s.
    """
    rng = np.random.default_rng([seed, 0])
    centres = np.concatenate([rng.normal(0.1, 0.01, 4), rng.normal(0.25, 0.012, 4)])
    variability = Tones(centres, np.repeat([[0.009], [0.014]], 4, axis=0), rng)
    beats: list[Beat] = []
    time_s, mean_rr_s = -0.4, _SINUS_RR_S
    edges = episode_edges(scenario)
    for number, (episode, start_s, end_s) in enumerate(zip(scenario, edges, edges[1:], strict=False)):
        rhythm = RHYTHMS[episode.rhythm]
        if rhythm.steps is None:
            continue
        for step_s, symbol in rhythm.steps(np.random.default_rng([seed, 1, number])):
            factor = 1 + float(variability.at(np.array([time_s]))[0, 0]) if rhythm.sinus else 1.0
            rr_s = step_s * factor
            following = max(time_s + rr_s, start_s + 0.3 * rr_s)
            if following >= end_s:
                break
            time_s = following
            mean_rr_s += 0.25 * (rr_s - mean_rr_s)
            qt_s = 0.40 - 0.154 * (1 - mean_rr_s)
            beats.append(Beat(time_s, symbol, rhythm.sinus and symbol == "N", qt_s))
    return beats
