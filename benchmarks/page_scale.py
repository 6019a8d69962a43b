"""A board of 10,000 cells and 19 classes: building it, opening its page in Chromium, sorting, filtering, means anew.

100 methods × 20 pairs × 5 seeds of made-up records with curves, settings, costs and fingerprints of their own, beside
each the bootstrap replicates of 500 images that a score stores. Building, and reading these (the records themselves are
in memory by then), is timed in seconds of the processor, in a process of its own whose peak memory is read. So are
opening the page, up to the first frame after its scripts have run, and sorting, searching and choosing, up to the
layout that follows: in seconds that the page's main thread computed (Chromium's thread ticks), which parses, runs
scripts and lays out. The wall clock, which other processes on the machine stretch, stands beside them, `…_wall`.

Bounds: building ≤ 60 s and 2 GiB; opening < 3 s; sorting < 200 ms.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import measure
import numpy as np

CLASSES = tuple(f"class {number}" for number in range(19))
DOMAINS = "abcde"  # 20 ordered pairs
FULL, QUICK = (100, 5), (6, 2)  # methods, seeds
STEPS = 30  # points of a curve
IMAGES = 500  # of a target
SCATTER = 0.01  # deviation of the replicates of an mIoU
ROUNDS = 3
GIB = 2**20  # KiB
MOST_SECONDS, MOST_GIB, MOST_OPEN, MOST_SORT = 60, 2, 3, 200
WAIT = 600_000  # ms
CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
SETTLED = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"
TIMED = """(act) => {
  const began = performance.now();
  new Function(act)();
  document.body.getBoundingClientRect();
  return performance.now() - began;
}"""
HEADING = "document.querySelectorAll('{} thead tr:last-child th button')[{}].click()"
SEARCH = """const field = document.getElementById('search');
  field.value = '{}'; field.dispatchEvent(new Event('input', {{ bubbles: true }}));"""


def records(methods: int, seeds: int) -> Iterator[dict[str, Any]]:
    """Every cell: method m is better than m - 1 by a little, pairs differ by more, the rest is noise."""
    rng = np.random.default_rng(0)
    pairs = [(source, target) for source in DOMAINS for target in DOMAINS if source != target]
    level = rng.uniform(0.2, 0.6, (len(pairs), len(CLASSES)))
    for method in range(methods):
        for place, pair in enumerate(pairs):
            for seed in range(seeds):
                iou = np.clip(level[place] + 0.3 * method / methods + rng.normal(0, 0.02, len(CLASSES)), 0, 1)
                yield _record(method, pair, seed, iou, rng)


def _record(method: int, pair: tuple[str, str], seed: int, iou: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    number = f"{method:02x}{ord(pair[0]):02x}{ord(pair[1]):02x}{seed:02x}"
    name, digest = f"method-{method:03d}", number * 8
    losses = {term: np.round(rng.random(STEPS), 6).tolist() for term in ("source/cross_entropy", "dacs/mix")}
    return {
        **{"schema": 1, "origin": "run", "suite": "scale", "method": name, "setting": "uda" if method else "source"},
        **{
            "source": [pair[0]],
            "target": pair[1],
            "seed": seed,
            "classes": list(CLASSES),
            "benchmark_version": "0.1.0",
        },
        "protocol": {"name": "tiny", "eval_split": "val", "checkpoint": "last step", "scoring": {"absent": "drop"}},
        "fingerprints": {stage: digest for stage in ("train", "predict", "score")},
        "run": f"scale/{name}/{pair[0]}--{pair[1]}/s{seed}-{number}",
        "digests": {"weights": digest, "predictions": digest[::-1]},
        "confusion": {"sha256": digest},
        "scores": {
            "miou": float(iou.mean()),
            "pixel_accuracy": 0.9,
            "iou": dict(zip(CLASSES, map(float, iou), strict=True)),
            "kept": list(CLASSES),
            "images": IMAGES,
            "confusion": rng.integers(0, 100_000, (len(CLASSES), len(CLASSES))).tolist(),
        },
        "model": {"parameters": 3_000_000 + 10_000 * method, "trainable": 3_000_000},
        "costs": {
            **{"train_seconds": float(rng.uniform(60, 600)), "predict_seconds": float(rng.uniform(1, 20))},
            **{"images_per_second": float(rng.uniform(5, 50)), "peak_memory_mb": float(rng.uniform(500, 2000))},
        },
        "environment": {
            **{"device": "cpu" if method % 7 else "gpu", "precision": "bf16", "commit": digest[:40], "dirty": False},
            **{"started": f"2026-01-02T03:04:{seed:02d}Z", "torch": "2.15.0", "python": "3.11.7"},
        },
        "settings": {
            "segmenter": {"kind": f"kind-{method % 8}", "version": 1, "settings": {"width": 64 + method}},
            "adaptations": [{"kind": f"term-{method % 5}", "version": 1, "settings": {}}],
            "training": {f"key{at}": at for at in range(25)},
        },
        "curve": {"step": [10 * (at + 1) for at in range(STEPS)], "lr": [0.1] * STEPS, "losses": losses},
    }


def build(out: Path, methods: int, seeds: int) -> dict[str, float]:
    """Build the board; seconds of the processor, wall seconds, and the peak memory of the process, records included."""
    from xdseg.reporting.about import About
    from xdseg.reporting.board import build_board
    from xdseg.reporting.replicates import of_record

    made = {out / "records" / f"{number}.json": one for number, one in enumerate(records(methods, seeds))}
    _store(made)
    expected = [
        {name: one[name] for name in ("method", "setting", "target", "seed")} | {"source": one["source"][0]}
        for one in made.values()
    ]
    peers = {f"method-{number:03d}": {"host": "method-000"} for number in range(1, methods)}
    began, clock = time.process_time(), time.perf_counter()
    drawn = {
        (one["method"], one["source"][0], one["target"], one["seed"]): of_record(path, one, None)
        for path, one in made.items()
    }
    build_board(
        suite="scale",
        classes=CLASSES,
        expected=expected,
        records=[*made.values()],
        out=out,
        about=About(peers=peers),
        drawn=drawn,
    )
    seconds, wall = time.process_time() - began, time.perf_counter() - clock
    return {"seconds": seconds, "wall": wall, "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIB}


def _store(made: dict[Path, dict[str, Any]]) -> None:
    """Replicates beside where each record would lie, around its mIoU; a target's images have one set of draws."""
    from xdseg.records import replicates_of
    from xdseg.reporting.replicates import Basis, write
    from xdseg.reporting.statistics.bootstrap import REPLICATES, Replicates

    rng = np.random.default_rng(1)
    for path, one in made.items():
        values = rng.normal(one["scores"]["miou"], SCATTER, REPLICATES).astype(np.float32)
        found = Replicates(IMAGES, "images", IMAGES, one["target"], values)
        write(replicates_of(path), found, Basis.of(one, None))


def visit(page: Path, rounds: int) -> dict[str, list[float]]:
    """Open the page `rounds` times and act on it: seconds of opening, ms of each act, and both by the wall clock."""
    from playwright.sync_api import sync_playwright

    acts = {
        "sort_ms": HEADING.format("#methods", 3),
        "sort_map_ms": HEADING.format(".map", 5),
        "search_ms": SEARCH.format("method-01"),
        "all_again_ms": SEARCH.format(""),
        "choose_pair_ms": "document.querySelector('#pairs input:checked').click()",
        "choose_class_ms": "document.querySelector('#classes input:checked').click()",
        "card_ms": "document.querySelector('[data-card]').click()",
    }
    found: dict[str, list[float]] = {name: [] for act in ("open_s", *acts) for name in (act, f"{act}_wall")}
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(rounds):
            opened = browser.new_page()
            opened.set_default_timeout(WAIT)
            session = opened.context.new_cdp_session(opened)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            opened.goto(f"file://{page}")
            found["open_s_wall"].append(opened.evaluate(SETTLED) / 1000)
            found["open_s"].append(spent := _thread(session))
            for name, act in acts.items():
                found[f"{name}_wall"].append(opened.evaluate(TIMED, act))
                spent, before = _thread(session), spent
                found[name].append(1000 * (spent - before))
            opened.close()
        browser.close()
    return found


def _thread(session: Any) -> float:
    """Seconds that the page's main thread has computed since it was opened."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(one["value"] for one in metrics if one["name"] == "TaskDuration")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    chosen = measure.options(__doc__, arguments)
    if not CHROMIUM:
        raise SystemExit("page_scale: needs Chromium: apt-get install chromium")
    methods, seeds = QUICK if chosen.quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--build", folder, str(methods), str(seeds)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        built = json.loads(done.stdout.splitlines()[-1])
        page = Path(folder) / "index.html"
        found, size = visit(page, 1 if chosen.quick else ROUNDS), page.stat().st_size
    notes = {"cells": methods * seeds * 20, "classes": len(CLASSES), "page_bytes": size, "build_wall_s": built["wall"]}
    results = measure.Results(notes=notes)
    about = {"sort_ms": "sorting the table of methods", "open_s": "opening the page"}
    results.bounded += [
        measure.Figure("build_s", [built["seconds"]], most=MOST_SECONDS, unit="s", about="building the board"),
        measure.Figure("build_gib", [built["gib"]], most=MOST_GIB, unit="GiB", about="peak memory of it"),
        measure.Figure("open_s", found.pop("open_s"), most=MOST_OPEN, unit="s", about=about["open_s"]),
        measure.Figure("sort_ms", found.pop("sort_ms"), most=MOST_SORT, unit="ms", about=about["sort_ms"]),
    ]
    results.others += [
        measure.Figure(name, values, unit="s" if "_s_" in name else "ms") for name, values in found.items()
    ]
    return measure.report(results, chosen)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--build"]:
        print(json.dumps(build(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
        sys.exit()
    sys.exit(main())
