"""Opens the back end that a configuration asks for; imports a back end, and the library behind it, only then."""

from edge.bundle.manifest import Bundle
from edge.classifiers.base import Classifier, ClassifierConfig, Serving, Tell, proven, say_nothing


def open_classifier(bundle: Bundle, config: ClassifierConfig, tell: Tell = say_nothing) -> Classifier:
    """Open a back end and let it prove itself on the bundle's golden windows; `tell` hears which one serves.

    Raises
    ------
    BundleError
        When the graph cannot be loaded, does not fit the manifest, or gives other outputs than it must; or when
        TensorRT cannot serve and nothing else may.
    """
    match config.backend:
        case "onnxruntime":
            from edge.classifiers.onnx_runtime import OnnxRuntimeClassifier

            plain = OnnxRuntimeClassifier(bundle, config.precision, config.threads)
            classifier = proven(plain, bundle, config.precision)
            tell(Serving("onnxruntime", config.precision))
            return classifier
        case "tensorrt" if config.fallback:
            from edge.classifiers.fallback import FallbackClassifier

            return FallbackClassifier(bundle, config, tell)
        case "tensorrt":
            from edge.classifiers.tensorrt_runtime import open_tensorrt

            fast = open_tensorrt(bundle, config.precision, config.max_batch)
            classifier = proven(fast, bundle, config.precision)
            tell(Serving("tensorrt", config.precision))
            return classifier
