"""What a card says of the images behind a number, and behind what the method has over another on them."""

from collections.abc import Callable

from xdseg.reporting.gains_table import signed
from xdseg.reporting.image_gains import ImageGain
from xdseg.reporting.page_sections import Section, section
from xdseg.reporting.statistics.bootstrap import IMAGES, REPLICATES, Replicates, many
from xdseg.reporting.statistics.images import ImageInterval
from xdseg.reporting.text import percent

SCORE = "95 % over images"  # label of an interval
OF_THE_TEST_SET = "the test set's, for this trained network: what other images of this kind would give; not of seeds"


def score_text(found: ImageInterval | None) -> str:
    """Low to high in percent, or why there is none; empty where no replicates were made."""
    return _text(found, percent) if found else ""


def _text(found: ImageInterval, written: Callable[[float], str]) -> str:
    return f"none: {found.reason}" if found.reason else f"{written(found.low)} to {written(found.high)}"


def drawn_section(drawn: Replicates) -> Section:
    """What was drawn; equal for all cells of a target, so that the page has it once."""
    rest = ", each by itself: no recordings are told" if drawn.unit == IMAGES else f" of {drawn.images} images"
    rows = [
        ("drawn", many(drawn.clusters, drawn.unit) + rest),
        ("replicates", f"{REPLICATES:,}" if len(drawn.values) else ""),
        ("uncertainty", OF_THE_TEST_SET),
    ]
    return section("Test set", rows)


def gain_section(gain: ImageGain) -> Section:
    """A pair's gain with its interval over images."""
    seeds = f"seed{'s' if len(gain.seeds) > 1 else ''} {', '.join(map(str, gain.seeds))}"
    rows = [
        ("gain on this pair", f"{signed(gain.gain)} ({seeds})"),
        (SCORE, _text(gain.interval, signed)),
        ("found by", "" if gain.interval.reason else "paired: both see the same drawn images"),
    ]
    return section(f"Over {gain.against}", rows)
