"""`xdseg track --follow`: points appear in MLflow while runs train, and records when they are made.

A look reads every curve that changed and writes the points that the store lacks. A killed run's curve is cut back and
repeated by its successor: equal points, which the store has already. What the store holds is asked of it once per run,
so a follower may be stopped and started, or lose its server, at any moment.
"""

import fcntl
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from xdseg.cells import RESULTS, RUN_FOLDER, Run
from xdseg.curve import CURVE
from xdseg.errors import BadInput
from xdseg.process import LOCK
from xdseg.records import PRODUCED
from xdseg.settings.training import Augmentation, Training
from xdseg.stages.train import RECEIPT
from xdseg.tracking.curves import LOSS, read_points
from xdseg.tracking.inputs import Inputs
from xdseg.tracking.mirror import SAME, Mirror
from xdseg.tracking.records import PATTERN, Recorded, key_of, read_record, wanted_runs
from xdseg.tracking.store import StoreAway
from xdseg.tracking.wanted import FINISHED, KILLED, RUNNING, TRAINING, Wanted, running, trained

RUNS = "*/*/*/s*-*"  # below results/
KILLED_AFTER = 600  # seconds without a point and without a process; on a shared disk the lock alone may not tell
ANSWERS = "the store answers again"
Say = Callable[[str], None]
Outcome = TypeVar("Outcome")
Signature = tuple[int, ...]


class Follower:
    """What lies in results/ and when it was last looked at."""

    def __init__(
        self, mirror: Mirror, *, runs: dict[str, Run], recorded: Recorded, say: Say, inputs: Inputs | None = None
    ) -> None:
        self.mirror, self.runs, self.recorded, self.say = mirror, runs, dict(recorded), say
        self.inputs = inputs
        self.seen: dict[Path, Signature] = {}
        self.faults: set[str] = set()

    def look(self) -> int:
        """One round over all files; returns how many runs of the store changed. Raises StoreAway."""
        return sum(map(self._take_run, sorted(RESULTS.glob(RUNS)))) + self._take_records()

    def lost(self) -> None:
        """The store did not answer: ask it anew what it holds, and look at everything again."""
        self.mirror.forget()
        self.seen.clear()

    def _take_run(self, folder: Path) -> int:
        name = folder.relative_to(RESULTS).as_posix()
        if not RUN_FOLDER.fullmatch(name) or not (folder / CURVE).exists():
            return 0
        signature = (*_signature(folder / CURVE), *_signature(folder / RECEIPT), _stopped(folder))
        if self.seen.get(folder) == signature:
            return 0
        try:
            wanted = self._wanted(name, folder)
        except StoreAway:
            raise
        except BadInput as error:
            return self._fault(error)
        changed = wanted is not None and self.mirror.put(wanted) != SAME
        self.seen[folder] = signature
        return changed

    def _wanted(self, name: str, folder: Path) -> Wanted | None:
        held = self.mirror.find(name.split("/")[0], TRAINING, name)
        if (folder / RECEIPT).exists():
            if held and held.status == FINISHED and LOSS in held.metrics:
                return None  # its record, or an earlier look, has said all
            return trained(name, folder / RECEIPT, folder / CURVE)
        points, _ = read_points(folder / CURVE)
        if not points:
            return None
        run = self.runs.get(str(folder))
        settings = settings_of(run) if run else {}
        return running(name, points, settings, status=KILLED if _stopped(folder) else RUNNING)

    def _take_records(self) -> int:
        touched: set[str] = set()
        for path in sorted(PRODUCED.glob(PATTERN)):
            signature = _signature(path)
            if self.seen.get(path) == signature:
                continue
            try:
                self.recorded[key_of(path)] = (path, read_record(path))
                touched.add(key_of(path))
            except BadInput as error:
                self._fault(error)
            self.seen[path] = signature
        runs = {self.recorded[key][1].get("run") for key in touched}
        together = {
            key: said for key, said in self.recorded.items() if key in touched or (said[1].get("run") or "") in runs
        }
        try:
            wanted = wanted_runs(together, self.inputs) if touched else []
        except BadInput as error:
            return self._fault(error)
        return sum(self.mirror.put(one) != SAME for one in wanted)

    def _fault(self, error: BadInput) -> int:
        """A broken file is said once, and its neighbours are followed on."""
        if str(error) not in self.faults:
            self.faults.add(str(error))
            self.say(str(error))
        return 0


def settings_of(run: Run) -> dict[str, Any]:
    """Settings of a run of the grid, as its record will hold them."""
    return {
        "segmenter": run.payload["segmenter"],
        "adaptations": run.payload["adaptations"],
        "training": run.context.recipe(run.definition, "training", Training).model_dump(mode="json"),
        "augmentation": run.context.recipe(run.definition, "augmentation", Augmentation).model_dump(mode="json"),
    }


def _signature(path: Path) -> Signature:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return ()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _stopped(folder: Path) -> bool:
    """Has the run ended without a receipt? Then no process holds its folder, and no point came for long."""
    try:
        if (folder / RECEIPT).exists() or time.time() - (folder / CURVE).stat().st_mtime < KILLED_AFTER:
            return False
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return True
    return True


def patiently(action: Callable[[], Outcome], *, every: float, say: Say) -> Outcome:
    """What the action returns once the store answers; it is done again from the start every so many seconds."""
    away = False
    while True:
        try:
            outcome = action()
        except StoreAway as error:
            if not away:
                say(f"{error}; trying again every {every:g} s")
            away = True
            time.sleep(every)
            continue
        if away:
            say(ANSWERS)
        return outcome


def follow(follower: Follower, *, every: float, until_idle: float | None, after: Callable[[], None]) -> None:
    """Look every so many seconds until SIGINT, SIGTERM or, with `until_idle`, so many seconds without news.

    `after` is called after a look with news. A store that stops answering is asked again at the next look, unless
    there is an end to wait for. Raises StoreAway then.
    """
    with _asked_to_stop() as stop:
        news, away = time.monotonic(), False
        while not stop.is_set():
            try:
                if follower.look():
                    news = time.monotonic()
                    after()
                if away:
                    follower.say(ANSWERS)
                away = False
            except StoreAway as error:
                if until_idle is not None:
                    raise
                if not away:
                    follower.say(f"{error}; trying again every {every:g} s")
                away = True
                follower.lost()
            if until_idle is not None and time.monotonic() - news >= until_idle:
                return
            stop.wait(every)


@contextmanager
def _asked_to_stop() -> Iterator[Event]:
    """Set by SIGINT and SIGTERM: the look at hand is finished, so nothing is half written."""
    stop = Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
