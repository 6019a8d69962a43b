"""A small CamVid in its 32 colours."""

from pathlib import Path

import numpy as np
from miniatures.painting import Written, litter, mixed, photograph, save

COLOURS = """
64 128 64 Animal
192 0 128 Archway
0 128 192 Bicyclist
0 128 64 Bridge
128 0 0 Building
64 0 128 Car
64 0 192 CartLuggagePram
192 128 64 Child
192 192 128 Column_Pole
64 64 128 Fence
128 0 192 LaneMkgsDriv
192 0 64 LaneMkgsNonDriv
128 128 64 Misc_Text
192 0 192 MotorcycleScooter
128 64 64 OtherMoving
64 192 128 ParkingBlock
64 64 0 Pedestrian
128 64 128 Road
128 128 192 RoadShoulder
0 0 192 Sidewalk
192 128 128 SignSymbol
128 128 128 Sky
64 128 192 SUVPickupTruck
0 0 64 TrafficCone
0 64 64 TrafficLight
192 64 128 Train
128 128 0 Tree
192 128 192 Truck_Bus
64 0 64 Tunnel
192 192 0 VegetationMisc
0 0 0 Void
64 192 0 Wall
""".strip().splitlines()
DRIVES = ("0001TP_", "0006R0_f0", "0016E5_", "Seq05VD_f0")


def write(root: Path, *, count: int = 2, size: tuple[int, int] = (48, 64), seed: int = 0) -> Written:
    """`count` images of each of the four drives."""
    rng = np.random.default_rng(seed)
    palette = np.array([line.split()[:3] for line in COLOURS], np.uint8)
    pairs: dict = {}
    for drive in DRIVES:
        for number in range(count):
            name = f"{drive}{6690 + 30 * number:04d}"
            image = save(root / "701_StillsRaw_full" / f"{name}.png", photograph(rng, size))
            label = mixed(rng, size, range(32))
            save(root / "LabeledApproved_full" / f"{name}_L.png", palette[label])
            pairs[name] = image, label
            litter(root / "701_StillsRaw_full" / f"._{name}.png")
    litter(root / "701_StillsRaw_full" / "Thumbs.db", root / "LabeledApproved_full" / ".DS_Store")
    (root / "label_colors.txt").write_text("\n".join(COLOURS))
    return {("full", None): pairs}
