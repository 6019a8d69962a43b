"""The training loop: one run from its job to `weights.safetensors`, resumable after a kill at any moment."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xdseg.adaptations.build import build_adaptations
from xdseg.curve import cut_curve
from xdseg.data.loading import Batch, load
from xdseg.errors import Terminated, TrainingFailed
from xdseg.process import heed_sigterm, now
from xdseg.segmenters.build import build_segmenter
from xdseg.segmenters.scan.resolved import scan_backends
from xdseg.settings.runtime import Runtime
from xdseg.training import device as devices
from xdseg.training import ranks
from xdseg.training.checkpoint import finished, load_resume, save_resume, save_weights
from xdseg.training.job import TrainingJob
from xdseg.training.optimisers import Optimisers
from xdseg.training.processes import agreed, check_divisible, check_same
from xdseg.training.progress import Progress
from xdseg.training.shared_norm import share_norms
from xdseg.training.streams import seed_network
from xdseg.training.train_step import TrainStep
from xdseg.training.whole_draws import whole_draws


def train(
    job: TrainingJob, folder: Path, *, runtime: Runtime, about: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Train a run into `folder`, go on where an interrupted one stopped, or adopt a finished one.

    `about` says where and from what the run is made; it is kept with the weights, so that whoever adopts them later
    does not pass for their maker.

    Leaves weights.safetensors, training.json (what is returned) and curve.jsonl. Returns about, parameters, trainable,
    steps, train_seconds, images_per_second, peak_memory_mb, device, precision, torch, fingerprint, weights_sha256; of a
    network with a selective scan also `scan`, the code that ran it with the reason for it; of several processes also
    `processes`, their number, and all but the first return the report without the digest of what that one writes.
    Raises BadInput for what cannot be trained, TrainingFailed for a loss that is not finite, and Terminated where
    SIGTERM came between two steps, whose state is then saved.
    """
    report = finished(folder, job.fingerprint)
    if agreed(report is not None):
        ranks.say(f"{folder}: trained before; its weights are adopted")
        return report or {}
    folder.mkdir(parents=True, exist_ok=True)
    with devices.reproducible(), heed_sigterm() as asked_to_stop:
        run = Run(job, folder, runtime)
        run.asked_to_stop = asked_to_stop
        run.resume()
        run.go()
        return run.finish(about or {})


class Run:
    """Networks, optimisers and counters of one run, the same in each of its processes."""

    def __init__(self, job: TrainingJob, folder: Path, runtime: Runtime) -> None:
        self.job, self.folder, self.runtime = job, folder, runtime
        self.device = devices.resolve(runtime.device)
        segmenter = build_segmenter(
            job.segmenter, job.segmenter_settings, job.classes, seed=job.seed, parent=job.parent_weights
        )
        self.scan = scan_backends(segmenter, self.device)
        adaptations = build_adaptations(job, segmenter.describe())
        recipe = job.training
        check_divisible(segmenter, adaptations, recipe, name=job.segmenter)
        ranks.divide(recipe.batch // recipe.accumulate)
        module = TrainStep(segmenter, adaptations, seed=job.seed, total=recipe.steps, supervision=recipe.supervision)
        self.module = share_norms(module.to(self.device), self.device).train()
        self.forward = torch.compile(self.module) if job.training.compile else self.module
        self.optimisers = Optimisers(self.module, job.training, device=self.device)
        self.done = 0  # steps
        self.seconds = 0.0  # spent on them, over all processes
        self.asked_to_stop: Callable[[], bool] = lambda: False

    def resume(self) -> None:
        """Restore the state of an interrupted run, if there is one."""
        state = load_resume(self.folder, self.job.fingerprint, say=ranks.say, tidy=ranks.is_first())
        check_same(state["done"] if state else 0, self.folder)
        if state is not None:
            self.done, self.seconds = state["done"], state["seconds"]
            self.module.load_state_dict(state["module"])
            self.optimisers.load_state_dict(state["optimisers"])
            ranks.say(f"resuming after step {self.done}")
        if ranks.is_first():
            cut_curve(self.folder, self.done)

    def go(self) -> None:
        """All steps that are left."""
        recipe, runtime = self.job.training, self.runtime
        progress = Progress(self.folder, recipe.steps, recipe.batch, every=runtime.log_every, first=self.done)
        on_gpu = self.device.type == "cuda"
        start = time.perf_counter() - self.seconds
        for batch in load(self.job, first=self.done, workers=runtime.workers, pin=on_gpu):
            lr, losses = self.optimisers.set_rates(batch.index), self.update(batch)
            self.done, self.seconds = batch.index + 1, time.perf_counter() - start
            if progress.is_due(self.done) and ranks.is_first():
                progress.report(self.done, lr=lr, losses=losses, measures=self.module.measures())
            stopping = ranks.highest(self.asked_to_stop(), self.device) > 0  # the signal may have reached one process
            if (stopping or self.done % runtime.checkpoint_every == 0) and self.done < recipe.steps:
                self.save()
                if stopping:
                    ranks.highest(0, self.device)  # leave once the first has saved: torchrun soon kills who is left
                    raise Terminated(f"stopped by SIGTERM: saved after step {self.done}; run it again to go on")

    def update(self, batch: Batch) -> dict[str, float]:
        """One optimiser step; returns the loss terms. Raises TrainingFailed before anything is changed by a bad one."""
        seed_network(self.job.seed, "network", batch.index)
        self.optimisers.zero_grad()
        rounds = batch.rounds(self.job.training.accumulate)
        losses = [self.backward(part, share=1 / len(rounds)) for part in rounds]
        ranks.sum_gradients([parameter for parameter in self.module.parameters() if parameter.requires_grad])
        self.optimisers.step()
        self.module.after_step()
        return {name: sum(part[name] for part in losses) / len(losses) for name in losses[0]}

    def backward(self, batch: Batch, *, share: float) -> dict[str, float]:
        """Forward and backward of one round, whose loss counts for `share` of the step's."""
        with devices.autocast(self.device, self.job.training.precision), whole_draws():
            losses = self.forward(batch.to(self.device))
        values = _finite(losses, batch)
        self.optimisers.scaler.scale(sum(losses.values()) * share).backward()
        return values

    def save(self) -> None:
        """Write the resume state, which is the same in all processes, from the first one."""
        check_weights(self.module, self.done)
        if not ranks.is_first():
            return
        state = {
            "fingerprint": self.job.fingerprint,
            "done": self.done,
            "seconds": self.seconds,
            "module": self.module.state_dict(),
            "optimisers": self.optimisers.state_dict(),
        }
        save_resume(self.folder, state)

    def finish(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """Write weights and report. Raises TrainingFailed if the last update left anything that is not finite."""
        check_weights(self.module, self.done)
        recipe, parameters = self.job.training, list(self.module.inference_parameters())
        report = {
            "about": {**about, "ended": now()},
            "parameters": sum(p.numel() for p in parameters),
            "trainable": sum(p.numel() for p in parameters if p.requires_grad),
            "steps": recipe.steps,
            "train_seconds": round(self.seconds, 2),
            "images_per_second": round(recipe.steps * recipe.batch / self.seconds, 2),
            "peak_memory_mb": round(ranks.highest(devices.peak_memory_mb(self.device), self.device), 1),
            "device": devices.name(self.device),
            "precision": recipe.precision,
            "torch": torch.__version__,
        } | ({"scan": self.scan} if self.scan else {})
        if not ranks.alone():
            report["processes"] = ranks.current().world
        if not ranks.is_first():
            return report
        return save_weights(self.folder, self.module.inference_state(), report, fingerprint=self.job.fingerprint)


def check_weights(module: torch.nn.Module, step: int) -> None:
    """Raises TrainingFailed for a parameter that is not finite: the loss that would show it comes a step later."""
    for name, parameter in module.named_parameters():
        if not torch.isfinite(parameter).all():
            raise TrainingFailed(f"step {step}: {name} is not finite after the update; lower the learning rate")


def _finite(losses: dict[str, Tensor], batch: Batch) -> dict[str, float]:
    """The terms as numbers, over all processes, in one transfer.

    Raises TrainingFailed naming step, terms and this process's images if one is not finite.
    """
    terms = ranks.global_sum(torch.stack([value.detach().float() for value in losses.values()]))
    values = dict(zip(losses, terms.tolist(), strict=True))
    bad = [f"{name} {value}" for name, value in values.items() if not math.isfinite(value)]
    if bad:
        images = ", ".join(batch.source.names + (batch.target.names if batch.target else ()))
        raise TrainingFailed(f"step {batch.index + 1}: loss is not finite ({', '.join(bad)}); images {images}")
    return values
