"""A model bundle: a folder with ONNX graphs and a manifest that holds everything the device must know about them.

    manifest.json       this module's `Manifest`; holds the SHA-256 of every other file
    model.onnx          signal (batch, 12, samples) mV, keep (batch, 12) -> probabilities (batch, labels), all float32
    golden.npz          signal, keep and the probabilities that they must result in
    MODEL_CARD.md       for people
    seen_records.json   the records that were used for training and for choosing thresholds
    signature.json      optional signature of the manifest (`edge.bundle.signature`)

A bundle holds no code and no pickle. Loading verifies every hash, and refuses a bundle with one that does not match.
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
SIGNATURE = "signature.json"  # it signs the manifest, so the manifest cannot hold its hash
GOLDEN = "golden.npz"
CONDITIONING = "high-pass-0.5Hz/1"  # of `edge.signal.conditioning.condition`; change the name when that changes
MAX_GOLDEN_TOLERANCE = 0.3  # a graph with a larger difference does not reproduce the model
LABEL_IN_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Limits, since a bundle may come from anywhere.
_MAX_MANIFEST_BYTES = 1 << 20
_MAX_FILE_BYTES = 256 << 20

Priority = Literal["high", "medium", "low", "none"]
AlarmKind = Literal["physiological", "technical"]


class InputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the graph expects, and how windows are cut for it."""

    leads: Annotated[tuple[str, ...], Meta(description="Leads in the graph's order.")] = LEADS
    sample_rate_hz: Annotated[float, Meta(description="Sample rate of the graph. 25 to 1000 Hz.")]
    window_s: Annotated[float, Meta(description="Length of a window. 60 s at most.")]
    hop_s: Annotated[float, Meta(description="Time from the start of one window to the start of the next.")]
    min_coverage: Annotated[
        float, Meta(description="Least part of a lead's window that must have arrived, or the lead is not kept.")
    ]
    units: Annotated[Literal["mV"], Meta(description="Unit of the samples.")] = "mV"
    conditioning: Annotated[str, Meta(description="Filter that is applied before the graph, and its version.")] = (
        CONDITIONING
    )

    @property
    def window_samples(self) -> int:
        """Length of a window at the model's rate."""
        return round(self.window_s * self.sample_rate_hz)

    @property
    def hop_samples(self) -> int:
        """Distance between the starts of windows at the model's rate."""
        return round(self.hop_s * self.sample_rate_hz)


class Pooling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the latest outputs of a stream are combined before the alarms use them."""

    kind: Annotated[
        Literal["none", "mean"], Meta(description="None: each output is used alone. Mean: the average.")
    ] = "none"
    windows: Annotated[int, Meta(description="Number of windows that are combined. 1 to 600.")] = 1
    labels: Annotated[
        dict[str, int], Meta(description="Labels that are combined over another number of windows, by abbreviation.")
    ] = {}

    def of(self, label: str) -> int:
        """Return over how many windows a label's output is combined."""
        return 1 if self.kind == "none" else self.labels.get(label, self.windows)


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One output of the model, and the alarm that it may raise."""

    abbreviation: Annotated[str, Meta(description="Short name, such as AF. It names the alarm in topics.")]
    name: Annotated[str, Meta(description="Name in plain words.")]
    snomed: Annotated[str | None, Meta(description="SNOMED CT concept, if there is one.")] = None
    priority: Annotated[Priority, Meta(description="Priority of the alarm. None: the output raises no alarm.")] = "none"
    kind: Annotated[
        AlarmKind, Meta(description="Physiological: about the patient. Technical: about the signal or the device.")
    ] = "physiological"
    threshold: Annotated[
        float, Meta(description="Probability at which the alarm's condition begins. Above 0, 1 at most.")
    ] = 0.5
    clear_threshold: Annotated[
        float | None, Meta(description="Probability below which the condition ends. Null: the threshold.")
    ] = None
    on_delay_s: Annotated[float, Meta(description="How long the condition must hold before the alarm is raised.")] = 0.0
    off_delay_s: Annotated[float, Meta(description="How long the condition must be gone before the alarm ends.")] = 0.0
    cooldown_s: Annotated[
        float, Meta(description="Least time from the end of the alarm until it may be raised again.")
    ] = 0.0
    escalate_s: Annotated[
        float, Meta(description="Time after which an unacknowledged alarm of high priority is sent again. 0: never.")
    ] = 60.0
    latch: Annotated[
        bool, Meta(description="Keep the alarm on after its condition has ended, until a person acknowledges it.")
    ] = False


class DataSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A data set that the weights were trained on, with what its licence asks to be named."""

    name: Annotated[str, Meta(description="Name of the data set.")]
    version: Annotated[str, Meta(description="Version of the data set.")]
    licence: Annotated[str, Meta(description="Licence of the data set.")]
    citation: Annotated[str, Meta(description="Publication to cite.")]
    split: Annotated[str, Meta(description="Which records were used, and for what.")]


class Metric(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One measured figure."""

    name: Annotated[str, Meta(description="Name of the figure.")]
    value: Annotated[float, Meta(description="Measured value.")]
    ci95: Annotated[tuple[float, float] | None, Meta(description="95% confidence interval, if there is one.")] = None
    protocol: Annotated[str, Meta(description="How it was measured.")]


class BeatNetwork(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The network that classifies beats."""

    graph: Annotated[str, Meta(description="File of the ONNX graph.")] = "beats.onnx"
    fibrillation: Annotated[
        str | None, Meta(description="File of the ONNX graph that finds ventricular fibrillation. Null: none.")
    ] = None
    spectrum: Annotated[str | None, Meta(description="File of the weights on the spectrum that go with it.")] = None
    bias: Annotated[
        tuple[float, ...],
        Meta(description="Added to the log probability of each class, N S V F Q X, before the class is chosen."),
    ] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Names of its files in the bundle."""
        return tuple(filter(None, (self.graph, self.fibrillation, self.spectrum)))


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything about a bundle; the contract between workstation and device."""

    schema_version: Annotated[int, Meta(description="Version of this format.")]
    name: Annotated[str, Meta(description="Name of the bundle.")]
    version: Annotated[str, Meta(description="Version of the bundle.")]
    input: Annotated[InputSpec, Meta(description="What the graph expects.")]
    pooling: Annotated[Pooling, Meta(description="How outputs are combined over windows.")]
    labels: Annotated[tuple[Label, ...], Meta(description="Outputs of the graph, in its order.")]
    graphs: Annotated[dict[str, str], Meta(description="File of the graph of each precision, such as fp32.")]
    files: Annotated[dict[str, str], Meta(description="SHA-256 of every file but the manifest and the signature.")]
    beats: Annotated[
        BeatNetwork | None, Meta(description="Network that classifies beats. Null: the bundle has none.")
    ] = None
    data_sets: Annotated[tuple[DataSet, ...], Meta(description="Data sets that the weights were trained on.")] = ()
    metrics: Annotated[tuple[Metric, ...], Meta(description="Measured figures.")] = ()
    golden_tolerances: Annotated[
        dict[str, float], Meta(description="Largest difference from the golden outputs that each precision may have.")
    ] = {}


class BundleRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which bundle decided."""

    name: Annotated[str, Meta(description="Name of the bundle.")]
    version: Annotated[str, Meta(description="Version of the bundle.")]
    sha256: Annotated[str, Meta(description="SHA-256 of the bundle's manifest, which names every file in it.")]


class Golden(msgspec.Struct, frozen=True):
    """Windows from the synthetic source, with the outputs that every back end must reproduce."""

    signal: NDArray[np.float32]  # (windows, 12, samples), mV, conditioned
    keep: NDArray[np.float32]  # (windows, 12)
    probabilities: NDArray[np.float32]  # (windows, labels)


class Bundle(msgspec.Struct, frozen=True):
    """A bundle whose hashes are all verified."""

    path: Path
    manifest: Manifest
    sha256: str  # of manifest.json, which holds the hash of every other file

    @property
    def ref(self) -> BundleRef:
        """The reference to this bundle in reports and payloads."""
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
        When a file is missing, too large or does not match its hash, when the manifest is not valid, or when
        it needs something that this runtime does not support.
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
    # A name with a folder in it could reach files outside the bundle.
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
        yield "there must be labels, and each once"
    for label in manifest.labels:
        if label.priority != "none" and not LABEL_IN_TOPIC.fullmatch(label.abbreviation):
            yield f"label {label.abbreviation!r}: an alarm needs 1 to 64 letters, digits, _ and -, for its topic"
        if not (0 < label.threshold <= 1 and label.on_delay_s >= 0 and label.off_delay_s >= 0):
            yield f"label {label.abbreviation}: threshold in (0, 1] and delays >= 0 are possible"
    for precision, tolerance in manifest.golden_tolerances.items():
        if not 0 < tolerance <= MAX_GOLDEN_TOLERANCE:
            yield f"golden tolerance {tolerance} of {precision}; above 0 and up to {MAX_GOLDEN_TOLERANCE} is possible"
    beats = manifest.beats.files if manifest.beats else ()
    unlisted = {GOLDEN, *manifest.graphs.values(), *beats} - manifest.files.keys()
    if unlisted:
        yield f"no SHA-256 for {', '.join(sorted(unlisted))}"
