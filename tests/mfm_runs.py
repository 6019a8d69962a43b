"""Runs of masked feature modeling beside self-training that counts every pixel."""

import tiny_jobs

from xdseg.data.loading import StepBatches
from xdseg.training.loop import Run
from xdseg.training.step import Step
from xdseg.training.train_step import prepared

SURE = ("dacs", {"threshold": 0.0})  # so that pseudo-labels count in full
FINE = {"token_px": 8}  # 4 x 4 tokens of the toy's crop


def run_of(tmp_path, settings=None, *, segmenter="toy", network=None, others=(SURE,), target="images", **options):
    """A run of `mfm` behind `dacs` that has not begun; the toy has no dropout."""
    network = network or ({"dropout": 0} if segmenter == "toy" else {})
    terms = [*others, ("mfm", FINE | (settings or {}))]
    job = tiny_jobs.make_job(
        tmp_path, segmenter=segmenter, adaptations=terms, target=target, network=network, **options
    )
    return Run(job, tmp_path / "run", tiny_jobs.CPU)


def step_of(run):
    """The first step of a run."""
    return Step(run.module, prepared(StepBatches(run.job)[0]))


def term_of(run, step=None):
    """The adaptation's terms in that step, summed."""
    return sum(run.module.adaptations["mfm"].losses(step or step_of(run)).values())
