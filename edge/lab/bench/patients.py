"""Synthetic patients for the load, as MQTT payloads that are ready to send; their scenario repeats without end.

The samples are packed once, so that the sender spends almost no CPU time on a payload.
"""

import functools

import msgspec

from edge.sources.formats.adc import AdcBlock, pack
from edge.sources.formats.mqtt_payload import SamplesPayload
from edge.sources.synthetic import ADC_GAIN, SyntheticSource

SCENARIO = "sinus:20 af:20 sinus:10 vt:8 sinus:12 bigeminy:15 sinus:10 pvc:15 sinus:10"  # 120 s, with several alerts
_PATIENTS = 8  # different ones; streams of the same patient start at different times


class Patient:
    """The endless samples of one stream.

    Parameters
    ----------
    number : of the stream; streams differ by patient, or by where they start
    sample_rate_hz : sample rate of the stream
    leads : leads of the stream
    """

    def __init__(self, number: int, sample_rate_hz: float, leads: tuple[str, ...]) -> None:
        self._rate_hz = sample_rate_hz
        self._leads = leads
        self._samples = _packed(number % _PATIENTS, sample_rate_hz, leads)
        self._width = 2 * len(leads)
        # Each stream starts 7.3 s further into the scenario, so that alarms do not all come in the same second.
        self._origin = round(7.3 * sample_rate_hz) * number * self._width % len(self._samples)

    def payload(self, first_sample: int, end_sample: int) -> bytes:
        """Return the instants from `first_sample` to before `end_sample`, counted from the start of the stream."""
        at = (self._origin + first_sample * self._width) % len(self._samples)
        size = (end_sample - first_sample) * self._width
        payload = SamplesPayload(
            version=1,
            sample_rate_hz=self._rate_hz,
            leads=self._leads,
            samples=(self._samples[at : at + size] + self._samples)[:size],
            first_sample=first_sample,
            width=2,
            gain=(ADC_GAIN,) * len(self._leads),
            baseline=(0,) * len(self._leads),
        )
        return msgspec.msgpack.encode(payload)


@functools.cache
def _packed(seed: int, sample_rate_hz: float, leads: tuple[str, ...]) -> bytes:
    """Return the scenario of one patient as little-endian int16, all leads of an instant together."""
    source = SyntheticSource(SCENARIO, seed=seed, sample_rate_hz=sample_rate_hz, leads=leads)
    end = source.samples
    return pack(AdcBlock(0, source.adc(0, end), source.missing(0, end), 0), source.spec)
