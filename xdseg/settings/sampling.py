"""Settings of which source images a step sees, where that is not each image once per epoch."""

from typing import Annotated

from pydantic import Field

from xdseg.settings.base import Settings

Side = Annotated[int, Field(gt=0)]
ImageShape = tuple[Side, Side]  # height, width in pixels


class PublishedSizes(Settings):
    """The sizes for which the published thresholds were chosen: GTA5's stored images, crops of DAFormer."""

    image: ImageShape = Field((1052, 1914), description="[height, width] of the stored image that min_pixels means")
    crop: ImageShape = Field((512, 512), description="[height, width] of the crop that its threshold means")


class RareClass(Settings):
    """Rare-class sampling (Hoyer et al., CVPR 2022, section 3.3): rare classes choose the source image.

    P(c) is proportional to exp((1 - f_c) / temperature), f_c a class's share of the source's labelled pixels. As
    published, thresholds are numbers of pixels whatever the image's size: of the stored image, and of the crop as the
    network sees it. It is a part of `Training` and not of `Augmentation`, since it says what a batch is made of; the
    target's images know nothing of it.
    """

    temperature: float = Field(0.01, gt=0, description="the higher, the closer all classes are to equal chances")
    min_pixels: int = Field(3000, ge=0, description="an image is drawn for a class of which it holds more pixels")
    min_crop_ratio: float = Field(
        0.5,
        ge=0,
        description="a crop with min_pixels times this of the class, or fewer, is drawn again (HRDA: 2); 0: none is",
    )
    attempts: int = Field(10, ge=0, description="crops drawn in addition to the first; the last one is kept")
    of: PublishedSizes | None = Field(
        None,
        description="sizes that both thresholds are meant for: another size has them scaled by its area, so that the "
        "same share of image and crop is asked for; {}: the published sizes; null, as published: never scaled",
    )

    def image_threshold(self, shape: ImageShape) -> float:
        """Pixels of its class that a stored image of that (height, width) must exceed."""
        return _scaled(self.min_pixels, shape, self.of and self.of.image)

    def crop_threshold(self, shape: ImageShape) -> float:
        """Pixels of its class that a crop of that (height, width) must exceed."""
        return _scaled(self.min_pixels * self.min_crop_ratio, shape, self.of and self.of.crop)


def _scaled(pixels: float, shape: ImageShape, reference: ImageShape | None) -> float:
    if reference is None:
        return pixels
    return pixels * (shape[0] * shape[1]) / (reference[0] * reference[1])
