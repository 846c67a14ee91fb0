"""A dry run: tries a bundle on the stored hour of the streams, in a process of its own.

`python -m edge.service.swap.dry_run` reads a `DryRunTask` as JSON from standard input and writes a `DryRunResult`. The
process is separate because its memory, and whatever a faulty graph may do, must not harm the service. The golden
windows come first, as wherever a classifier is opened.
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from pathlib import Path

import msgspec

from edge.alarms.specs import AlarmOverride, bundle_specs
from edge.beats.networks import beat_networks
from edge.bundle.manifest import load_bundle
from edge.classifiers.base import ClassifierConfig
from edge.classifiers.opening import open_classifier
from edge.core.errors import BundleError, EdgeError, StreamError
from edge.monitor.runtime import MonitorRuntime
from edge.monitor.update import StreamUpdate
from edge.service.swap.stored_hour import stored_blocks

_POLL_S = 0.2
_NICE = 5  # the service goes first


class DryRunTask(msgspec.Struct, frozen=True, kw_only=True):
    """The bundle to try, and what to try it on."""

    bundle: str  # folder of the bundle
    stored_hour: str  # folder of the stored hour
    classifier: ClassifierConfig
    alarm: dict[str, AlarmOverride]


class DryRunResult(msgspec.Struct, frozen=True, kw_only=True):
    """How many alarms the bundle raised."""

    hours: float  # of ECG, all streams together
    streams: int
    alarms: dict[str, int]  # raised by the model, by label

    def check(self, most_per_hour: float) -> None:
        """Raise BundleError when there were too many alarms; a stream shorter than an hour counts as an hour."""
        count = sum(self.alarms.values())
        if count > most_per_hour * max(self.hours, self.streams):
            worst = ", ".join(f"{label} {n}" for label, n in Counter(self.alarms).most_common(5))
            raise BundleError(
                f"{count} alarms in {self.hours:.2f} h of stored ECG of {self.streams} streams ({worst}), more than "
                f"the {most_per_hour:g} per hour and stream that [bundle] most_alarms_per_hour allows"
            )


def run_in_process(task: DryRunTask, stopped: threading.Event) -> DryRunResult:
    """Do a dry run in a process of its own.

    Raises
    ------
    BundleError
        When the bundle does not reproduce its golden windows, or fails; or when `stopped` was set.
    """
    command = [sys.executable, "-m", "edge.service.swap.dry_run"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:  # noqa: S603  ourselves
        unsent: bytes | None = msgspec.json.encode(task)
        while True:
            try:
                out, err = process.communicate(unsent, timeout=_POLL_S)
                break
            except subprocess.TimeoutExpired:
                unsent = None  # Popen keeps it; a second call must not pass it again
                if stopped.is_set():
                    process.kill()
    if process.returncode:
        last = err.decode(errors="replace").strip().rpartition("\n")[2]
        raise BundleError(last or f"its dry run ended with exit code {process.returncode}")
    return msgspec.json.decode(out, type=DryRunResult)


def dry_run(task: DryRunTask) -> DryRunResult:
    """Run the stored hour through a runtime with the bundle; EdgeError when the bundle fails."""
    bundle = load_bundle(Path(task.bundle))
    alarms: Counter[str] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)

    def sink(update: StreamUpdate) -> None:
        alarms.update(
            e.spec.label for e in update.events if e.kind == "raised" and (e.spec.output is not None or e.spec.rhythm)
        )

    specs = bundle_specs(bundle.manifest, task.alarm)
    # Without `shed`: here the source waits for the classifier, and no window is dropped.
    with MonitorRuntime(
        bundle.manifest,
        lambda: open_classifier(bundle, task.classifier),
        specs,
        sink,
        open_beats=beat_networks(bundle),
    ) as runtime:
        for block in stored_blocks(Path(task.stored_hour)):
            # The streams are stored one after another, so any other stream is over.
            for stream in seconds.keys() - {block.stream}:
                runtime.end(stream)
            seconds[block.stream] += block.samples.shape[1] / block.sample_rate_hz
            try:
                runtime.push(block)
            except StreamError:  # the device changed its leads, or the model cannot take its rate
                runtime.end(block.stream)
    return DryRunResult(hours=sum(seconds.values()) / 3600, streams=len(seconds), alarms=dict(alarms))


def main() -> None:
    """Read the task, and write the result."""
    with contextlib.suppress(OSError):  # where systemd forbids it
        os.nice(_NICE)
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=DryRunTask)
    try:
        result = dry_run(task)
    except EdgeError as exc:
        sys.exit(str(exc))
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
