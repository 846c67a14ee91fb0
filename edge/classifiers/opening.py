"""Opens the configured back end. A back end and the library behind it are imported only when they are needed."""

from edge.bundle.manifest import Bundle
from edge.classifiers.base import ActiveBackend, Classifier, ClassifierConfig, OnBackend, checked, ignore_backend


def open_classifier(bundle: Bundle, config: ClassifierConfig, on_backend: OnBackend = ignore_backend) -> Classifier:
    """Open a back end and check it on the bundle's golden windows.

    Parameters
    ----------
    bundle : a verified bundle
    config : which graph, and which back end
    on_backend : called with the active back end, now and whenever it changes

    Raises
    ------
    BundleError
        When the graph cannot be loaded, does not fit the manifest, or fails on the golden windows; or when TensorRT
        cannot run and `fallback` is off.
    """
    match config.backend:
        case "onnxruntime":
            from edge.classifiers.onnx_runtime import OnnxRuntimeClassifier

            classifier: Classifier = OnnxRuntimeClassifier(bundle, config.precision, config.threads)
        case "tensorrt" if config.fallback:
            from edge.classifiers.fallback import FallbackClassifier

            return FallbackClassifier(bundle, config, on_backend)
        case "tensorrt":
            from edge.classifiers.tensorrt_runtime import open_tensorrt

            classifier = open_tensorrt(bundle, config.precision, config.max_batch)
    classifier = checked(classifier, bundle, config.precision)
    on_backend(ActiveBackend(config.backend, config.precision))
    return classifier
