"""Which code the selective scans of a network run on a device, as the record of its run tells it."""

import torch
from torch import nn

from xdseg.segmenters.mvfuser import MVFuser
from xdseg.segmenters.scan.api import MOST_STATES
from xdseg.segmenters.scan.backends import resolve


def scan_backends(network: nn.Module, device: torch.device) -> dict[str, str]:
    """What runs, and why, by name; one entry where all scans run the same, none without a scan.

    Raises BadInput for a backend that was asked for by name and cannot run there: before the first step, not in it.
    """
    scans = [module for module in network.modules() if isinstance(module, MVFuser) and module.direction != "none"]
    chosen = [resolve(scan.backend, device.type, fits=scan.states <= MOST_STATES) for scan in scans]
    return {choice.name: choice.reason for choice in chosen}
