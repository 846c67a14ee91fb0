"""Tries a bundle on the stored hour of the streams, in a process of its own.

Run as `python -m edge.service.swap.rehearsal < TASK`.

What it costs, the memory included, and whatever a graph may do to the process that runs it, stays away from the
service. The golden windows come first, as wherever a classifier is opened.
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from pathlib import Path

import msgspec

from edge.alarms.specs import AlarmOverride, alarm_specs
from edge.bundle.manifest import load_bundle
from edge.classifiers.base import ClassifierConfig
from edge.classifiers.opening import open_classifier
from edge.core.errors import BundleError, EdgeError, StreamError
from edge.monitor.runtime import MonitorRuntime
from edge.monitor.update import StreamUpdate
from edge.service.swap.history import stored_blocks

_POLL_S = 0.2
_NICE = 5


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be tried, and on what."""

    bundle: str  # its folder
    history: str  # folder of the stored hour
    classifier: ClassifierConfig
    alarm: dict[str, AlarmOverride]


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    hours: float  # of ECG, all streams together
    streams: int
    alarms: dict[str, int]  # that the model raised, by label

    def check(self, most_per_hour: float) -> None:
        """Raise BundleError when there were too many alarms; a stream of less than an hour counts as one."""
        count = sum(self.alarms.values())
        if count > most_per_hour * max(self.hours, self.streams):
            worst = ", ".join(f"{label} {n}" for label, n in Counter(self.alarms).most_common(5))
            raise BundleError(
                f"{count} alarms in {self.hours:.2f} h of stored ECG of {self.streams} streams ({worst}), more than "
                f"the {most_per_hour:g} an hour and stream that [bundle] most_alarms_per_hour allows"
            )


def rehearse(task: Task, stopped: threading.Event) -> Rehearsal:
    """Run the rehearsal in a process of its own.

    Raises
    ------
    BundleError
        When the bundle does not reproduce its golden windows, or fails; or when `stopped` was set.
    """
    command = [sys.executable, "-m", "edge.service.swap.rehearsal"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:  # noqa: S603  ourselves
        said: bytes | None = msgspec.json.encode(task)
        while True:
            try:
                out, err = process.communicate(said, timeout=_POLL_S)
                break
            except subprocess.TimeoutExpired:
                said = None
                if stopped.is_set():
                    process.kill()
    if process.returncode:
        last = err.decode(errors="replace").strip().rpartition("\n")[2]
        raise BundleError(last or f"its rehearsal ended with {process.returncode}")
    return msgspec.json.decode(out, type=Rehearsal)


def perform(task: Task) -> Rehearsal:
    """Run the stored hour through a runtime of its own; EdgeError when the bundle fails."""
    bundle = load_bundle(Path(task.bundle))
    alarms: Counter[str] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)

    def sink(update: StreamUpdate) -> None:
        alarms.update(e.spec.label for e in update.events if e.what == "raised" and e.spec.output is not None)

    specs = alarm_specs(bundle.manifest.labels, task.alarm)
    with MonitorRuntime(bundle.manifest, lambda: open_classifier(bundle, task.classifier), specs, sink) as runtime:
        for block in stored_blocks(Path(task.history)):
            for stream in seconds.keys() - {block.stream}:
                runtime.end(stream)
            seconds[block.stream] += block.samples.shape[1] / block.sample_rate_hz
            try:
                runtime.push(block)
            except StreamError:  # the device changed its leads, or the model cannot take its rate
                runtime.end(block.stream)
    return Rehearsal(hours=sum(seconds.values()) / 3600, streams=len(seconds), alarms=dict(alarms))


def main() -> None:
    """Read the task, and write what came of it."""
    with contextlib.suppress(OSError):  # where systemd forbids it
        os.nice(_NICE)
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    try:
        done = perform(task)
    except EdgeError as exc:
        sys.exit(str(exc))
    sys.stdout.buffer.write(msgspec.json.encode(done))


if __name__ == "__main__":
    main()
