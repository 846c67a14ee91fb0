"""Brings a new bundle into a running service, or reports why not.

    request ──► staged and trusted? ──► golden windows, dry run ──► on probation ──► accepted: the last good bundle
                     │                       │                           │ fails
                     └─────── refused ───────┘                           └──► rolled back

A swap that a kill interrupts is given up: the last good bundle serves after the next start. A bundle that fails after
its probation ends the service, and the one before it serves after the next start.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edge.alarms.specs import bundle_specs
from edge.beats.networks import beat_networks
from edge.bundle.manifest import Bundle
from edge.bundle.shipped import find_bundle
from edge.classifiers.base import OnBackend
from edge.classifiers.opening import open_classifier
from edge.core.errors import BundleError, EdgeError
from edge.monitor.model import Model
from edge.monitor.model_switch import Swap, SwapPhase
from edge.monitor.runtime import MonitorRuntime
from edge.publish.swap_outcome import SWAP_RESULTS, Outcome, SwapResult, SwapState
from edge.service.choose_bundle import check_trusted
from edge.service.config import ServiceConfig, read_config
from edge.service.swap.dry_run import DryRunTask, run_in_process
from edge.service.swap.store import BundleStore, LastGood, SwapRequest
from edge.service.swap.stored_hour import StoredHour
from edge.service.systemd import Notifier

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

_LOG = logging.getLogger(__name__)
_POLL_S = 0.2
_LEVELS = {"accepted": logging.WARNING, "refused": logging.ERROR, "rolled_back": logging.ERROR}
_RESTARTED = "the service was restarted meanwhile, with the last good bundle; ask again"


class SwapHooks(NamedTuple):
    """What the swapper calls when something changes."""

    switch_model: Callable[[Bundle], None]  # another bundle serves now; in the classifier's thread, must return at once
    publish_outcome: Callable[[SwapResult, str, str], None]  # the result, the bundle's name, and why
    set_classifier: OnBackend  # which back end runs the graph


class Swapper:
    """Handles swap requests while it is entered: one at a time, each in its own thread.

    Parameters
    ----------
    config : of the service
    bundle : that serves at the start
    store : where bundles are staged
    stored_hour : the last hour of the streams
    runtime : in which the new bundle takes over
    hooks : called when something changes
    """

    def __init__(
        self,
        config: ServiceConfig,
        bundle: Bundle,
        store: BundleStore,
        stored_hour: StoredHour,
        runtime: MonitorRuntime,
        hooks: SwapHooks,
    ) -> None:
        self._config = config
        self._serving = bundle
        self._store = store
        self.stored_hour = stored_hour
        self._closing = ExitStack()
        self._runtime = runtime
        self._hooks = hooks
        self._reload: Path | None = None  # configuration file whose bundle should take over
        self._reported_reloading = False  # to systemd
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._trying = False  # a bundle is being tried and does not serve yet
        self._last_request = ""  # its id

    def __enter__(self) -> "Self":
        """Take the lock of the store; ConfigError when another service holds it."""
        self._closing.enter_context(self._store.serving())
        self._closing.callback(self.stored_hour.close)
        self._refuse_old_request()
        return self

    def __exit__(self, *_error: object) -> None:
        """Give up the swap that is running, if any."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._closing.close()

    def _refuse_old_request(self) -> None:
        """Refuse a request that an earlier run left unfinished, because `ecg-edge swap` may still wait for it."""
        request, outcome = self._store.request, self._store.outcome
        if request is not None:
            self._last_request = request.id
            if outcome is None or outcome.id != request.id or outcome.state not in SWAP_RESULTS:
                self._record(request, "refused", "", _RESTARTED)

    def reload(self, config: Path) -> None:
        """Swap to the bundle that a configuration file names now; safe in a signal handler."""
        self._reload = config  # nothing more: a signal handler must not take locks; `poll` does the rest

    def poll(self, notifier: Notifier) -> None:
        """Begin with a new request, and keep systemd informed; called a few times a second by one thread."""
        if self._thread is None or not self._thread.is_alive():
            self._begin_next()
        # Only from this thread, because systemd must see the notifications in order.
        if self._trying != self._reported_reloading:
            self._reported_reloading = self._trying
            notifier.reloading() if self._trying else notifier.ready()

    def _begin_next(self) -> None:
        path, self._reload = self._reload, None
        request = self._store.request
        if path is not None:
            self._start(lambda: self._request_of(path))
        elif request is not None and request.id != self._last_request:
            self._last_request = request.id
            self._start(lambda: request)

    def _start(self, get_request: Callable[[], SwapRequest]) -> None:
        self._trying = True
        self._thread = threading.Thread(target=self._run, args=(get_request,), name="swap", daemon=True)
        self._thread.start()

    def _request_of(self, path: Path) -> SwapRequest:
        """Stage the bundle that the configuration file names, and write a request for it."""
        model = read_config(path).model
        request = SwapRequest.of(self._store.stage(find_bundle(model)), model)
        self._store.write(request)
        self._last_request = request.id
        return request

    def _run(self, get_request: Callable[[], SwapRequest]) -> None:
        request, name = SwapRequest(id="", sha256="", model=""), ""
        try:
            request = get_request()
            bundle = self._store.load(request.sha256)
            name = _name(bundle)
            check_trusted(bundle, self._config)
            if bundle.sha256 == self._serving.sha256:
                self._accept(request, name, "it serves already")
            else:
                self._take_over(request, name, bundle)
        except (EdgeError, OSError) as exc:
            self._record(request, "refused", name, str(exc))
        except Exception as exc:  # noqa: BLE001  no fault of a new bundle may end the service
            _LOG.exception("a swap failed")
            self._record(request, "refused", name, repr(exc))
        finally:
            self._trying = False

    def _try_out(self, bundle: Bundle) -> Model:
        """Try the bundle on its golden windows and on the stored hour; EdgeError when it fails."""
        specs = bundle_specs(bundle.manifest, self._config.alarm)
        self.stored_hour.flush()
        task = DryRunTask(
            bundle=str(bundle.path),
            stored_hour=str(self.stored_hour.folder),
            classifier=self._config.classifier,
            alarm=self._config.alarm,
        )
        result = run_in_process(task, self._stopping)
        result.check(self._config.bundle.most_alarms_per_hour)
        _LOG.info(
            "bundle %s: golden windows reproduced; dry run of %.2f h of %d streams, %d alarms",
            bundle.manifest.name,
            result.hours,
            result.streams,
            sum(result.alarms.values()),
        )
        config, set_classifier = self._config.classifier, self._hooks.set_classifier
        return Model(
            bundle.manifest,
            lambda: open_classifier(bundle, config, set_classifier),
            specs,
            bundle.sha256,
            beat_networks(bundle),
        )

    def _take_over(self, request: SwapRequest, name: str, bundle: Bundle) -> None:
        self._record(request, "proving", name)
        model = self._try_out(bundle)
        phases: queue.SimpleQueue[tuple[SwapPhase, str]] = queue.SimpleQueue()
        # Staged too, because by the next start its own folder may have changed.
        before = self._store.stage(self._serving)

        def on_phase(phase: SwapPhase, why: str) -> None:  # in the classifier's thread
            if phase in {"took_over", "rolled_back"}:
                self._hooks.switch_model(bundle if phase == "took_over" else before)
            phases.put((phase, why))

        self._runtime.swap(Swap(model, self._config.bundle.probation_s, on_phase, time.monotonic()))
        while not self._stopping.is_set():
            try:
                phase, why = phases.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            match phase:
                case "took_over":
                    self._trying = False  # it serves, so systemd may see the service as ready
                    self._record(request, "on_probation", name)
                case "confirmed":
                    self._serving = bundle
                    self._accept(request, name, "", before.sha256)
                    return
                case "refused":
                    raise BundleError(why)
                case "rolled_back":
                    self._record(request, "rolled_back", name, why)
                    return

    def _accept(self, request: SwapRequest, name: str, why: str, before: str | None = None) -> None:
        """Make the bundle the last good one, with the one before it to fall back on."""
        good = self._store.last_good
        if before is None and good is not None and good.sha256 == request.sha256:
            before = good.before  # it serves already, so what it falls back on stays the same
        self._store.write(LastGood(sha256=request.sha256, model=request.model, before=before))
        self._record(request, "accepted", name, why)

    def fall_back(self, why: BaseException) -> None:
        """Make the bundle before the serving one the last good one, because the classifier has failed for good.

        The service ends then; the bundle before serves after the next start.
        """
        good = self._store.last_good
        if good is None or good.sha256 != self._serving.sha256 or good.before is None:
            return
        name = _name(self._serving)
        _LOG.error("bundle %s failed; the one before it serves after the restart", name)
        try:
            self._store.write(LastGood(sha256=good.before, model=good.model))
        except OSError as exc:
            _LOG.error("the last good bundle cannot be written: %s", exc)
            return
        self._hooks.publish_outcome("rolled_back", name, str(why))

    def _record(self, request: SwapRequest, state: SwapState, name: str, why: str = "") -> None:
        """Log and write the state of a request, and publish it if it is final."""
        if self._stopping.is_set():
            return  # the next start refuses the request
        outcome = Outcome(id=request.id, state=state, bundle=name, why=why)
        level = _LEVELS.get(state, logging.INFO)
        _LOG.log(level, "bundle %s %s%s", name or "that was asked for", state.replace("_", " "), why and f": {why}")
        if state in {"accepted", "refused", "rolled_back"}:
            self._hooks.publish_outcome(state, name, why)
        try:
            self._store.write(outcome)
        except OSError as exc:
            _LOG.error("the outcome of the swap cannot be written: %s", exc)


def _name(bundle: Bundle) -> str:
    return f"{bundle.manifest.name} {bundle.manifest.version} ({bundle.sha256[:12]})"
