"""When EoMT's masked attention is switched off: block by block, the earliest first, over the run's length.

Published as numbers per data set and schedule; this is the rule that gives all of those for DINOv2. The first sixth of
a run masks always, the last never; between them each block falls over one sixth, their starts spread evenly over half
of the run. (Published runs on DINOv3 in part anneal the first block from step 0 to 3000 instead.)
"""

SIXTHS = 6
SPREAD = 3  # sixths between the first start and the last
POWER = 0.9


def annealing_steps(total: int, blocks: int) -> list[tuple[int, int]]:
    """First step below 1, and first step at 0, of each block; earliest block first."""
    sixth = total // SIXTHS
    starts = [sixth + block * SPREAD * sixth // max(blocks - 1, 1) for block in range(blocks)]
    return [(start, start + sixth) for start in starts]


def mask_probability(step: int, start: int, end: int) -> float:
    """Share of queries that are masked at `step`, counted from 0."""
    if step >= end:
        return 0.0
    return (1 - max(step - start, 0) / (end - start)) ** POWER
