"""Tones, blocks of tones, and a runtime. The tiny bundle's output for a tone can be computed by hand."""

import numpy as np

from edge.alarms.specs import alarm_specs
from edge.classifiers.base import ClassifierConfig
from edge.classifiers.opening import open_classifier
from edge.core.samples import Block
from edge.monitor.runtime import MonitorRuntime

RATE = 250


def tone(seconds, amplitude=0.1):
    """Return an oscillation, (1, samples) in mV, whose mean square the tiny bundle turns into probabilities."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * 8 * time))[None].astype(np.float32)


def block(samples, first=0, stream="s", **changes):
    """Return (1, n) samples as a block of lead II that begins at sample `first`."""
    fields = {
        "stream": stream,
        "sample_rate_hz": RATE,
        "leads": ("II",),
        "first_sample": first,
        "samples": samples,
        "missing": np.zeros(samples.shape, np.uint8),
        "device_time_s": first / RATE,
    }
    return Block(**{**fields, **changes})


def new_runtime(bundle, sink, opener=None, **options):
    """Return a runtime of a bundle; `opener` opens another classifier than the bundle's."""
    manifest = bundle.manifest
    opener = opener or (lambda: open_classifier(bundle, ClassifierConfig()))
    return MonitorRuntime(manifest, opener, alarm_specs(manifest.labels), sink, **options)


def balanced(totals):
    """Return whether every sample is accounted for."""
    return totals.samples_in == totals.classified + sum(totals.missing.values()) + totals.pending


class RecordingSink:
    """A sink that keeps all decisions and events."""

    def __init__(self):
        self.decisions = []
        self.events = []

    def __call__(self, update):
        assert update.latency_s >= 0
        if update.decision is not None:
            self.decisions.append((update.monitor.stream, update.decision))
        self.events += [(event.stream, event.spec.label, event.kind, event.end_sample) for event in update.events]
