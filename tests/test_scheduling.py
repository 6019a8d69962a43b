"""How often Snakemake's scheduler looks over what waits: when a job ends, and not every second besides."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from xdseg.workflow import without_usual_rate

WAITING = """
{lift}
rule all:
    input: "a", "b"
rule one:
    output: "{{name}}"
    wildcard_constraints: name="[ab]"
    shell: "sleep 3; touch {{output}}"
"""
LIFT = """
from xdseg.workflow import without_usual_rate
onstart:
    without_usual_rate(workflow.scheduler)
"""


def test_usual_rate_goes_and_another_stays():
    """What Snakemake takes where nothing is asked for; fewer or slower jobs that were asked for are left."""
    from snakemake.cli import get_argument_parser
    from snakemake.scheduling.job_scheduler import JobRateLimiter
    from snakemake.settings.types import MaxJobsPerTimespan

    usual = get_argument_parser().get_default("max_jobs_per_timespan")
    assert usual == "100/1s"
    for given, left in ((usual, None), ("5/1s", (5, 1)), ("100/1m", (100, 60))):
        scheduler = SimpleNamespace(job_rate_limiter=JobRateLimiter(MaxJobsPerTimespan.parse_choice(given)))
        without_usual_rate(scheduler)
        kept = scheduler.job_rate_limiter
        assert (kept and (kept.max_jobs, kept.timespan)) == left
    without_usual_rate(SimpleNamespace(job_rate_limiter=None))
    without_usual_rate(None)


@pytest.mark.slow
def test_a_scheduler_that_waits_does_not_look(tmp_path: Path):
    """Two jobs of three seconds on one core: looks at start and ends alone; with the usual rate, in between too."""

    def looks(lift: str) -> int:
        folder = tmp_path / ("lifted" if lift else "usual")
        folder.mkdir()
        (folder / "Snakefile").write_text(WAITING.format(lift=lift))
        command = [sys.executable, "-m", "snakemake", "--cores", "1", "--verbose"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stderr.count("Ready jobs: ")

    lifted, usual = looks(LIFT), looks("")
    assert lifted == 3 and usual > lifted
