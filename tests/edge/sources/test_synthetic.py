"""The synthetic patient: reproducible, consistent between the leads, and with the right rhythms."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from edge.core.errors import ConfigError
from edge.core.leads import LEADS
from edge.core.samples import Cause
from edge.signal.conditioning import condition
from edge.sources.formats.adc import mv_from_adc, pack, unpack
from edge.sources.synthesis.heart import Heart
from edge.sources.synthetic import RHYTHMS, SCENARIOS, SyntheticSource, parse_scenario, render

RATE_HZ = 250.0
II = LEADS.index("II")


def make(scenario: str, *, seed: int = 0, block_s: float = 0.2) -> SyntheticSource:
    return SyntheticSource(scenario, sample_rate_hz=RATE_HZ, seed=seed, block_s=block_s)


def whole(source: SyntheticSource) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    blocks = list(source.blocks())
    return np.concatenate([b.samples for b in blocks], axis=1), np.concatenate([b.missing for b in blocks], axis=1)


def clean(source: SyntheticSource) -> NDArray[np.float32]:
    samples, missing = whole(source)
    return condition(samples, missing != 0, RATE_HZ)


def r_peaks(rhythm: str, seconds: float = 60, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return where lead II peaks, and how wide each peak is at half its height, in s."""
    two = clean(make(f"{rhythm}:{seconds}", seed=seed))[II]
    height = 0.4 * float(np.percentile(two, 99.5))
    found, _ = signal.find_peaks(two, height=height, distance=round(0.25 * RATE_HZ))
    return found, signal.peak_widths(two, found)[0] / RATE_HZ


def mean_beat(rhythm: str, lead: str) -> NDArray[np.float64]:
    """Return the average from 0.3 s before to 0.6 s after the R peak of normal beats, mV."""
    source = make(f"{rhythm}:60")
    row = clean(source)[LEADS.index(lead)]
    before, after = round(0.3 * RATE_HZ), round(0.6 * RATE_HZ)
    at = [b.sample for b in source.beats if b.symbol == "N" and before < b.sample < row.size - after]
    return np.mean([row[k - before : k + after] for k in at], axis=0)


def part(beat: NDArray[np.float64], start_s: float, end_s: float) -> NDArray[np.float64]:
    return beat[round((0.3 + start_s) * RATE_HZ) : round((0.3 + end_s) * RATE_HZ)]


def test_the_same_seed_gives_the_same_samples_with_any_block_length():
    text = "sinus:7 af:9 noise:4 vt:3 lead_off:2.5 pvc:6.3"
    reference, missing = whole(make(text, seed=3))
    for block_s in (0.004, 0.1, 1.0, 7.7, 60.0):
        samples, cause = whole(make(text, seed=3, block_s=block_s))
        np.testing.assert_array_equal(samples, reference)
        np.testing.assert_array_equal(cause, missing)
    assert not np.array_equal(whole(make(text, seed=4))[0], reference)


def test_any_stretch_can_be_read_in_any_order():
    source = make("af:31 sinus:31")
    reference = source.adc(0, source.samples)
    for first, end in ((9000, 12000), (2400, 2600), (0, 1), (5000, 7501)):
        np.testing.assert_array_equal(source.adc(first, end), reference[:, first:end])


def test_blocks_are_consecutive_and_the_last_one_is_marked():
    source = make("sinus:2.1", block_s=0.5)
    blocks = list(source.blocks())
    assert [b.first_sample for b in blocks] == [0, 125, 250, 375, 500]
    assert [b.last for b in blocks] == [False] * 4 + [True]
    assert blocks[-1].end_sample == source.samples == 525
    assert blocks[2].device_time_s == pytest.approx(1.0)
    assert {(b.samples.dtype, b.missing.dtype, b.leads) for b in blocks} == {
        (np.dtype(np.float32), np.dtype(np.uint8), LEADS)
    }


def test_stop_ends_the_blocks():
    source = make("sinus:60")
    seen = 0
    for _ in source.blocks():
        seen += 1
        source.stop()
    assert seen == 1


@pytest.mark.parametrize("rhythm", RHYTHMS)
def test_limb_leads_obey_einthoven_and_goldberger(rhythm: str):
    one, two, three, avr, avl, avf = make(f"{rhythm}:12").adc(0, 3000)[:6]
    np.testing.assert_array_equal(two, one + three)
    assert np.abs(avr + avl + avf).max() <= 2  # three roundings of half a unit
    assert np.abs(2 * avf - two - three).max() <= 2


def test_the_adc_blocks_are_the_same_samples():
    source = make("af:20 lead_off:1", block_s=0.7)
    spec = source.spec
    for sent, block in zip(source.adc_blocks(), source.blocks(), strict=True):
        unpacked, cause = unpack(pack(sent, spec), spec)
        present = block.missing == Cause.PRESENT
        np.testing.assert_array_equal(mv_from_adc(unpacked, spec)[present], block.samples[present])
        np.testing.assert_array_equal(cause == Cause.PRESENT, present)
        assert (sent.first_sample, sent.last) == (block.first_sample, block.last)


def test_leads_are_the_chosen_rows():
    full = make("vt:5").adc(0, 1250)
    two = SyntheticSource("vt:5", leads=("V1", "MLII"))
    assert two.leads == ("V1", "MLII")
    np.testing.assert_array_equal(two.adc(0, 1250), full[[LEADS.index("V1"), II]])


@pytest.mark.parametrize(
    ("rhythm", "low", "high"),
    [("sinus", 65, 85), ("bradycardia", 40, 50), ("tachycardia", 115, 135), ("af", 75, 105), ("vt", 160, 180)],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_heart_rate(rhythm: str, low: float, high: float, seed: int):
    found, _ = r_peaks(rhythm, seed=seed)
    assert low < 60 / (np.diff(found).mean() / RATE_HZ) < high


@pytest.mark.parametrize("rhythm", ["sinus", "tachycardia", "af", "pvc", "vt"])
def test_beat_annotations_lie_on_the_peaks(rhythm: str):
    found, _ = r_peaks(rhythm)
    truth = np.array([b.sample for b in make(f"{rhythm}:60").beats])
    inner = found[(found > RATE_HZ) & (found < 59 * RATE_HZ)]
    nearest = np.abs(inner[:, None] - truth).min(axis=1)
    assert nearest.max() <= 0.05 * RATE_HZ
    assert abs(found.size - truth.size) <= 1


def test_fibrillation_is_irregular_and_sinus_rhythm_is_not():
    def variation(rhythm: str) -> float:
        rr = np.diff(r_peaks(rhythm, 120)[0])
        return float(rr.std() / rr.mean())

    assert 0.18 < variation("af") < 0.35
    assert 0.01 < variation("sinus") < 0.08


def test_sinus_rhythm_has_p_waves_and_fibrillation_has_none():
    def p_wave(rhythm: str) -> float:
        beat = mean_beat(rhythm, "II")
        return float(part(beat, -0.19, -0.11).max() - np.median(part(beat, -0.29, -0.24)))

    assert p_wave("sinus") > 0.07
    assert p_wave("bradycardia") > 0.07
    assert abs(p_wave("af")) < 0.04


def test_f_waves_are_4_to_9_hz_and_strongest_in_v1_of_the_far_leads():
    time_s = np.arange(15000) / RATE_HZ
    waves = Heart(0).leads(time_s, [], np.ones(time_s.size))
    hertz, power = signal.welch(waves, RATE_HZ, nperseg=1000)
    inside = (hertz >= 4) & (hertz <= 9)
    assert (power[:, inside].sum(axis=1) / power.sum(axis=1)).min() > 0.97
    one, v1, v6 = waves[0].std(), waves[2].std(), waves[7].std()
    assert 0.02 < v1 < 0.12
    assert v1 > 1.5 * max(one, v6)


def test_qt_follows_the_rate():
    t_peak = {
        rhythm: int(part(mean_beat(rhythm, "V3"), 0.12, 0.40).argmax()) / RATE_HZ + 0.12
        for rhythm in ("bradycardia", "sinus", "tachycardia")
    }
    assert t_peak["tachycardia"] + 0.02 < t_peak["sinus"] < t_peak["bradycardia"] - 0.03


@pytest.mark.parametrize(("rhythm", "pattern"), [("bigeminy", "NV"), ("trigeminy", "NNV")])
def test_ectopic_beats_come_in_their_pattern(rhythm: str, pattern: str):
    symbols = "".join(b.symbol for b in make(f"{rhythm}:60").beats)
    assert symbols in pattern * 100
    assert len(symbols) > 60


def test_ectopic_beats_are_wide_early_and_followed_by_a_compensatory_pause():
    found, widths = r_peaks("bigeminy")
    ectopic = widths > 0.06
    assert (ectopic[1:] != ectopic[:-1]).all()
    rr = np.diff(found) / RATE_HZ
    coupling, pause = rr[ectopic[1:]], rr[ectopic[:-1]]
    assert coupling.mean() == pytest.approx(0.45, abs=0.04)
    assert coupling.mean() + pause.mean() == pytest.approx(1.6, abs=0.05)  # two sinus cycles
    assert widths[ectopic].mean() > 2 * widths[~ectopic].mean()


def test_ectopic_beats_have_a_discordant_t_wave():
    source = make("bigeminy:60")
    two = clean(source)[II]
    ectopic = [b.sample for b in source.beats if b.symbol == "V"][2:-2]
    beat = np.mean([two[k - 25 : k + 125] for k in ectopic], axis=0)
    assert beat[:45].max() > 0.7
    assert beat[55:].min() < -0.15


def test_ventricular_tachycardia_is_wide():
    narrow, wide = np.median(r_peaks("tachycardia")[1]), np.median(r_peaks("vt")[1])
    assert wide > 2 * narrow


def test_asystole_has_no_beats_and_is_not_flat():
    source = make("asystole:20")
    assert source.beats == ()
    signals = clean(source)
    assert np.ptp(signals, axis=1).max() < 0.3
    assert signals.std(axis=1).min() > 0.001


def test_noise_hides_the_beats():
    noisy, quiet = clean(make("noise:30")), clean(make("sinus:30"))
    assert (noisy.std(axis=1) > 2 * quiet.std(axis=1)).all()


def test_only_lead_off_is_marked_as_missing():
    _, missing = whole(make("sinus:4 lead_off:3 sinus:2", block_s=0.33))
    assert (missing[:, 1000:1750] == Cause.LEAD_OFF).all()
    assert not missing[:, :1000].any()
    assert not missing[:, 1750:].any()


@pytest.mark.parametrize("rate_hz", [100.0, 130.061, 250.0, 360.0])
def test_annotations_cover_the_scenario(rate_hz: float):
    source = SyntheticSource(" ".join(f"{rhythm}:3.3" for rhythm in RHYTHMS), sample_rate_hz=rate_hz)
    marks = source.annotations
    assert [m.label for m in marks] == [r.label for r in RHYTHMS.values()]
    assert marks[0].first_sample == 0
    assert marks[-1].end_sample == source.samples == round(3.3 * len(RHYTHMS) * rate_hz)
    assert all(a.end_sample == b.first_sample for a, b in itertools.pairwise(marks))
    silent = [m for m in marks if m.label in {"LEAD_OFF", "ASYSTOLE"}]
    assert not any(m.first_sample < b.sample < m.end_sample for m in silent for b in source.beats)


@pytest.mark.parametrize("seed", range(6))
def test_amplitudes_and_spectrum_are_those_of_an_ecg(seed: int):
    samples = render("sinus", 30, sample_rate_hz=RATE_HZ, seed=seed)
    span = np.ptp(samples, axis=1)
    assert 0.5 < span[II] < 2.2
    assert ((span > 0.15) & (span < 4)).all()
    hertz, power = signal.welch(samples[II], RATE_HZ, nperseg=2048)
    assert power[(hertz > 0.5) & (hertz < 40)].sum() > 0.6 * power.sum()
    assert power[hertz > 40].sum() < 0.02 * power.sum()


def test_render_gives_twelve_leads_at_the_models_rate():
    window = render("af", 10)
    assert window.shape == (12, 1000)
    assert window.dtype == np.float32
    np.testing.assert_array_equal(window, render("af", 10))


def test_an_hour_is_made_piece_by_piece():
    source = SyntheticSource("sinus:1800 af:1800", leads=("II",), sample_rate_hz=100, block_s=60)
    assert sum(block.samples.shape[1] for block in source.blocks()) == 360_000
    assert len(source.beats) > 4000


@pytest.mark.parametrize("name", SCENARIOS)
def test_named_scenarios_can_be_played(name: str):
    assert {e.rhythm for e in parse_scenario(name)} <= RHYTHMS.keys()
    assert make(name).samples > 0


def test_the_demo_shows_the_main_alarms():
    demo = parse_scenario("demo")
    assert {"sinus", "af", "pvc", "bigeminy", "vt", "lead_off"} == {e.rhythm for e in demo}
    assert sum(e.seconds for e in demo) == pytest.approx(240, abs=30)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sinus:10 bigemny:5", "did you mean 'bigeminy'"),
        ("AF:10", "did you mean 'af'"),
        ("demos", "did you mean 'demo'"),
        ("sinus", "the length is missing"),
        ("sinus:ten", "'ten' is not a number"),
        ("sinus:0", "at least 0.5 s"),
        ("sinus:-3", "at least 0.5 s"),
        ("sinus:nan", "at least 0.5 s"),
        ("sinus:inf", "in all"),
        ("", "in all"),
    ],
)
def test_a_scenario_that_cannot_be_played_is_refused(text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        parse_scenario(text)


@pytest.mark.parametrize(
    "setting",
    [
        {"sample_rate_hz": 10},
        {"sample_rate_hz": float("nan")},
        {"seed": -1},
        {"block_s": 0},
        {"leads": ()},
        {"leads": ("II", "X")},
        {"leads": ("II", "MLII")},
    ],
)
def test_settings_out_of_range_are_refused(setting: dict):
    with pytest.raises(ConfigError):
        SyntheticSource("sinus:5", **setting)
