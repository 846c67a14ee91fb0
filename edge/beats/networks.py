"""The networks of a bundle that judge beats and fibrillation, opened together in the classifier thread."""

from collections.abc import Callable, Sequence

from edge.beats.classes import ClassifiedBeat
from edge.beats.classifier import BeatClassifier
from edge.beats.features import Described
from edge.beats.fibrillation import FibrillationDetector, FibrillationNetwork, Judged
from edge.beats.spectrum import SpectrumModel
from edge.beats.tracker import BeatSecond
from edge.bundle.manifest import Bundle

BeatNetworksFactory = Callable[[], "BeatNetworks"]


class BeatNetworks:
    """Classifies the beats and the last 5 s of any streams in one batch.

    Parameters
    ----------
    bundle : with a beat network

    Raises
    ------
    BundleError
        When a graph cannot be loaded.
    """

    def __init__(self, bundle: Bundle) -> None:
        network = bundle.manifest.beats
        if network is None:
            raise ValueError("the bundle has no beat network")
        self._classifier = BeatClassifier(bundle.path / network.graph, network.bias or None)
        self._fibrillation = None
        if network.fibrillation and network.spectrum:
            self._fibrillation = FibrillationDetector(
                FibrillationNetwork(bundle.path / network.fibrillation), SpectrumModel(bundle.path / network.spectrum)
            )

    def classify(self, beats: Sequence[Described]) -> list[ClassifiedBeat]:
        """Return the classes of beats of any streams, in the same order."""
        return self._classifier.classify(beats)

    def fibrillation(self, seconds: Sequence[BeatSecond]) -> list[Judged | None]:
        """Return what the window of each second is; None where nothing can tell."""
        if self._fibrillation is None:
            return [None] * len(seconds)
        return self._fibrillation.judge([second.window[second.window_keep] for second in seconds])


def beat_networks(bundle: Bundle) -> BeatNetworksFactory | None:
    """Return what opens the beat networks of a bundle; None where the bundle has none."""
    return None if bundle.manifest.beats is None else lambda: BeatNetworks(bundle)
