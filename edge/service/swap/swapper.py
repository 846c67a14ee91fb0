"""Brings another bundle into a running service, or says why not.

    asked ──► staged? trusted? ──► golden windows, stored hour ──► on probation ──► accepted: the last good one
                   │                        │                            │ errs
                   └──────── refused ───────┘                            └──► rolled back

What was under way when the service was killed is given up: the last good bundle serves at the next start. One that
fails after its probation ends the service, and the one before it serves at the next start.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from edge.alarms.specs import alarm_specs
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
from edge.service.swap.history import History
from edge.service.swap.rehearsal import Task, rehearse
from edge.service.swap.store import BundleStore, Current, Request
from edge.service.systemd import Notifier

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

_LOG = logging.getLogger(__name__)
_POLL_S = 0.2
_LEVELS = {"accepted": logging.WARNING, "refused": logging.ERROR, "rolled_back": logging.ERROR}
_ANEW = "the service was started anew meanwhile, with the last good bundle; ask again"


class Swapper:
    """Looks after requests while it is entered; one at a time, each in a thread of its own.

    Parameters
    ----------
    config : of the service
    bundle : that serves
    store : of bundles
    history : the stored hour
    runtime : in which another bundle takes over
    adopt : is told in the classifier's thread that another bundle serves now; must return at once
    tell : is told each final outcome, with the bundle's name and why
    set_classifier : is told which back end serves
    """

    def __init__(  # noqa: PLR0913, PLR0917  what is wired in once
        self,
        config: ServiceConfig,
        bundle: Bundle,
        store: BundleStore,
        history: History,
        runtime: MonitorRuntime,
        adopt: Callable[[Bundle], None],
        tell: Callable[[SwapResult, str, str], None],
        set_classifier: OnBackend,
    ) -> None:
        self._config = config
        self._serving = bundle
        self._store = store
        self.history = history
        self._closing = ExitStack()
        self._runtime = runtime
        self._switch_model = adopt
        self._tell = tell
        self._set_classifier = set_classifier
        self._reload: Path | None = None
        self._told_reloading = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._trying = False
        self._seen = ""  # id of the last request

    def __enter__(self) -> "Self":
        """Be the one who looks after this store; ConfigError when another service does."""
        self._closing.enter_context(self._store.serving())
        self._closing.callback(self.history.close)
        self._pass_over()
        return self

    def __exit__(self, *_error: object) -> None:
        """Give up what is under way."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._closing.close()

    def _pass_over(self) -> None:
        """Leave what was asked of an earlier run, and say so to whoever still waits for it."""
        asked, outcome = self._store.request, self._store.outcome
        if asked is not None:
            self._seen = asked.id
            if outcome is None or outcome.id != asked.id or outcome.state not in SWAP_RESULTS:
                self._note(asked, "refused", "", _ANEW)

    def reload(self, config: Path) -> None:
        """Let the bundle that a configuration file names now take over; safe in a signal handler."""
        self._reload = config

    def poll(self, notifier: Notifier) -> None:
        """Begin with what was asked, and keep systemd informed; called a few times a second by one thread."""
        if self._thread is None or not self._thread.is_alive():
            self._begin_next()
        if self._trying != self._told_reloading:
            self._told_reloading = self._trying
            notifier.reloading() if self._trying else notifier.ready()

    def _begin_next(self) -> None:
        path, self._reload = self._reload, None
        request = self._store.request
        if path is not None:
            self._start(lambda: self._request_of(path))
        elif request is not None and request.id != self._seen:
            self._seen = request.id
            self._start(lambda: request)

    def _start(self, request: Callable[[], Request]) -> None:
        self._trying = True
        self._thread = threading.Thread(target=self._run, args=(request,), name="swap", daemon=True)
        self._thread.start()

    def _request_of(self, path: Path) -> Request:
        """Stage the bundle that the configuration file names, and ask for it."""
        model = read_config(path).model
        request = Request.of(self._store.stage(find_bundle(model)), model)
        self._store.put(request)
        self._seen = request.id
        return request

    def _run(self, ask: Callable[[], Request]) -> None:
        request, name = Request(id="", sha256="", model=""), ""
        try:
            request = ask()
            bundle = self._store.load(request.sha256)
            name = _name(bundle)
            check_trusted(bundle, self._config)
            if bundle.sha256 == self._serving.sha256:
                self._accept(request, name, "it serves already")
            else:
                self._take_over(request, name, bundle)
        except (EdgeError, OSError) as exc:
            self._note(request, "refused", name, str(exc))
        except Exception as exc:  # noqa: BLE001  the service goes on with what serves, whatever ails a candidate
            _LOG.exception("a swap failed")
            self._note(request, "refused", name, repr(exc))
        finally:
            self._trying = False

    def _prove(self, bundle: Bundle) -> Model:
        """Try the bundle on its golden windows and on the stored hour; EdgeError when it fails."""
        specs = alarm_specs(bundle.manifest.labels, self._config.alarm)
        self.history.flush()
        task = Task(
            bundle=str(bundle.path),
            history=str(self.history.folder),
            classifier=self._config.classifier,
            alarm=self._config.alarm,
        )
        done = rehearse(task, self._stopping)
        done.check(self._config.bundle.most_alarms_per_hour)
        heard = f"{done.hours:.2f} h of {done.streams} streams, {sum(done.alarms.values())} alarms"
        _LOG.info("bundle %s proven: golden windows; %s", bundle.manifest.name, heard)
        config, tell = self._config.classifier, self._set_classifier
        return Model(bundle.manifest, lambda: open_classifier(bundle, config, tell), specs, bundle.sha256)

    def _take_over(self, request: Request, name: str, bundle: Bundle) -> None:
        self._note(request, "proving", name)
        model = self._prove(bundle)
        turns: queue.SimpleQueue[tuple[SwapPhase, str]] = queue.SimpleQueue()
        before = self._store.stage(self._serving)  # to be there whatever the configuration names by then

        def hear(turn: SwapPhase, why: str) -> None:
            if turn in {"took_over", "rolled_back"}:
                self._switch_model(bundle if turn == "took_over" else before)
            turns.put((turn, why))

        self._runtime.swap(Swap(model, self._config.bundle.probation_s, hear, time.monotonic()))
        while not self._stopping.is_set():
            try:
                turn, why = turns.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            match turn:
                case "took_over":
                    self._trying = False
                    self._note(request, "on_probation", name)
                case "confirmed":
                    self._serving = bundle
                    self._accept(request, name, "", before.sha256)
                    return
                case "refused":
                    raise BundleError(why)
                case "rolled_back":
                    self._note(request, "rolled_back", name, why)
                    return

    def _accept(self, request: Request, name: str, why: str, before: str | None = None) -> None:
        current = self._store.current
        if before is None and current is not None and current.sha256 == request.sha256:
            before = current.before
        self._store.put(Current(sha256=request.sha256, model=request.model, before=before))
        self._note(request, "accepted", name, why)

    def fall_back(self, why: BaseException) -> None:
        """Let the bundle before the one that serves be the last good one, as the classifier has failed for good.

        The service ends with it; the next start serves the one before.
        """
        current = self._store.current
        if current is None or current.sha256 != self._serving.sha256 or current.before is None:
            return
        name = _name(self._serving)
        _LOG.error("bundle %s failed; the one before it serves after the restart", name)
        try:
            self._store.put(Current(sha256=current.before, model=current.model))
        except OSError as exc:
            _LOG.error("which bundle is good cannot be kept: %s", exc)
            return
        self._tell("rolled_back", name, str(why))

    def _note(self, request: Request, state: SwapState, name: str, why: str = "") -> None:
        if self._stopping.is_set():
            return  # the next start tells
        outcome = Outcome(id=request.id, state=state, bundle=name, why=why)
        level = _LEVELS.get(state, logging.INFO)
        _LOG.log(level, "bundle %s %s%s", name or "that was asked for", state.replace("_", " "), why and f": {why}")
        if state in {"accepted", "refused", "rolled_back"}:
            self._tell(state, name, why)
        try:
            self._store.put(outcome)
        except OSError as exc:
            _LOG.error("the outcome cannot be kept: %s", exc)


def _name(bundle: Bundle) -> str:
    return f"{bundle.manifest.name} {bundle.manifest.version} ({bundle.sha256[:12]})"
