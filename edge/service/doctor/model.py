"""The bundle: its hashes, its golden windows on ONNX Runtime, and whether the configured alarms exist."""

from collections.abc import Iterator

from edge.alarms.specs import bundle_specs
from edge.bundle.manifest import Bundle
from edge.classifiers.base import ClassifierConfig, check_golden
from edge.core.errors import BundleError, ConfigError
from edge.service.choose_bundle import choose_bundle
from edge.service.config import ServiceConfig
from edge.service.doctor.finding import Finding, fail, ok

_REINSTALL = "pip install --force-reinstall --no-deps ecg-nat  # or copy the bundle again"


def check_model(config: ServiceConfig) -> Iterator[Finding]:
    """Verify the bundle, and check it on the golden windows."""
    try:
        bundle = choose_bundle(config)
    except (BundleError, ConfigError) as exc:
        yield fail("bundle", str(exc), _REINSTALL)
        return
    manifest = bundle.manifest
    yield ok("bundle", f"{manifest.name} {manifest.version}, {len(manifest.files)} hashes, {bundle.sha256[:12]}")
    yield from _golden(bundle, config.classifier)
    try:
        bundle_specs(manifest, config.alarm)
    except ConfigError as exc:
        yield fail("alarms", str(exc), "correct [alarm] in the configuration")


def _golden(bundle: Bundle, config: ClassifierConfig) -> Iterator[Finding]:
    """Run the golden windows on ONNX Runtime, as the back end or its fallback; `ecg-edge build` does TensorRT."""
    import onnxruntime

    from edge.classifiers.onnx_runtime import OnnxRuntimeClassifier

    precision = config.precision if config.backend == "onnxruntime" else "fp32"
    name = f"ONNX Runtime {onnxruntime.__version__}, {precision}"
    try:
        bundle.graph(config.precision)
        with OnnxRuntimeClassifier(bundle, precision, config.threads) as classifier:
            worst = check_golden(classifier, bundle, precision)
    except BundleError as exc:
        yield fail(
            "golden windows", str(exc), "choose another precision or backend in [classifier], or copy the bundle again"
        )
    else:
        yield ok("golden windows", f"{name}: largest difference {worst:.1e}")
