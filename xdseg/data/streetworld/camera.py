"""The pinhole camera: metres to pixels and back.

World: X right from the road's middle, Y up from the road, Z ahead of the camera. The camera looks along Z; its sensor
is shifted rather than tilted, so that verticals stay upright and the horizon may lie at any row. Pixel (row i, column
j) covers [j, j+1) x [i, i+1); its centre is (j + 0.5, i + 0.5).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

Point = tuple[float, float]
NEAR = 0.7  # m; nothing closer is drawn


@dataclass(frozen=True)
class Camera:
    """Where the camera stands and how it sees."""

    rows: int  # pixels
    columns: int  # pixels
    focal: float  # pixels
    centre: float  # column of the vanishing point, pixels
    horizon: float  # row of the horizon, pixels
    side: float  # X of the camera, m
    height: float  # Y of the camera, m

    def project(self, x: float, y: float, z: float) -> Point:
        """Pixel coordinates (column, row) of a point with z > 0."""
        return self.centre + (x - self.side) * self.focal / z, self.horizon + (self.height - y) * self.focal / z

    def outline(self, points: Iterable[tuple[float, float, float]]) -> list[Point]:
        """Pixel coordinates of a polygon's corners, after the part nearer than NEAR is cut away."""
        centre, horizon, side, height, focal = self.centre, self.horizon, self.side, self.height, self.focal
        kept = clip_near(list(points))  # `project` written out, as thousands of corners pass here per image
        return [(centre + (x - side) * focal / z, horizon + (height - y) * focal / z) for x, y, z in kept]

    def row_centres(self) -> np.ndarray:
        """(H, 1) float64."""
        return np.arange(self.rows)[:, None] + 0.5

    def column_centres(self) -> np.ndarray:
        """(1, W) float64."""
        return np.arange(self.columns)[None, :] + 0.5

    def first_ground_row(self) -> int:
        """The first row whose centre lies below the horizon."""
        return max(0, int(np.floor(self.horizon + 0.5)))


def clip_near(points: list[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Cut a polygon in space at the plane Z = NEAR (Sutherland and Hodgman, one plane)."""
    if min(point[2] for point in points) >= NEAR:
        return points
    kept = []
    for here, there in zip(points, points[1:] + points[:1], strict=True):
        if here[2] >= NEAR:
            kept.append(here)
        if (here[2] >= NEAR) != (there[2] >= NEAR):
            share = (NEAR - here[2]) / (there[2] - here[2])
            kept.append(tuple(a + share * (b - a) for a, b in zip(here, there, strict=True)))
    return kept
