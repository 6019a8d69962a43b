"""Settings of `minent`."""

from xdseg.settings.levels import LevelWeights


class MinEnt(LevelWeights):
    """Entropy minimisation on the target; every default is the paper's."""
