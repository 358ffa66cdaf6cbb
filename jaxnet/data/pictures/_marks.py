"""Connected regions of ink, and which of them are digits."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxnet.data.pictures._ground import Mask, opencv

_DUST = 0.02  # of the largest mark's area
_MOST = 1_000  # marks of writing on a page
_LOW = 0.4  # of a usual digit's height: what is lower is no digit
_TALL = 2.5  # nothing taller is a digit
WIDE = 1.6  # times as wide as a digit is high: two digits that touch


class Mark(NamedTuple):
    """Something drawn.

    Attributes:
        left, top, right, bottom: the box around it, in pixels.
        area: how many pixels it has.
        parts: the numbers of what is connected in it.
    """

    left: int
    top: int
    right: int
    bottom: int
    area: int
    parts: tuple[int, ...]

    @property
    def width(self) -> int:
        """From left to right."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """From top to bottom."""
        return self.bottom - self.top


def marks_in(mask: Mask) -> tuple[NDArray[np.int32], list[list[Mark]]]:
    """Finds what may be digits, in reading order."""
    _, parts, stats, _ = opencv().connectedComponentsWithStats(mask, connectivity=8)
    marks = [
        Mark(x, y, x + width, y + height, area, (part,))
        for part, (x, y, width, height, area) in enumerate(stats.tolist())
        if part
    ]
    marks = _without_dust(_inside(marks, mask.shape))
    if len(marks) > _MOST:
        raise ValueError(f"more than {_MOST:,} marks are drawn here, which is no writing")
    marks = _joined(marks)
    if not marks:
        return parts, []
    usual = _usual_height(marks)
    return parts, _lines([mark for mark in marks if _LOW < mark.height / usual < _TALL])


def _inside(marks: list[Mark], shape: tuple[int, int]) -> list[Mark]:
    """The marks that the picture's edge does not cut off, unless hardly any remain."""
    height, width = shape
    inside = [
        mark
        for mark in marks
        if mark.left > 1 and mark.top > 1 and mark.right < width - 1 and mark.bottom < height - 1
    ]
    enough = _DUST * max((mark.area for mark in marks), default=0)
    return inside if any(mark.area > enough for mark in inside) else marks


def _without_dust(marks: list[Mark]) -> list[Mark]:
    most = max((mark.area for mark in marks), default=0)
    return [mark for mark in marks if mark.area >= max(_DUST * most, 8)]


def _usual_height(marks: list[Mark]) -> float:
    """The median of the heights, weighted by area."""
    heights = sorted((mark.height, mark.area) for mark in marks)
    total = np.cumsum([area for _, area in heights])
    return heights[int(np.searchsorted(total, total[-1] / 2))][0]


def _joined(marks: list[Mark]) -> list[Mark]:
    """Joins marks that are parts of one digit."""
    if not marks:
        return []
    usual = _usual_height(marks)
    left, done = [*marks], list[Mark]()
    while left:
        mark = left.pop()
        for other in left:
            if _are_one(mark, other, usual):
                left.remove(other)
                left.append(
                    Mark(
                        min(mark.left, other.left),
                        min(mark.top, other.top),
                        max(mark.right, other.right),
                        max(mark.bottom, other.bottom),
                        mark.area + other.area,
                        mark.parts + other.parts,
                    )
                )
                break
        else:
            done.append(mark)
    return done


def _are_one(one: Mark, other: Mark, usual: float) -> bool:
    """Whether two marks are parts of one digit: one above the other, or a small one close by."""
    beside = max(one.left, other.left) - min(one.right, other.right)
    below = max(one.top, other.top) - min(one.bottom, other.bottom)
    together = max(one.bottom, other.bottom) - min(one.top, other.top)
    narrower = min(one.width, other.width)
    if beside < -0.4 * narrower and below < 0.25 * usual and together < 1.25 * usual:
        return True
    is_small = min(one.height, other.height) < 0.55 * usual
    return is_small and beside < 0.08 * usual and below < 0.1 * usual and together < 1.6 * usual


def _lines(marks: list[Mark]) -> list[list[Mark]]:
    """Lines from top to bottom, each from left to right."""
    lines: list[list[Mark]] = []
    for mark in sorted(marks, key=lambda mark: mark.top + mark.bottom):
        middle = (mark.top + mark.bottom) / 2
        for line in lines:
            top, bottom = (np.mean([edge(m) for m in line]) for edge in (_top, _bottom))
            if top < middle < bottom:
                line.append(mark)
                break
        else:
            lines.append([mark])
    return [sorted(line) for line in lines]


def _top(mark: Mark) -> int:
    return mark.top


def _bottom(mark: Mark) -> int:
    return mark.bottom
