"""Every error that the runtime raises on purpose.

    EdgeError
    ├── ConfigError      a configuration file or option is wrong
    ├── SourceError      a source cannot be opened or read
    │   └── RecordError  a WFDB record is missing, truncated or unusable
    ├── FrameError       bytes from a wire are no valid frame or payload
    ├── StreamError      blocks contradict each other (rate or leads change midway)
    ├── BundleError      a model bundle is missing, corrupt or does not fit
    ├── BrokerError      the MQTT broker cannot be reached or refuses
    └── BenchError       the bench cannot be run here, or the service under test failed

Each message is one line that says what is wrong and what to do next. Errors of other libraries are
mapped to these where they appear, with `raise ... from exc`.
"""


class EdgeError(Exception):
    """Base of all errors of the runtime; its text is fit to be shown to a person."""


class ConfigError(EdgeError):
    """A configuration file or a command-line option is wrong."""


class SourceError(EdgeError):
    """A source of samples cannot be opened or read."""


class RecordError(SourceError):
    """A WFDB record is missing, truncated or unusable."""


class FrameError(EdgeError):
    """Bytes from a wire are no valid frame or payload."""


class StreamError(EdgeError):
    """Blocks of one stream contradict each other."""


class BundleError(EdgeError):
    """A model bundle is missing, corrupt, or does not fit this runtime."""


class BrokerError(EdgeError):
    """The MQTT broker cannot be reached or refuses the connection."""


class BenchError(EdgeError):
    """The bench cannot be run here, or the service under test failed."""
