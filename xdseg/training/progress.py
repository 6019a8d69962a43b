"""What a run says while it goes: a line on stdout and a point of its curve every few steps."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from xdseg.curve import CURVE

SECONDS_PER_MINUTE = 60


def duration(seconds: float) -> str:
    """Such as 0:45 or 1:02:03."""
    minutes, rest = divmod(round(seconds), SECONDS_PER_MINUTE)
    hours, minutes = divmod(minutes, SECONDS_PER_MINUTE)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@dataclass
class Progress:
    """Counts images per second between two reports."""

    folder: Path
    total: int  # steps of the run
    batch: int  # images per step
    every: int  # steps between reports
    first: int  # steps done before this process
    since: float = field(default_factory=time.perf_counter)
    reported: int = field(init=False)

    def __post_init__(self) -> None:
        self.reported = self.first

    def is_due(self, done: int) -> bool:
        """Whether to report after so many steps: every few, and at the end."""
        return done % self.every == 0 or done == self.total

    def report(
        self, done: int, *, lr: float, losses: dict[str, float], measures: dict[str, float] | None = None
    ) -> None:
        """Append a point to the curve and print a line; measures stand in the curve if there are any."""
        now = time.perf_counter()
        rate = (done - self.reported) * self.batch / max(now - self.since, 1e-9)
        self.since, self.reported = now, done
        point = {"step": done, "time": round(time.time(), 3), "lr": lr, "losses": losses} | (
            {"measures": measures} if measures else {}
        )
        point["images_per_second"] = round(rate, 1)
        with (self.folder / CURVE).open("a") as curve:
            curve.write(json.dumps(point) + "\n")
        left = duration((self.total - done) * self.batch / rate)
        total = sum(losses.values())
        print(f"step {done}/{self.total}  loss {total:.3f}  {rate:.1f} images/s  ETA {left}", flush=True)
