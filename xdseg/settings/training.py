"""Settings of the optimisation and of the augmentation: what a training is, apart from network and data."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from xdseg.settings.base import Settings

Share = Annotated[float, Field(ge=0, le=1)]
TeacherNorm = Literal["batch", "running"]  # what the batch norm of an EMA teacher reads
Supervision = Literal["granted", "target"]


def _ascending(span: tuple[float, float]) -> tuple[float, float]:
    if not 0 < span[0] <= span[1]:
        raise ValueError("expected two positive numbers, the lower first")
    return span


Span = Annotated[tuple[float, float], AfterValidator(_ascending)]  # of a uniform draw


class Training(Settings):
    """One optimisation: `steps` updates, each on `batch` source images (and as many target images, where granted)."""

    steps: int = Field(gt=0, description="optimiser updates")
    batch: int = Field(8, gt=0, description="images per domain and update, over all devices and accumulation rounds")
    accumulate: int = Field(1, gt=0, description="rounds whose gradients one update sums; must divide batch")
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(gt=0, description="peak learning rate of the encoder")
    head_lr_factor: float = Field(1.0, gt=0, description="learning rate of the head relative to the encoder's")
    weight_decay: float = Field(0.01, ge=0, description="decoupled (adamw) or L2 (sgd); never on norms and biases")
    betas: tuple[float, float] = Field((0.9, 0.999), description="adamw only")
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd only")
    warmup: Share = Field(0.0, description="share of all steps with a linearly rising learning rate")
    warmup_start: Share = Field(1e-6, description="factor on the learning rate at the first step of the warm-up")
    poly_power: float = Field(1.0, ge=0, description="lr falls with (1 - step/steps) to this power")
    poly_steps: int | None = Field(None, gt=0, description="steps that the fall is planned for; default steps")
    clip_grad_norm: float | None = Field(None, gt=0, description="largest L2 norm of the segmenter's gradients")
    supervision: Supervision = Field(
        "granted", description="whose labels train: all that the setting grants, or the target's alone (fine-tuning)"
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


class Jitter(Settings):
    """Photometric jitter, as in torchvision: factors are drawn from [1 - x, 1 + x], the hue shift from [-x, x]."""

    probability: Share = 0.8
    brightness: float = Field(0.4, ge=0)
    contrast: float = Field(0.4, ge=0)
    saturation: float = Field(0.4, ge=0)
    hue: float = Field(0.1, ge=0, le=0.5)


class Blur(Settings):
    """Gaussian blur."""

    probability: Share = 0.5
    sigma: Span = Field((0.15, 1.15), description="standard deviation in pixels")


class Augmentation(Settings):
    """What happens to a training image before the network sees it, in this order."""

    scale: Span = Field((0.5, 2.0), description="resizing factor, drawn uniformly")
    crop: int | tuple[int, int] | None = Field(
        description="side of the square crop in pixels, after resizing; [height, width]; null: the whole image"
    )
    max_class_share: Share = Field(1.0, description="a crop with a larger share of one class is drawn again, 10 times")
    flip: Share = Field(0.5, description="probability of a horizontal flip")
    jitter: Jitter | None = None
    blur: Blur | None = None

    @field_validator("crop", mode="before")
    @classmethod
    def _a_size(cls, crop: object) -> object:
        pair = isinstance(crop, list | tuple) and len(crop) == len(("height", "width"))
        sides = crop if pair else [crop]
        whole = all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides)
        if crop is not None and not whole:
            raise ValueError("expected a side or [height, width] in pixels, or null for the whole image")
        return crop

    @property
    def crop_size(self) -> tuple[int, int] | None:
        """Height and width of the crop; None: the whole image."""
        return (self.crop, self.crop) if isinstance(self.crop, int) else self.crop
