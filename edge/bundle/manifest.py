"""A model bundle: a folder with ONNX graphs and a manifest that says all that the runtime must know.

    manifest.json       this module's `Manifest`; holds the SHA-256 of every other file
    model.onnx          signal (batch, 12, samples) mV, keep (batch, 12) -> probabilities (batch, labels), all float32
    golden.npz          signal, keep and the probabilities that they must give
    MODEL_CARD.md       for people
    seen_records.json   the records that training and the choice of thresholds saw
    signature.json      where somebody vouches for it: a signature over the manifest (`edge.bundle.signature`)

Never code, never a pickle. Loading verifies every hash and refuses what does not match. Knows nothing of
the library that runs the graph.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edge.core.errors import BundleError
from edge.core.leads import LEADS

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
SIGNATURE = "signature.json"  # of the manifest, and so not named in it; see `edge.bundle.signature`
GOLDEN = "golden.npz"
CONDITIONING = "high-pass-0.5Hz/1"  # the name of `edge.signal.conditioning.condition`; a change there needs a new one
MAX_GOLDEN_TOLERANCE = 0.3  # a graph that is further off than this does not reproduce the model
LABEL_IN_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_MANIFEST_BYTES = 1 << 20
_MAX_FILE_BYTES = 256 << 20

Priority = Literal["high", "medium", "low", "none"]
AlarmKind = Literal["physiological", "technical"]


class InputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the graph expects, and how windows are cut for it."""

    leads: tuple[str, ...] = LEADS
    sample_rate_hz: float
    window_s: float
    hop_s: float
    min_coverage: float  # part of a lead's window that must be present, else the lead is not kept
    units: Literal["mV"] = "mV"
    conditioning: str = CONDITIONING

    @property
    def window_samples(self) -> int:
        """Length of a window at the model's rate."""
        return round(self.window_s * self.sample_rate_hz)

    @property
    def hop_samples(self) -> int:
        """Distance between the starts of windows at the model's rate."""
        return round(self.hop_s * self.sample_rate_hz)


class Pooling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the last outputs of a stream are combined before the alarms see them."""

    kind: Literal["none", "mean"] = "none"
    windows: int = 1
    labels: dict[str, int] = {}  # by abbreviation: those that are combined over another number of windows

    def of(self, label: str) -> int:
        """Return over how many windows a label's output is combined."""
        return 1 if self.kind == "none" else self.labels.get(label, self.windows)


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One output of the model, and the alarm that it may raise."""

    abbreviation: str
    name: str
    snomed: str | None = None
    priority: Priority = "none"
    kind: AlarmKind = "physiological"
    threshold: float = 0.5
    clear_threshold: float | None = None  # the alarm lasts while the output is not below this; None: the threshold
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    cooldown_s: float = 0.0  # from the end of one alarm to the next
    escalate_s: float = 60.0  # of high priority: told again when nobody has acknowledged it; 0: never
    latch: bool = False


class DataSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A data set that the weights were made from, with what its licence asks to be named."""

    name: str
    version: str
    licence: str
    citation: str
    split: str


class Metric(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One measured figure and the protocol it was measured by."""

    name: str
    value: float
    ci95: tuple[float, float] | None = None
    protocol: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything about a bundle; the contract between workstation and device."""

    schema_version: int
    name: str
    version: str
    input: InputSpec
    pooling: Pooling
    labels: tuple[Label, ...]
    graphs: dict[str, str]  # precision, such as `fp32`, to file name
    files: dict[str, str]  # file name to SHA-256, of every file but the manifest
    data_sets: tuple[DataSet, ...] = ()
    metrics: tuple[Metric, ...] = ()
    golden_tolerances: dict[str, float] = {}  # precision to largest difference from the golden outputs


class BundleRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which bundle decided."""

    name: Annotated[str, Meta(description="Name of the bundle.")]
    version: Annotated[str, Meta(description="Version of the bundle.")]
    sha256: Annotated[str, Meta(description="SHA-256 of the bundle's manifest, which names every file in it.")]


class Golden(msgspec.Struct, frozen=True):
    """Windows made by the synthetic source, with the outputs that any back end must give."""

    signal: NDArray[np.float32]  # (windows, 12, samples), mV, conditioned
    keep: NDArray[np.float32]  # (windows, 12)
    probabilities: NDArray[np.float32]  # (windows, labels)


class Bundle(msgspec.Struct, frozen=True):
    """A bundle whose every hash was verified."""

    path: Path
    manifest: Manifest
    sha256: str  # of manifest.json, and so of everything

    @property
    def ref(self) -> BundleRef:
        """What reports and payloads call this bundle."""
        return BundleRef(self.manifest.name, self.manifest.version, self.sha256)

    def graph(self, precision: str) -> Path:
        """Return the path of the graph of one precision, or raise BundleError."""
        try:
            return self.path / self.manifest.graphs[precision]
        except KeyError:
            have = ", ".join(sorted(self.manifest.graphs))
            raise BundleError(f"{self.path}: no graph of precision {precision!r}; it has {have}") from None

    def golden(self) -> Golden:
        """Read the golden windows, or raise BundleError."""
        try:
            with np.load(self.path / GOLDEN, allow_pickle=False) as arrays:
                return Golden(arrays["signal"], arrays["keep"], arrays["probabilities"])
        except (OSError, ValueError, KeyError) as exc:
            raise BundleError(f"{self.path / GOLDEN}: cannot be read: {exc}") from exc


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def load_bundle(path: Path) -> Bundle:
    """Read and verify a bundle folder.

    Raises
    ------
    BundleError
        When a file is missing, too large or does not match its hash, when the manifest does not parse, or
        when it asks for something that this runtime does not do.
    """
    try:
        raw = (path / MANIFEST).read_bytes()
    except OSError as exc:
        raise BundleError(f"{path}: no readable {MANIFEST} there; name the folder of a bundle") from exc
    if len(raw) > _MAX_MANIFEST_BYTES:
        raise BundleError(f"{path / MANIFEST}: {len(raw)} bytes, more than the {_MAX_MANIFEST_BYTES} allowed")
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BundleError(f"{path / MANIFEST}: {exc}") from exc
    _check_manifest(path, manifest)
    for name, expected in manifest.files.items():
        _check_file(path, name, expected)
    return Bundle(path, manifest, hashlib.sha256(raw).hexdigest())


def _check_file(folder: Path, name: str, expected: str) -> None:
    if Path(name).name != name or name in {MANIFEST, SIGNATURE, "", ".", ".."}:
        raise BundleError(f"{folder}: {name!r} is not the plain name of a file in the bundle")
    path = folder / name
    if not path.is_file():
        raise BundleError(f"{path}: named in the manifest and missing; copy the bundle again")
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise BundleError(f"{path}: larger than the {_MAX_FILE_BYTES >> 20} MiB allowed")
    if sha256_of(path) != expected:
        raise BundleError(f"{path}: its SHA-256 is not the manifest's; copy the bundle again")


def _check_manifest(path: Path, manifest: Manifest) -> None:
    for fault in (*_input_faults(manifest), *_pooling_faults(manifest), *_label_faults(manifest)):
        raise BundleError(f"{path / MANIFEST}: {fault}")


def _input_faults(manifest: Manifest) -> Iterator[str]:
    spec = manifest.input
    if manifest.schema_version != SCHEMA_VERSION:
        yield f"schema version {manifest.schema_version}; this runtime reads {SCHEMA_VERSION}"
    if spec.leads != LEADS:
        yield f"the leads must be {', '.join(LEADS)} in this order"
    if not 25 <= spec.sample_rate_hz <= 1000:
        yield f"sample rate {spec.sample_rate_hz} Hz; 25 to 1000 are possible"
    if not 0 < spec.hop_s <= spec.window_s <= 60:
        yield f"hop {spec.hop_s} s and window {spec.window_s} s; 0 < hop <= window <= 60 is possible"
    for samples in (spec.window_s * spec.sample_rate_hz, spec.hop_s * spec.sample_rate_hz):
        if abs(samples - round(samples)) > 1e-6:
            yield f"window and hop must be whole numbers of samples, not {samples}"
    if not 0 < spec.min_coverage <= 1:
        yield f"min_coverage {spec.min_coverage} is not in (0, 1]"
    if spec.conditioning != CONDITIONING:
        yield f"conditioning {spec.conditioning!r}; this runtime does {CONDITIONING!r}"


def _pooling_faults(manifest: Manifest) -> Iterator[str]:
    pooling = manifest.pooling
    for windows in (pooling.windows, *pooling.labels.values()):
        if not 1 <= windows <= 600:
            yield f"pooling over {windows} windows; 1 to 600 are possible"
    for label in sorted(pooling.labels.keys() - {label.abbreviation for label in manifest.labels}):
        yield f"pooling of {label!r}, which is no label"


def _label_faults(manifest: Manifest) -> Iterator[str]:
    names = [label.abbreviation for label in manifest.labels]
    if not names or len(set(names)) != len(names):
        yield "the labels must be there, and each once"
    for label in manifest.labels:
        if label.priority != "none" and not LABEL_IN_TOPIC.fullmatch(label.abbreviation):
            yield f"label {label.abbreviation!r}: an alarm needs 1 to 64 letters, digits, _ and -, for its topic"
        if not (0 < label.threshold <= 1 and label.on_delay_s >= 0 and label.off_delay_s >= 0):
            yield f"label {label.abbreviation}: threshold in (0, 1] and delays >= 0 are possible"
    for precision, tolerance in manifest.golden_tolerances.items():
        if not 0 < tolerance <= MAX_GOLDEN_TOLERANCE:
            yield f"golden tolerance {tolerance} of {precision}; above 0 and up to {MAX_GOLDEN_TOLERANCE} is possible"
    unlisted = {GOLDEN, *manifest.graphs.values()} - manifest.files.keys()
    if unlisted:
        yield f"no SHA-256 for {', '.join(sorted(unlisted))}"
