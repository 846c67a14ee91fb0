"""All errors that the device code raises on purpose.

EdgeError
├── ConfigError      a configuration file or option is wrong
├── SourceError      a source cannot be opened or read
│   └── RecordError  a WFDB record is missing, truncated or unusable
├── FrameError       bytes from a wire are not a valid frame or payload
├── StreamError      blocks contradict each other, or the rate or the leads cannot be used
├── BundleError      a model bundle is missing, corrupt or does not fit
├── BrokerError      the MQTT broker cannot be reached or refuses
└── BenchError       the bench cannot be run here, or the service under test failed
"""


class EdgeError(Exception):
    """Base of all errors of the device code.

    The message is one line for a person: what is wrong and what to do next. Errors of other libraries are turned into
    these where they appear, with `raise ... from exc`.
    """


class ConfigError(EdgeError):
    """A configuration file or a command-line option is wrong."""


class SourceError(EdgeError):
    """A source of samples cannot be opened or read."""


class RecordError(SourceError):
    """A WFDB record is missing, truncated or unusable."""


class FrameError(EdgeError):
    """Bytes from a wire are not a valid frame or payload."""


class StreamError(EdgeError):
    """Blocks of one stream contradict each other, or their rate or leads cannot be used."""


class BundleError(EdgeError):
    """A model bundle is missing, corrupt, or does not fit this version."""


class BrokerError(EdgeError):
    """The MQTT broker cannot be reached or refuses the connection."""


class BenchError(EdgeError):
    """The bench cannot be run here, or the service under test failed."""
