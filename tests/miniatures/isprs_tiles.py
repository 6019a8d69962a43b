"""Windows and colours of the ISPRS tiles, typed apart from the readers."""

import numpy as np

SIDE = 512
COLOURS = np.array(  # boundary, impervious, building, low vegetation, tree, car, clutter
    [[0, 0, 0], [255, 255, 255], [0, 0, 255], [0, 255, 255], [0, 255, 0], [255, 255, 0], [255, 0, 0]], np.uint8
)


def windows(tile: str, image: np.ndarray, label: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Every window of a tile by name: starts at multiples of 512, drawn back to the border where one would pass it."""
    tops, lefts = ({max(min(at, length - SIDE), 0) for at in range(0, length, SIDE)} for length in label.shape)
    return {
        f"{tile}_t{top:04d}_l{left:04d}": (
            image[top : top + SIDE, left : left + SIDE],
            label[top : top + SIDE, left : left + SIDE],
        )
        for top in tops
        for left in lefts
    }
