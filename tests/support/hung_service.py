"""A service whose classifier hangs for as long as a file exists; its limits are short, for quick tests.

python hung_service.py CONFIG FILE
"""

import sys
import threading
from pathlib import Path

from edge.bundle.shipped import find_bundle
from edge.commands.stopping import stop_on_signal
from edge.monitor import classifier_thread
from edge.service import supervisor
from edge.service.config import read_config

LIMIT_S = 0.5


class Hanging:
    """Passes windows on to a classifier, but waits while the file exists."""

    def __init__(self, classifier, file):
        self._classifier = classifier
        self._file = file

    def classify(self, signal, keep):
        pause = threading.Event()
        while self._file.exists():
            pause.wait(0.02)
        return self._classifier.classify(signal, keep)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._classifier.__exit__(*exc)


def main():
    """Run until SIGTERM."""
    config, file = map(Path, sys.argv[1:])
    really_open = supervisor.open_classifier
    supervisor.open_classifier = lambda *arguments: Hanging(really_open(*arguments), file)
    classifier_thread._LOOP_LIMIT_S = LIMIT_S
    settings = read_config(config)
    service = supervisor.Service(settings, find_bundle(settings.model))
    with stop_on_signal(service.stop):
        service.run()


if __name__ == "__main__":
    main()
