"""Adds the networks that judge beats and fibrillation to a bundle, after a check that they load and give numbers.

The check runs the device's own classes. Bundle and files are not changed before it has passed.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibration.bundle.manifest import write_manifest
from calibration.errors import CalibrationError
from edge.beats.classes import CLASSES
from edge.beats.classifier import BeatClassifier
from edge.beats.features import CHANNELS, FEATURES, LENGTH, Described
from edge.beats.fibrillation import KINDS, WINDOW, FibrillationNetwork, periods
from edge.beats.spectrum import SpectrumModel
from edge.bundle.manifest import BeatNetwork, Bundle, Manifest, load_bundle
from edge.lab.scoring.folder import SEEN
from training.beats.fibrillation_windows import ALARMED, ANNOTATED
from training.beats.recording import NOISE_RECORDS, SETS, TRAIN
from training.beats.rhythm_spans import read_alarms

BEATS, FIBRILLATION, SPECTRUM = "beats.onnx", "fibrillation.onnx", "spectrum.npz"
_CHECKED_BEATS, _CHECKED_LEADS, _CHECKED_WINDOWS = 4, 2, 3
Seen = dict[str, dict[str, list[str]]]  # records of each part of each set


@dataclass(frozen=True)
class BeatFiles:
    """The files to add; fibrillation and spectrum belong together and may both be missing."""

    beats: Path
    fibrillation: Path | None = None
    spectrum: Path | None = None

    def by_name(self) -> dict[str, Path]:
        """Return the files by their names in the bundle."""
        pairs = ((BEATS, self.beats), (FIBRILLATION, self.fibrillation), (SPECTRUM, self.spectrum))
        return {name: path for name, path in pairs if path is not None}


def add_beats(bundle: Bundle, files: BeatFiles, seen: Seen, out: Path) -> Manifest:
    """Write a copy of a bundle with these files, and the records that trained them marked as seen.

    `out` may be the bundle itself. A signature is removed, since it belongs to the manifest before.

    Raises
    ------
    CalibrationError
        When a file cannot be loaded or gives no finite outputs.
    BundleError
        When the finished bundle is not valid.
    """
    check(files)
    if out.resolve() != bundle.path.resolve():
        shutil.copytree(bundle.path, out, dirs_exist_ok=True)
    for name, path in files.by_name().items():
        if path.resolve() != (out / name).resolve():
            shutil.copyfile(path, out / name)
    _add_seen(out / SEEN, seen)
    names = files.by_name()
    network = BeatNetwork(
        graph=BEATS,
        fibrillation=FIBRILLATION if FIBRILLATION in names else None,
        spectrum=SPECTRUM if SPECTRUM in names else None,
        bias=bundle.manifest.beats.bias if bundle.manifest.beats else (),
    )
    manifest = write_manifest(out, msgspec.structs.replace(bundle.manifest, beats=network))
    load_bundle(out)
    return manifest


def seen_records(data: Path, *, fibrillation: bool) -> Seen:
    """Return the records that train the networks.

    Parameters
    ----------
    data : folder of the data sets; its list of alarms names the records of cinc2015
    fibrillation : whether to add the sets of the fibrillation network

    Raises
    ------
    DataError
        When the list of alarms cannot be read.
    """
    seen = {name: {"train": sorted(TRAIN[name])} for name in (ANNOTATED if fibrillation else SETS)}
    seen["nstdb"] = {"train": list(NOISE_RECORDS)}
    if fibrillation:
        seen[ALARMED] = {"train": sorted(read_alarms(data / ALARMED))}
    return seen


def check(files: BeatFiles) -> None:
    """Raise CalibrationError unless every file loads and gives finite outputs of the right shape."""
    random = np.random.default_rng(0)
    try:
        _check_beats(files.beats, random)
        if files.fibrillation and files.spectrum:
            _check_fibrillation(files.fibrillation, files.spectrum, random)
    except CalibrationError:
        raise
    except Exception as exc:  # ONNX Runtime raises many types, and NumPy others for a file that is no archive
        raise CalibrationError(f"the networks cannot be used: {' '.join(str(exc).split())[:200]}") from exc


def _check_beats(path: Path, random: np.random.Generator) -> None:
    beats = [
        Described(
            float(number),
            random.normal(size=(_CHECKED_LEADS, CHANNELS, LENGTH)).astype(np.float32),
            np.ones(_CHECKED_LEADS, np.bool_),
            random.normal(size=FEATURES).astype(np.float32),
            None,
        )
        for number in range(_CHECKED_BEATS)
    ]
    _check_outputs(path, BeatClassifier(path).probabilities(beats), (_CHECKED_BEATS, len(CLASSES)))


def _check_fibrillation(graph: Path, spectrum: Path, random: np.random.Generator) -> None:
    windows = random.normal(size=(_CHECKED_WINDOWS, WINDOW)).astype(np.float32)
    _check_outputs(graph, FibrillationNetwork(graph).probabilities(windows), (_CHECKED_WINDOWS, len(KINDS)))
    period_s, strength = periods(windows)
    model = SpectrumModel(spectrum)
    _check_outputs(spectrum, model.probabilities(windows, np.minimum(period_s, 9.0), strength), (_CHECKED_WINDOWS,))


def _check_outputs(path: Path, outputs: NDArray[np.floating], shape: tuple[int, ...]) -> None:
    if outputs.shape != shape:
        raise CalibrationError(f"{path}: outputs of shape {outputs.shape} where {shape} is needed")
    if not (np.isfinite(outputs).all() and (outputs >= 0).all() and (outputs <= 1).all()):
        raise CalibrationError(f"{path}: outputs are not probabilities")


def _add_seen(path: Path, added: Seen) -> None:
    """Join the records with those that the file lists already."""
    seen: Seen = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name, parts in added.items():
        own = seen.setdefault(name, {})
        for part, records in parts.items():
            own[part] = sorted({*own.get(part, []), *records})
    path.write_text(json.dumps(seen) + "\n", encoding="utf-8")
