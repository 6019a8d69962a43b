"""Whole runs of small jobs, and runs that are killed on the way."""

import json
from dataclasses import replace

import pytest
import tiny_jobs

from xdseg.settings.runtime import Runtime
from xdseg.training.loop import train


def fit(job, folder, **runtime):
    """Train on the CPU, saving every 4 steps."""
    return train(job, folder, runtime=Runtime(**(tiny_jobs.CPU.model_dump() | runtime)))


def losses(folder):
    """Total loss at each point of the curve, by step; each step stands there once."""
    points = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    assert len({point["step"] for point in points}) == len(points)
    return {point["step"]: sum(point["losses"].values()) for point in points}


def kill(tmp_path, job, *, at):
    """Train a job, whose last adaptation is `toy-kill`, into `broken` until it is killed after step `at` (from 0)."""
    doomed = tiny_jobs.make_job(tmp_path, adaptations=[("toy-kill", {"at": at})]).adaptations
    with pytest.raises(KeyboardInterrupt):
        fit(replace(job, adaptations=job.adaptations[:-1] + doomed), tmp_path / "broken")
    assert (tmp_path / "broken" / "resume.pt").exists()


def interrupted(tmp_path, job, *, at):
    """Train, killed after step `at`, then to the end; returns the report."""
    kill(tmp_path, job, at=at)
    return fit(job, tmp_path / "broken")
