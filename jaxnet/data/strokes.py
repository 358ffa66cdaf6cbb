"""Handwritten-looking digits drawn by the program itself: endless, on the device, no files.

Each digit is one or two strokes through points set by hand. A key picks one of the ways in
which people write that digit, bends, slants, turns and stretches it, and chooses the pen.
The framing is MNIST's: 20 pixels along the longest side, centred by mass in 28×28.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key
from numpy.typing import NDArray

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
_STEPS = 24  # straight pieces that a stroke's curve is drawn with


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
        >>> jaxnet.data.strokes.draw(jax.random.key(0), 7).shape
        (784,)
    """
    if isinstance(digit, int) and not 0 <= digit <= 9:
        raise ValueError(f"Expected a digit, 0 to 9; got {digit} instead.")
    key_way, key_shape, key_pen, key_size, key_place = jax.random.split(key, 5)
    ways = jnp.asarray(_curves())[digit]
    x, y = _bend(key_shape, *ways[jax.random.randint(key_way, (), 0, len(ways))])

    pen = jax.random.uniform(key_pen, minval=2.0, maxval=3.6)
    size = (20 - pen) * jax.random.uniform(key_size, minval=0.9)
    scale = size / jnp.maximum(jnp.ptp(x), jnp.ptp(y))
    x, y = scale * x, scale * y

    lengths = jnp.hypot(jnp.diff(x), jnp.diff(y))
    mass_x = (lengths * (x[:, 1:] + x[:, :-1])).sum() / lengths.sum() / 2
    mass_y = (lengths * (y[:, 1:] + y[:, :-1])).sum() / lengths.sum() / 2
    off_x, off_y = jax.random.uniform(key_place, (2,), minval=-0.5, maxval=0.5)
    return _ink(x - mass_x + 14 + off_x, y - mass_y + 14 + off_y, pen)


@partial(jax.jit, static_argnames="n")
def sample(key: Key[Array, ""], n: int) -> tuple[Float[Array, "n 784"], Int[Array, " n"]]:
    """Draws digits at random, each of the ten equally likely.

    Args:
        key: from `jax.random.key`.
        n: how many; static, so another number compiles anew.

    Returns:
        Images, shape `(n, 784)`, from 0 (black) to 1 (white), and what they show, `(n,)`.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(0), 100)
        >>> images.shape, labels.shape
        ((100, 784), (100,))
    """
    key_label, key_image = jax.random.split(key)
    labels = jax.random.randint(key_label, (n,), 0, 10)
    return jax.vmap(draw)(jax.random.split(key_image, n), labels), labels


def _bend(key: Key[Array, ""], x: Array, y: Array) -> tuple[Array, Array]:
    """Sways, slants, narrows and turns the pen's path as another hand would."""
    key_wave, key_phase, key_slant, key_width, key_turn = jax.random.split(key, 5)
    wave = jax.random.uniform(key_wave, (4,), minval=-6, maxval=6)  # radians a height
    phase = jax.random.uniform(key_phase, (2,), maxval=2 * jnp.pi)
    x, y = (
        x + 0.04 * jnp.sin(wave[0] * x + wave[1] * y + phase[0]),
        y + 0.04 * jnp.sin(wave[2] * x + wave[3] * y + phase[1]),
    )
    slant = jax.random.uniform(key_slant, minval=-0.1, maxval=0.4)
    width = jax.random.uniform(key_width, minval=0.7, maxval=1.1)
    turn = jax.random.uniform(key_turn, minval=-0.15, maxval=0.15)
    x = width * x - slant * y
    cos, sin = jnp.cos(turn), jnp.sin(turn)
    return cos * x - sin * y, sin * x + cos * y


def _ink(x: Array, y: Array, pen: Array) -> Array:
    """How much of each pixel a round pen covers on its way along straight pieces."""
    dx, dy = (jnp.diff(v).reshape(1, -1) for v in (x, y))
    row, column = jnp.mgrid[:28, :28].astype(x.dtype).reshape(2, 784, 1)
    to_x, to_y = column - x[:, :-1].reshape(1, -1), row - y[:, :-1].reshape(1, -1)
    along = (to_x * dx + to_y * dy) / jnp.maximum(dx**2 + dy**2, 1e-6)
    along = along.clip(0, 1)
    distance = jnp.hypot(to_x - along * dx, to_y - along * dy).min(1)
    return (pen / 2 + 0.5 - distance).clip(0, 1)


def _curves() -> NDArray[Any]:
    """Every way to write every digit, shape `(10, ways, 2, strokes, points)`.

    A digit with fewer ways repeats them; a way of one stroke draws it twice.
    """
    n_ways = math.lcm(*map(len, _GLYPHS))
    glyphs = [[ways[n % len(ways)] for n in range(n_ways)] for ways in _GLYPHS]
    curves = [[[_curve(way[0]), _curve(way[-1])] for way in ways] for ways in glyphs]
    return np.moveaxis(np.array(curves, np.float32), -1, 2)


def _curve(points: Sequence[tuple[int, int]]) -> NDArray[Any]:
    """Points along the Catmull-Rom spline through a stroke, from -0.5 to 0.5."""
    p = np.array([points[0], *points, points[-1]]) / 100 - 0.5
    t = np.linspace(0, len(points) - 1, _STEPS + 1)
    i = np.minimum(t.astype(int), len(points) - 2)
    u = (t - i)[:, None]
    a, b, c, d = (p[i + n] for n in range(4))
    return b + u / 2 * (c - a + u * (2 * a - 5 * b + 4 * c - d + u * (3 * b - a - 3 * c + d)))
