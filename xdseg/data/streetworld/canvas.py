"""Painting of things: colours and labels from the same outlines.

Both are drawn at three times the image's resolution. A colour is the mean of its 3 x 3 samples; a label is the sample
at the pixel's centre, so it is that of the surface which the centre shows, and never a mixture.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from xdseg.data.streetworld.camera import Camera, Point
from xdseg.data.streetworld.light import RGB, Light

SAMPLES = 3  # per pixel side; odd, so that one sample lies on the centre
Colour = tuple[int, int, int]


class Canvas:
    """Colours and labels under work, painted back to front."""

    def __init__(self, colours: np.ndarray, labels: np.ndarray) -> None:
        """Start from a background: (H, W, 3) and (H, W), uint8."""
        height, width = labels.shape
        size = (width * SAMPLES, height * SAMPLES)
        self._colours = Image.fromarray(colours).resize(size, Image.Resampling.NEAREST)
        self._labels = Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)
        self._paint = ImageDraw.Draw(self._colours)
        self._mark = ImageDraw.Draw(self._labels)

    def polygon(self, corners: Sequence[Point], colour: Colour, label: int | None) -> None:
        """Fill a polygon given in pixels; label None leaves the label (a detail on a surface drawn before)."""
        if len(corners) < 3:
            return
        flat = [SAMPLES * value for corner in corners for value in corner]
        self._paint.polygon(flat, fill=colour)
        if label is not None:
            self._mark.polygon(flat, fill=label)

    def ellipse(self, centre: Point, radii: Point, colour: Colour, label: int | None) -> None:
        """Fill an upright ellipse given in pixels."""
        (x, y), (across, up) = centre, radii
        box = [SAMPLES * (x - across), SAMPLES * (y - up), SAMPLES * (x + across), SAMPLES * (y + up)]
        self._paint.ellipse(box, fill=colour)
        if label is not None:
            self._mark.ellipse(box, fill=label)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3) and label (H, W), uint8."""
        middle = SAMPLES // 2
        return np.asarray(self._colours.reduce(SAMPLES)), np.asarray(self._labels)[
            middle::SAMPLES, middle::SAMPLES
        ].copy()


class Board:
    """An upright plane facing the camera, in metres from a foot point on the ground: for people, trees, poles."""

    def __init__(self, canvas: Canvas, camera: Camera, light: Light, *, x: float, z: float, label: int) -> None:
        self._canvas, self.label = canvas, label
        self.scale = camera.focal / z  # pixels per metre
        self._foot = camera.project(x, 0.0, z)
        self.tone = light.tone(x, 1.2, z)
        self.sun_side = light.toward_sun

    def at(self, right: float, up: float) -> Point:
        """Pixel coordinates of a point of the plane."""
        return self._foot[0] + right * self.scale, self._foot[1] - up * self.scale

    def polygon(self, corners: Sequence[Point], albedo: RGB, *, detail: bool = False, label: int | None = None) -> None:
        """Fill a polygon given in metres."""
        mark = None if detail else self.label if label is None else label
        self._canvas.polygon([self.at(*corner) for corner in corners], self.tone(albedo), mark)

    def box(self, left: float, bottom: float, right: float, top: float, albedo: RGB, *, detail: bool = False) -> None:
        """Fill an upright rectangle given in metres."""
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], albedo, detail=detail)

    def disc(
        self,
        right: float,
        up: float,
        across: float,
        tall: float,
        albedo: RGB,
        *,
        detail: bool = False,
        label: int | None = None,
    ) -> None:
        """Fill an ellipse given by its centre and half axes in metres."""
        mark = None if detail else self.label if label is None else label
        radii = (across * self.scale, tall * self.scale)
        self._canvas.ellipse(self.at(right, up), radii, self.tone(albedo), mark)

    def lamp(self, right: float, up: float, radius: float, colour: RGB) -> None:
        """Fill a disc that shines by itself; a detail on a surface drawn before."""
        radii = (radius * self.scale, radius * self.scale)
        self._canvas.ellipse(self.at(right, up), radii, self.tone.glow(colour), None)
