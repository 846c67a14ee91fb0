"""`ecg-edge build`: a TensorRT engine for this device, checked on the golden windows and timed."""

import threading
import time
from pathlib import Path

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from edge.bundle.manifest import Bundle
from edge.bundle.shipped import find_bundle
from edge.classifiers.base import Classifier, ClassifierConfig, check_golden
from edge.classifiers.engine_cache import EngineCache, EngineKey, default_folder
from edge.classifiers.tensorrt_runtime import TensorRtClassifier, engine_key, find_or_build, memory_used
from edge.commands.options import json_option, model_option, report_console
from edge.commands.stopping import stop_on_signal
from edge.core.errors import BundleError
from edge.core.machine import peak_rss_mb
from edge.core.output import write_json

_DEFAULT = ClassifierConfig()
_RUNS = 300  # timed runs of each batch size
_WARM_UP = 20


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from arrays to probabilities, including the copies to and from the GPU."""

    p50: float
    p99: float


class BuildReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` writes."""

    bundle: str
    version: str
    key: EngineKey
    path: str
    size_mb: float
    built: bool  # False: it was in the cache
    build_s: float
    golden_worst: float  # largest difference in probability
    latency_ms: dict[str, Latency]  # by batch size, such as b1
    gpu_mb: float  # taken by the engine and its buffers, without the CUDA context
    host_peak_mb: float  # of this process, the build included


@click.command()
@model_option()
@click.option("--precision", default=_DEFAULT.precision, show_default=True, help="Which graph of the bundle.")
@click.option(
    "--max-batch",
    type=click.IntRange(1, 256),
    default=_DEFAULT.max_batch,
    show_default=True,
    help="Most windows in one run, as max_batch in the configuration.",
)
@json_option()
def build(model: str, precision: str, max_batch: int, json_path: Path | None) -> None:
    r"""Build the TensorRT engine of a bundle for this device, or find it, check it and time it.

    The engine is kept in this user's cache (in $STATE_DIRECTORY where systemd sets it), and built again when the graph,
    TensorRT, the GPU, the precision or the batch size changes. Needs TensorRT, pycuda and a GPU.

    \b
    Examples:
      ecg-edge build --precision fp16
      ecg-edge build --model path/to/bundle --precision int8_fp16 --max-batch 32 --json engine.json
    """
    bundle = find_bundle(model)
    key = engine_key(bundle, precision, max_batch)
    cache = EngineCache(default_folder())
    console = report_console(json_path)
    began = time.monotonic()
    engine, built = _build_with_progress(bundle, key, cache, console)
    build_s = time.monotonic() - began
    before = memory_used()  # after the build, whose memory is free again
    with TensorRtClassifier(bundle, engine, max_batch) as classifier:
        worst = check_golden(classifier, bundle, precision)
        latency = {f"b{batch}": time_batches(classifier, bundle, batch) for batch in sorted({1, max_batch})}
        after = memory_used()
    report = BuildReport(
        bundle=bundle.manifest.name,
        version=bundle.manifest.version,
        key=key,
        path=str(cache.engine_path(bundle.manifest.name, key)),
        size_mb=round(len(engine) / 1e6, 2),
        built=built,
        build_s=round(build_s, 2),
        golden_worst=worst,
        latency_ms=latency,
        gpu_mb=round((after - before) / 1e6, 1),
        host_peak_mb=peak_rss_mb(),
    )
    _show(report, console)
    if json_path is not None:
        write_json(report, json_path)


def time_batches(classifier: Classifier, bundle: Bundle, batch: int) -> Latency:
    """Time batches of golden windows."""
    golden = bundle.golden()
    rows = np.arange(batch) % len(golden.signal)  # the golden windows, repeated to fill the batch
    signal, keep = golden.signal[rows], golden.keep[rows]
    times = []
    for run in range(_WARM_UP + _RUNS):
        began = time.perf_counter()
        classifier.classify(signal, keep)
        if run >= _WARM_UP:  # the first runs allocate memory and raise the clock
            times.append(1e3 * (time.perf_counter() - began))
    p50, p99 = np.percentile(times, [50, 99])
    return Latency(round(float(p50), 3), round(float(p99), 3))


def _build_with_progress(bundle: Bundle, key: EngineKey, cache: EngineCache, console: Console) -> tuple[bytes, bool]:
    """Build with a bar for each phase that TensorRT reports; Ctrl-C stops the build."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    stopped = threading.Event()
    lock = threading.Lock()
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True) as progress, stop_on_signal(stopped.set):

        def show(phase: str, done: int, steps: int) -> bool:
            with lock:
                bar = bars.get(phase)
                if bar is None:
                    bar = bars[phase] = progress.add_task(phase, total=steps)
                progress.update(bar, completed=done)
                if done >= steps:
                    progress.remove_task(bars.pop(phase))
            return not stopped.is_set()

        try:
            return find_or_build(bundle, key, cache, show)
        except BundleError:
            if stopped.is_set():
                raise click.Abort from None
            raise


def _show(report: BuildReport, console: Console) -> None:
    key = report.key
    console.print(
        f"{report.bundle} {report.version}, {key.precision}, TensorRT {key.tensorrt}, {key.gpu.name}: "
        + (f"built in {report.build_s:.1f} s" if report.built else "found in the cache"),
        highlight=False,
    )
    console.print(f"{report.path}, {report.size_mb:g} MB", highlight=False, soft_wrap=True)
    console.print(f"golden windows: largest difference {report.golden_worst:.1e}", highlight=False)
    for batch, latency in report.latency_ms.items():
        console.print(f"batch {batch[1:]}: p50 {latency.p50:g} ms, p99 {latency.p99:g} ms", highlight=False)
    console.print(f"memory: GPU {report.gpu_mb:g} MB, this process at most {report.host_peak_mb:g} MB", highlight=False)
