"""Captions of crops, written from what is visible there: which classes, how many things, which light and weather.

What is named is drawn, so that one crop has many captions; what is said is true. Larger parts come first.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.ndimage import label as components

from xdseg.backbones.clip import words
from xdseg.data.streetworld.dice import Dice
from xdseg.data.streetworld.settings import CLASSES
from xdseg.data.streetworld.style import Style

VISIBLE = 0.003  # share of a crop from which on a class can be named
SMALLEST = 6  # pixels of a thing that counts as one
DOMINANT = 0.6  # share from which on a crop is mostly one class
MOST = 4  # classes that are named at most
OWN_NAME, COLOUR, ENDING, OPENING = 0.7, 0.3, 0.4, 0.25  # how often each is taken


def caption(labels: np.ndarray, style: Style[float], dice: Dice, *, fits: Callable[[str], bool]) -> str:
    """A sentence on labels (H, W), uint8, of a scene of this style; the shortest that is tried names one class.

    `fits` says whether a text tower reads a sentence whole; first the ending goes, then the opening, then the smallest
    part named.
    """
    shares = np.bincount(labels.ravel(), minlength=len(CLASSES)) / labels.size
    named = drawn_classes(shares, dice)
    parts = list(dict.fromkeys(phrase(name, labels, style, dice) for name in named))
    opening = dice.pick(words.OPENINGS) if dice.chance(OPENING) else ""
    if shares[CLASSES.index(named[0])] > DOMINANT:
        opening = words.MOSTLY
    ending = dice.pick(words.endings(style) or ("",)) if dice.chance(ENDING) else ""
    while not fits(text := sentence(opening, parts, ending)) and (opening or ending or len(parts) > 1):
        if ending or opening:
            opening, ending = opening if ending else "", ""
        else:
            parts.pop()
    return text


def drawn_classes(shares: np.ndarray, dice: Dice) -> list[str]:
    """Some of the visible classes, each as likely, the largest first; `shares` (K,) are their parts of a crop."""
    visible = [int(index) for index in np.flatnonzero(shares >= VISIBLE)]
    while len(visible) > MOST:
        visible.remove(dice.pick(visible))
    return [CLASSES[index] for index in sorted(visible, key=lambda index: -shares[index])]


def phrase(name: str, labels: np.ndarray, style: Style[float], dice: Dice) -> str:
    """A class as captions say it: by its name or another, with its colour or its number."""
    own = dice.chance(OWN_NAME)
    if name in words.THINGS:
        pairs = words.THINGS[name]
        one, more = pairs[0] if own else dice.pick(pairs[1:])
        number = count(labels == CLASSES.index(name))
        return f"{words.NUMBERS.get(number) or dice.pick(words.MORE)} {one if number == 1 else more}"
    nouns = words.STUFF[name]
    noun, colour = nouns[0] if own else dice.pick(nouns[1:]), words.adjective(name, style)
    if colour is None or not dice.chance(COLOUR):
        return noun
    article, rest = noun.split(" ", 1) if noun.startswith(("a ", "the ")) else ("", noun)
    return f"{article} {colour} {rest}".strip()


def count(mask: np.ndarray) -> int:
    """Connected parts of a mask (H, W) that are no specks, at least 1: what something in front divides counts twice."""
    sizes = np.bincount(components(mask)[0].ravel())[1:]
    return max(1, int((sizes >= SMALLEST).sum()))


def sentence(opening: str, parts: Sequence[str], ending: str) -> str:
    """`opening a, b and c ending`."""
    *others, last = parts
    listed = f"{', '.join(others)} and {last}" if others else last
    return " ".join(filter(None, (opening, listed, ending)))
