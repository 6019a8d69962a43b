"""Settings of the optimisation and of the augmentation: what a training is, apart from network and data."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from xdseg.settings.base import Settings
from xdseg.settings.photometric import Blur, Distortion, Jitter, Share, Span
from xdseg.settings.sampling import RareClass

TeacherNorm = Literal["batch", "running"]  # what the batch norm of an EMA teacher reads
Supervision = Literal["granted", "target"]


class Training(Settings):
    """One optimisation: `steps` updates, each on `batch` source images (and as many target images, where granted)."""

    steps: int = Field(gt=0, description="optimiser updates")
    batch: int = Field(8, gt=0, description="images per domain and update, over all devices and accumulation rounds")
    accumulate: int = Field(
        1,
        gt=0,
        description="rounds whose gradients one update averages; must divide batch; each round's loss is normalised by "
        "that round's own number of labelled pixels or matched masks",
    )
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(gt=0, description="peak learning rate of the encoder")
    head_lr_factor: float = Field(1.0, gt=0, description="learning rate of the head relative to the encoder's")
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="learning rate of an encoder block relative to the next one's; the last block has the full rate, "
        "and so has all of a segmenter without numbered blocks",
    )
    weight_decay: float = Field(0.01, ge=0, description="decoupled (adamw) or L2 (sgd)")
    decay_all: bool = Field(False, description="whether weight decay reaches norms and biases as well")
    betas: tuple[float, float] = Field((0.9, 0.999), description="adamw only")
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd only")
    warmup: Share = Field(0.0, description="share of all steps with a linearly rising learning rate")
    warmup_start: Share = Field(1e-6, description="factor on the learning rate at the first step of the warm-up")
    warmup_stages: tuple[Share, Share] | None = Field(
        None,
        description="two shares of all steps, rounded to whole ones, in place of warmup: in the first, new parameters "
        "rise from 0 and the encoder rests; in the second, the encoder rises; each falls from its own peak on",
    )
    poly_power: float = Field(1.0, ge=0, description="lr falls with (1 - step/steps) to this power")
    poly_steps: int | None = Field(None, gt=0, description="steps that the fall is planned for; default steps")
    clip_grad_norm: float | None = Field(None, gt=0, description="largest L2 norm of the segmenter's gradients")
    supervision: Supervision = Field(
        "granted", description="whose labels train: all that the setting grants, or the target's alone (fine-tuning)"
    )
    rare_class: RareClass | None = Field(
        None, description="source images by their classes, rare ones more often; null: each image once per epoch"
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="autocast type; fp16 scales the loss")
    compile: bool = Field(False, description="torch.compile the training step")

    @model_validator(mode="after")
    def _rounds_are_equal(self) -> "Training":
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate {self.accumulate} does not divide batch {self.batch}")
        if self.poly_steps and self.poly_steps < self.steps:
            raise ValueError(f"poly_steps {self.poly_steps} end before the {self.steps} steps")
        return self

    @model_validator(mode="after")
    def _one_warm_up(self) -> "Training":
        if self.warmup_stages is None:
            return self
        if self.warmup:
            raise ValueError("warmup and warmup_stages exclude each other; leave one out")
        if sum(self.warmup_stages) >= 1:
            raise ValueError(f"warmup_stages {list(self.warmup_stages)} leave no step for the fall; sum below 1")
        return self


class Augmentation(Settings):
    """What happens to a training image before the network sees it, in this order (but for `distortion`)."""

    scale: Span = Field((0.5, 2.0), description="resizing factor, drawn uniformly")
    scale_of: Literal["stored", "fit"] = Field(
        "stored",
        description="size at factor 1: the image's own, or the largest in the crop that keeps the ratio (torchvision's "
        "ScaleJitter): at 0.5 to 2 a crop of 1024 takes Cityscapes at 0.25 to 1 of its pixels",
    )
    crop: int | tuple[int, int] | None = Field(
        description="side of the square crop in pixels, after resizing; [height, width]; null: the whole image"
    )
    max_class_share: Share = Field(1.0, description="a crop with a larger share of one class is drawn again, 10 times")
    flip: Share = Field(0.5, description="probability of a horizontal flip")
    jitter: Jitter | None = None
    blur: Blur | None = None
    distortion: Distortion | None = Field(None, description="before all else, or between flip and jitter: see `of`")
    padding: Literal["mean", "zero"] = Field(
        "mean", description="colour around an image smaller than the crop: ImageNet's mean, or black"
    )
    labelled_only: bool = Field(
        False, description="a crop without a labelled pixel is drawn again, scale and all, 100 times at most"
    )

    @field_validator("crop", mode="before")
    @classmethod
    def _a_size(cls, crop: object) -> object:
        pair = isinstance(crop, list | tuple) and len(crop) == len(("height", "width"))
        sides = crop if pair else [crop]
        whole = all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides)
        if crop is not None and not whole:
            raise ValueError("expected a side or [height, width] in pixels, or null for the whole image")
        return crop

    @model_validator(mode="after")
    def _fit_into_a_crop(self) -> "Augmentation":
        if self.scale_of == "fit" and self.crop is None:
            raise ValueError("scale_of fit needs a crop to fit into; name one, or scale_of stored")
        return self

    @property
    def crop_size(self) -> tuple[int, int] | None:
        """Height and width of the crop; None: the whole image."""
        return (self.crop, self.crop) if isinstance(self.crop, int) else self.crop
