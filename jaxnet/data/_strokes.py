"""The pen strokes of digits and of their components, and how they differ from hand to hand.

A stroke is the points that the pen passes, x to the right and y downwards, in a box of 100 × 100
around the digit. A point given twice is a corner.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

Stroke = list[tuple[int, int]]
Range = tuple[int | float, int | float]


class Way(NamedTuple):
    """One way to write a digit.

    Attributes:
        components: names in `COMPONENTS`: what the strokes are made of.
        strokes: one or two.
    """

    components: tuple[str, ...]
    strokes: list[Stroke]


# What differs from hand to hand, with its lowest and highest value.
HAND: dict[str, Range] = {
    "way": (0, 1),  # of writing the digit, as a share of those there are
    "pen": (2.0, 3.6),  # pixels
    "size": (0.9, 1.0),  # of MNIST's
    "right": (-0.5, 0.5),  # pixels off the middle
    "down": (-0.5, 0.5),
    "width": (0.7, 1.1),  # of the height
    "slant": (-0.1, 0.4),  # columns a row
    "turn": (-0.15, 0.15),  # radians
    "sway_xx": (-6, 6),  # radians of a wave over the digit's height
    "sway_xy": (-6, 6),
    "sway_yx": (-6, 6),
    "sway_yy": (-6, 6),
    "phase_x": (0, 2 * math.pi),
    "phase_y": (0, 2 * math.pi),
}

# For each component, the strokes that it is drawn with alone, in its place in a digit's box.
COMPONENTS: Mapping[str, tuple[Stroke, ...]] = {
    "loop above": (
        [(74, 12), (46, 0), (18, 14), (30, 38), (46, 48), (62, 36), (74, 12)],
        [(76, 18), (46, 0), (16, 18), (20, 44), (48, 50), (72, 38), (76, 18)],
    ),
    "loop below": (
        [(46, 47), (62, 56), (76, 80), (46, 100), (16, 82), (30, 56), (46, 47)],
        [(15, 76), (22, 96), (44, 100), (72, 86), (68, 62), (42, 56), (15, 76)],
    ),
    "one large loop": (
        [(50, 0), (20, 10), (4, 50), (18, 90), (45, 100), (74, 88), (86, 50), (74, 12), (50, 0)],
        [(46, 2), (28, 6), (12, 28), (8, 66), (28, 98), (58, 92), (76, 58), (70, 16), (46, 2)],
    ),
    "long line": ([(50, 0), (50, 50), (50, 100)],),
    "bar on top": ([(10, 6), (46, 4), (86, 2)], [(26, 2), (56, 2), (88, 0)]),
    "bar in the middle": ([(12, 52), (46, 52), (84, 46)], [(6, 63), (46, 63), (92, 60)]),
    "bar at the bottom": ([(8, 98), (50, 97), (90, 94)], [(8, 94), (48, 92), (96, 90)]),
    "bow to the right above": (
        [(10, 24), (26, 4), (56, 0), (76, 20), (66, 48)],
        [(12, 12), (44, 0), (76, 14), (68, 38), (36, 48)],
    ),
    "bow to the right below": (
        [(36, 48), (74, 58), (80, 84), (44, 100), (6, 88)],
        [(24, 44), (58, 46), (74, 68), (56, 96), (26, 100), (6, 90)],
    ),
    "long bow to the left": (
        [(70, 0), (38, 18), (14, 54), (16, 88), (30, 97)],
        [(46, 0), (22, 34), (10, 70), (22, 95)],
    ),
    "long bow to the right": ([(60, 2), (76, 20), (78, 50), (66, 84), (30, 98)],),
    "line at the upper left": ([(16, 4), (10, 34), (12, 52)], [(26, 2), (20, 42)]),
    "line at the upper right": ([(78, 0), (74, 50)], [(82, 4), (62, 42)]),
    "line at the lower right": ([(74, 50), (68, 100)], [(62, 52), (62, 100)]),
    "slanting line above": ([(64, 0), (34, 34), (6, 64)], [(54, 0), (24, 28)]),
    "slanting line below": ([(66, 48), (36, 78), (8, 98)], [(62, 42), (44, 72), (36, 100)]),
}

# For each digit, the ways to write it. Each piece of a stroke belongs to one component: the upper
# half of a 3 is a bow, and so it is not a bar on top, though it begins like one.
GLYPHS: tuple[tuple[Way, ...], ...] = (
    (  # 0
        Way(
            ("one large loop",),
            [[(50, 0), (20, 10), (4, 50), (18, 90), (45, 100), (74, 88), (86, 50), (74, 12), (50, 0)]],
        ),
        Way(
            ("one large loop",),
            [[(60, 4), (34, 2), (12, 28), (8, 66), (28, 98), (58, 92), (76, 58), (72, 18), (46, 2), (34, 12)]],
        ),
    ),
    (  # 1
        Way(("long line",), [[(50, 0), (50, 50), (50, 100)]]),
        Way(("long line",), [[(50, 0), (50, 50), (50, 100)]]),
        Way(
            ("slanting line above", "long line"),
            [[(30, 20), (52, 0), (52, 0), (52, 50), (50, 100)]],
        ),
    ),
    (  # 2
        Way(
            ("bow to the right above", "slanting line below", "bar at the bottom"),
            [[(10, 24), (26, 4), (56, 0), (76, 20), (66, 48), (36, 78), (8, 98), (8, 98), (50, 97), (90, 94)]],
        ),
        Way(
            ("bow to the right above", "slanting line below", "bar at the bottom"),
            [[(14, 20), (40, 0), (72, 14), (66, 50), (34, 86), (8, 94), (8, 78), (30, 76), (60, 94), (96, 90)]],
        ),
    ),
    (  # 3
        Way(
            ("bow to the right above", "bow to the right below"),
            [[(12, 12), (44, 0), (76, 14), (68, 38), (36, 48), (36, 48), (74, 58), (80, 84), (44, 100), (6, 88)]],
        ),
        Way(
            ("bow to the right above", "bow to the right below"),
            [[(10, 6), (46, 2), (70, 18), (58, 40), (30, 48), (62, 52), (78, 74), (58, 98), (28, 100), (4, 90)]],
        ),
    ),
    (  # 4
        Way(
            ("line at the upper left", "bar in the middle", "line at the upper right", "line at the lower right"),
            [[(16, 4), (10, 34), (12, 52), (12, 52), (46, 52), (82, 46)], [(78, 0), (74, 50), (68, 100)]],
        ),
        Way(  # closed above, by three straight lines: a triangle is no loop
            ("slanting line above", "bar in the middle", "line at the upper right", "line at the lower right"),
            [[(64, 0), (34, 34), (6, 64), (6, 64), (46, 64), (92, 60)], [(64, 0), (64, 0), (62, 50), (62, 100)]],
        ),
        Way(
            ("line at the upper left", "bar in the middle", "line at the upper right", "line at the lower right"),
            [[(20, 6), (8, 40), (24, 52), (52, 50), (74, 36), (76, 0), (76, 0), (74, 50), (70, 100)]],
        ),
    ),
    (  # 5
        Way(
            ("bar on top", "line at the upper left", "bow to the right below"),
            [[(26, 2), (20, 42), (20, 42), (52, 38), (80, 62), (66, 92), (34, 100), (4, 90)], [(26, 2), (56, 2), (88, 0)]],
        ),
        Way(
            ("bar on top", "line at the upper left", "bow to the right below"),
            [[(84, 2), (30, 4), (30, 4), (22, 44), (22, 44), (58, 46), (74, 68), (56, 96), (26, 100), (6, 90)]],
        ),
    ),
    (  # 6
        Way(
            ("long bow to the left", "loop below"),
            [[(70, 0), (38, 18), (14, 54), (16, 88), (44, 100), (72, 86), (68, 62), (42, 56), (16, 74)]],
        ),
        Way(
            ("long bow to the left", "loop below"),
            [[(46, 0), (22, 34), (10, 70), (26, 98), (58, 98), (72, 76), (54, 58), (28, 66), (14, 82)]],
        ),
    ),
    (  # 7
        Way(
            ("bar on top", "line at the upper right", "slanting line below"),
            [[(6, 10), (42, 6), (82, 4), (82, 4), (62, 40), (44, 72), (36, 100)]],
        ),
        Way(
            ("bar on top", "line at the upper right", "slanting line below"),
            [[(10, 20), (14, 4), (14, 4), (84, 2), (84, 2), (60, 48), (46, 100)]],
        ),
        Way(
            ("bar on top", "line at the upper right", "slanting line below", "bar in the middle"),
            [[(8, 6), (46, 6), (84, 2), (84, 2), (58, 52), (42, 100)], [(28, 52), (54, 50), (80, 46)]],
        ),
    ),
    (  # 8
        Way(
            ("loop above", "loop below"),
            [[(74, 12), (46, 0), (18, 14), (30, 38), (62, 56), (76, 80), (46, 100), (16, 82), (30, 56), (62, 36), (74, 12)]],
        ),
        Way(
            ("loop above", "loop below"),
            [[(66, 8), (36, 2), (20, 22), (40, 44), (66, 64), (66, 90), (38, 100), (20, 82), (36, 56), (64, 34), (70, 12)]],
        ),
    ),
    (  # 9
        Way(
            ("loop above", "line at the lower right"),
            [[(76, 16), (46, 0), (16, 18), (20, 44), (48, 50), (76, 20), (76, 20), (72, 60), (66, 100)]],
        ),
        Way(
            ("loop above", "long bow to the right"),
            [[(74, 22), (54, 0), (24, 8), (12, 34), (34, 50), (64, 40), (74, 14), (78, 50), (66, 84), (30, 98)]],
        ),
    ),
)  # fmt: skip
