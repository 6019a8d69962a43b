"""A weight that an update leaves infinite or undefined: it is said, and neither saved nor published."""

import pytest
import tiny_jobs
import torch
from tiny_runs import fit

from xdseg.errors import TrainingFailed
from xdseg.training.loop import Run


@pytest.mark.parametrize(("at", "value", "kept"), [(8, torch.nan, 4), (10, torch.inf, 8)], ids=["state", "weights"])
def test_weight_that_is_not_finite_is_not_saved(tmp_path, monkeypatch, at, value, kept):
    """Step 8 of 10 is one of a state, step 10 the last: no loss has shown it yet. It goes on from the state before."""
    job = tiny_jobs.make_job(tmp_path)
    unbroken, real = fit(job, tmp_path / "unbroken"), Run.update

    def update(self, batch):
        losses = real(self, batch)
        if batch.index + 1 == at:
            name, parameter = list(self.module.named_parameters())[-1]
            parameter.data.view(-1)[-1] = value
            names.append(name)
        return losses

    names: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(Run, "update", update)
        with pytest.raises(TrainingFailed) as failed:
            fit(job, tmp_path / "run")
    line = f"step {at}: {names[0]} is not finite after the update; lower the learning rate"
    assert str(failed.value) == line
    state = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)
    assert state["done"] == kept and all(tensor.isfinite().all() for tensor in state["module"].values())
    assert not (tmp_path / "run" / "weights.safetensors").exists()
    assert fit(job, tmp_path / "run")["weights_sha256"] == unbroken["weights_sha256"]
