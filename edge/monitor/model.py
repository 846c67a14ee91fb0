"""One bundle in the running monitor: how windows are cut, which alarms it drives, and its classifier."""

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from edge.alarms.track import AlarmSpec
from edge.beats.classes import ClassifiedBeat
from edge.beats.features import Described
from edge.beats.fibrillation import Judged
from edge.beats.networks import BeatNetworks, BeatNetworksFactory
from edge.beats.tracker import BeatSecond
from edge.bundle.manifest import BundleRef, InputSpec, Manifest
from edge.classifiers.base import Classifier, ClassifierFactory
from edge.core.errors import BundleError
from edge.core.leads import LEADS
from edge.signal.windows import Window


class Model:
    """A bundle whose classifier is opened, used and closed in the classifier thread.

    Parameters
    ----------
    manifest : of the bundle
    open_classifier : called once, by `open`
    specs : the alarms of every stream
    sha256 : of the manifest; part of the bundle's reference in payloads
    open_beats : called once, by `open`; None: the bundle classifies no beats
    """

    def __init__(
        self,
        manifest: Manifest,
        open_classifier: ClassifierFactory,
        specs: Sequence[AlarmSpec],
        sha256: str = "",
        open_beats: BeatNetworksFactory | None = None,
    ) -> None:
        self.manifest = manifest
        self.sha256 = sha256
        self.specs = tuple(specs)
        self.labels = tuple(label.abbreviation for label in manifest.labels)
        self._open_classifier = open_classifier
        self._open_beats = open_beats
        self._beats: BeatNetworks | None = None
        self._classifier: Classifier | None = None
        self._closing = ExitStack()
        self._signal = np.zeros((0, len(LEADS), 0), np.float32)
        self._keep = np.zeros((0, len(LEADS)), np.float32)

    @property
    def ref(self) -> BundleRef:
        """The bundle's reference in reports and payloads."""
        return BundleRef(self.manifest.name, self.manifest.version, self.sha256)

    @property
    def input(self) -> InputSpec:
        """How its windows are cut."""
        return self.manifest.input

    def open(self, max_batch: int) -> None:
        """Open the classifier for batches of up to `max_batch` windows; raise what its factory raises."""
        self._classifier = self._closing.enter_context(self._open_classifier())
        self._beats = self._open_beats() if self._open_beats else None
        self._signal = np.zeros((max_batch, len(LEADS), self.input.window_samples), np.float32)
        self._keep = np.zeros((max_batch, len(LEADS)), np.float32)

    def close(self) -> None:
        """Close the classifier, if it is open."""
        self._classifier = self._beats = None
        self._closing.close()

    @property
    def classifies_beats(self) -> bool:
        """Whether the bundle has a beat network."""
        return self._open_beats is not None

    def classify_beats(self, beats: Sequence[Described]) -> list[ClassifiedBeat]:
        """Return the classes of beats of any streams, in the same order; none where the bundle has no beat network."""
        return [] if self._beats is None else self._beats.classify(beats)

    def judge_fibrillation(self, seconds: Sequence[BeatSecond]) -> list[Judged | None]:
        """Return what the window of each second is; None where nothing can tell."""
        return [None] * len(seconds) if self._beats is None else self._beats.fibrillation(seconds)

    def classify(self, windows: Sequence[Window]) -> NDArray[np.float32]:
        """Return (windows, labels) probabilities of good windows, `max_batch` at most.

        Raises
        ------
        BundleError
            When the model is not open, or an output is not a number: NaN is over no threshold, so a broken graph
            would look like a healthy patient.
        """
        if self._classifier is None:
            raise BundleError(f"the model {self.manifest.name} is not open")
        signal, keep = self._signal[: len(windows)], self._keep[: len(windows)]
        signal.fill(0.0)
        keep.fill(0.0)
        for row, window in enumerate(windows):
            positions = list(window.positions)
            signal[row, positions] = window.signal
            keep[row, positions] = 1.0
        outputs = self._classifier.classify(signal, keep)
        if not np.isfinite(outputs).all():
            raise BundleError("the model gives outputs that are not numbers; try another precision or back end")
        return outputs
