"""Synthetic handwritten digits, drawn on the device: no files, no end.

Each digit is one or two strokes through points set by hand. A key picks one of the ways in
which people write that digit, bends, slants, turns and stretches it, and chooses the pen.
The framing is MNIST's: 20 pixels along the longest side, centered by mass in 28×28.
"""

import math
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key
from numpy.typing import NDArray

from jaxnet._util.sharding import lacks_mesh, on_mesh_of, pick

# For each digit the ways to write it, for each way its strokes, for each stroke the points
# that the pen passes, x to the right and y downwards. A point given twice is a corner.
_GLYPHS = (
    (  # 0
        [[(50, 0), (20, 10), (4, 50), (18, 90), (45, 100), (74, 88), (86, 50), (74, 12), (50, 0)]],
        [[(60, 4), (34, 2), (12, 28), (8, 66), (28, 98), (58, 92), (76, 58), (72, 18), (46, 2), (34, 12)]],
    ),
    (  # 1
        [[(50, 0), (50, 50), (50, 100)]],
        [[(50, 0), (50, 50), (50, 100)]],
        [[(30, 20), (52, 0), (52, 0), (52, 50), (50, 100)]],
    ),
    (  # 2
        [[(10, 24), (26, 4), (56, 0), (76, 20), (66, 48), (36, 78), (8, 98), (8, 98), (50, 97), (90, 94)]],
        [[(14, 20), (40, 0), (72, 14), (66, 50), (34, 86), (8, 94), (8, 78), (30, 76), (60, 94), (96, 90)]],
    ),
    (  # 3
        [[(12, 12), (44, 0), (76, 14), (68, 38), (36, 48), (36, 48), (74, 58), (80, 84), (44, 100), (6, 88)]],
        [[(10, 6), (46, 2), (70, 18), (58, 40), (30, 48), (62, 52), (78, 74), (58, 98), (28, 100), (4, 90)]],
    ),
    (  # 4
        [[(16, 4), (10, 34), (12, 52), (12, 52), (46, 52), (82, 46)], [(78, 0), (74, 50), (68, 100)]],
        [[(64, 0), (34, 34), (6, 64), (6, 64), (46, 64), (92, 60)], [(64, 0), (64, 0), (62, 50), (62, 100)]],
        [[(20, 6), (8, 40), (24, 52), (52, 50), (74, 36), (76, 0), (76, 0), (74, 50), (70, 100)]],
    ),
    (  # 5
        [[(26, 2), (20, 42), (20, 42), (52, 38), (80, 62), (66, 92), (34, 100), (4, 90)], [(26, 2), (56, 2), (88, 0)]],
        [[(84, 2), (30, 4), (30, 4), (22, 44), (22, 44), (58, 46), (74, 68), (56, 96), (26, 100), (6, 90)]],
    ),
    (  # 6
        [[(70, 0), (38, 18), (14, 54), (16, 88), (44, 100), (72, 86), (68, 62), (42, 56), (16, 74)]],
        [[(46, 0), (22, 34), (10, 70), (26, 98), (58, 98), (72, 76), (54, 58), (28, 66), (14, 82)]],
    ),
    (  # 7
        [[(6, 10), (42, 6), (82, 4), (82, 4), (62, 40), (44, 72), (36, 100)]],
        [[(10, 20), (14, 4), (14, 4), (84, 2), (84, 2), (60, 48), (46, 100)]],
        [[(8, 6), (46, 6), (84, 2), (84, 2), (58, 52), (42, 100)], [(28, 52), (54, 50), (80, 46)]],
    ),
    (  # 8
        [[(74, 12), (46, 0), (18, 14), (30, 38), (62, 56), (76, 80), (46, 100), (16, 82), (30, 56), (62, 36), (74, 12)]],
        [[(66, 8), (36, 2), (20, 22), (40, 44), (66, 64), (66, 90), (38, 100), (20, 82), (36, 56), (64, 34), (70, 12)]],
    ),
    (  # 9
        [[(76, 16), (46, 0), (16, 18), (20, 44), (48, 50), (76, 20), (76, 20), (72, 60), (66, 100)]],
        [[(74, 22), (54, 0), (24, 8), (12, 34), (34, 50), (64, 40), (74, 14), (78, 50), (66, 84), (30, 98)]],
    ),
)  # fmt: skip
_PIECES = 32  # straight pieces that a digit is drawn with
_TILE = 16  # digits drawn at a time, so that the work stays in the cache

# What differs from hand to hand, the least and the most of it.
_HAND = {
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


def draw(key: Key[Array, ""], digit: ArrayLike) -> Float[Array, "784"]:
    """Draws one digit.

    Args:
        key: from `jax.random.key`; another key gives another hand.
        digit: what to draw, 0 to 9; may be traced.

    Returns:
        One image, shape `(784,)`, from 0 (black) to 1 (white).

    Raises:
        ValueError: the digit is a Python number and not 0 to 9.

    Example:
        >>> import jax, jaxnet
        >>> jaxnet.data.synthetic.draw(jax.random.key(0), 7).shape
        (784,)
    """
    if isinstance(digit, (int, np.integer)) and not 0 <= digit <= 9:
        raise ValueError(f"Expected a digit, 0 to 9; got {digit} instead.")
    return (jax.jit(_draw) if lacks_mesh(key, digit) else _draw)(key, digit)


def sample(key: Key[Array, ""], n: int) -> tuple[Float[Array, "n 784"], Int[Array, " n"]]:
    """Draws digits at random, each of the ten equally likely.

    Args:
        key: from `jax.random.key`.
        n: how many; static, so another number compiles anew.

    Returns:
        Images, shape `(n, 784)`, from 0 (black) to 1 (white), and what they show, `(n,)`.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 100)
        >>> images.shape, labels.shape
        ((100, 784), (100,))
    """
    return _sample(key, n)


def _draw(key: Key[Array, ""], digit: ArrayLike) -> Array:
    with on_mesh_of(key, digit):
        low, high = np.array([*_HAND.values()], np.float32).T
        hand = dict(
            zip(_HAND, jax.random.uniform(key, low.shape, jnp.float32, low, high), strict=True)
        )
        ways = pick(jnp.asarray(_pieces()), jnp.asarray(digit))
        x, y = _bend(hand, *pick(ways, (hand["way"] * len(ways)).astype(int)))

        size = hand["size"] * (20 - hand["pen"]) / jnp.maximum(jnp.ptp(x), jnp.ptp(y))
        x, y = size * x, size * y
        lengths = jnp.hypot(x[1] - x[0], y[1] - y[0])
        mass_x, mass_y = (lengths @ (v[0] + v[1]) / lengths.sum() / 2 for v in (x, y))
        return _ink(x - mass_x + 14 + hand["right"], y - mass_y + 14 + hand["down"], hand["pen"])


@partial(jax.jit, static_argnames="n")  # apart, since what `jit` returns shows no types
def _sample(key: Key[Array, ""], n: int) -> tuple[Array, Array]:
    key_label, key_image = jax.random.split(key)
    labels = jax.random.randint(key_label, (n,), 0, 10, jnp.int32)
    keys = jax.random.split(key_image, n)
    return jax.lax.map(lambda image: draw(*image), (keys, labels), batch_size=_TILE), labels


def _bend(hand: dict[str, Array], x: Array, y: Array) -> tuple[Array, Array]:
    """Randomly bends, scales, shears and rotates the pen's path."""
    sway_x = jnp.sin(hand["sway_xx"] * x + hand["sway_xy"] * y + hand["phase_x"])
    sway_y = jnp.sin(hand["sway_yx"] * x + hand["sway_yy"] * y + hand["phase_y"])
    x, y = x + 0.04 * sway_x, y + 0.04 * sway_y
    x = hand["width"] * x - hand["slant"] * y
    cos, sin = jnp.cos(hand["turn"]), jnp.sin(hand["turn"])
    return cos * x - sin * y, sin * x + cos * y


def _ink(x: Array, y: Array, pen: Array) -> Array:
    """How much of each pixel a round pen covers along straight segments.

    Of a pixel `q` and a piece from `s` along `d`, the nearest point is `s + t d`, where `t`
    is `(q - s)·d / d·d` within 0 and 1, and its squared distance |q - s|² - t (2 (q - s)·d - t d·d).
    """
    x, y = x[..., None], y[..., None]
    dx, dy = x[1] - x[0], y[1] - y[0]
    length2 = jnp.maximum(dx**2 + dy**2, 1e-6)
    row, column = jnp.mgrid[:28, :28].astype(x.dtype).reshape(2, 1, 784)
    to_x, to_y = column - x[0], row - y[0]
    dot = to_x * dx + to_y * dy
    t = (dot * (1 / length2)).clip(0, 1)
    distance2 = to_x**2 + to_y**2 - t * (2 * dot - t * length2)
    distance = jnp.sqrt(jnp.maximum(distance2.min(0), 0))
    return (pen / 2 + 0.5 - distance).clip(0, 1)


@cache
def _pieces() -> NDArray[Any]:
    """Every way to write every digit, shape `(10, ways, x and y, start and end, segments)`."""
    n_ways = math.lcm(*map(len, _GLYPHS))  # those with fewer repeat them: equal odds for each
    return np.array(
        [[_curves(ways[n % len(ways)]) for n in range(n_ways)] for ways in _GLYPHS], np.float32
    )


def _curves(strokes: Sequence[Sequence[tuple[int, int]]]) -> NDArray[Any]:
    """Segments of the Catmull-Rom splines through a digit's strokes, from -0.5 to 0.5."""
    pieces: list[NDArray[Any]] = []
    for points in strokes:
        p = np.array([points[0], *points, points[-1]]) / 100 - 0.5
        at = np.linspace(0, len(points) - 1, _PIECES // len(strokes) + 1)
        i = np.minimum(at.astype(int), len(points) - 2)
        u = (at - i)[:, None]
        a, b, c, d = (p[i + n] for n in range(4))
        curve = b + u / 2 * (c - a + u * (2 * a - 5 * b + 4 * c - d + u * (3 * b - a - 3 * c + d)))
        pieces.append(np.stack([curve[:-1], curve[1:]]))
    return np.moveaxis(np.concatenate(pieces, axis=1), -1, 0)
