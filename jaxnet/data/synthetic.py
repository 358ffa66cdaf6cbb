"""Synthetic handwritten digits and their components, drawn on the device without any files.

Each digit is one or two strokes through points set by hand. A key picks one of the ways in
which people write that digit, bends, slants, turns and stretches it, and chooses the pen.
The framing is MNIST's: 20 pixels along the longest side, centered by mass in 28×28.

Each way to write a digit is made of components, as the video imagines them: a 9 is a loop above
and a line at the lower right. The sixteen `COMPONENTS` can be drawn alone, each about where it is
in a digit, and digits together with the components they have.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key
from numpy.typing import NDArray

from jaxnet._util.sharding import on_mesh_of, on_own_mesh, pick
from jaxnet.data import _strokes
from jaxnet.network import SIDE

__all__ = [
    "COMPONENTS",
    "draw",
    "draw_component",
    "drawing",
    "sample",
    "sample_components",
    "sample_with_components",
]

COMPONENTS = tuple(_strokes.COMPONENTS)
GLYPHS = _strokes.GLYPHS  # for each digit, the ways to write it
HAND = _strokes.HAND  # what differs from hand to hand: its name, the least and the most of it

_PIECES = 32  # straight pieces that a digit is drawn with
_TILE = 16  # digits drawn at a time, so that the work stays in the cache

# Extra variation for a component drawn alone, since its position in a digit varies.
_ALONE = {
    "zoom": (0.85, 1.1),  # about its own center
    "aside": (-1.5, 1.5),  # pixels
    "below": (-1.5, 1.5),
}
_MIDDLE = SIDE / 2
N_NUMBERS = len(HAND) + len(_ALONE)  # that determine a drawing


def draw(key: Key[Array, ""], digit: ArrayLike, *, side: int = SIDE) -> Float[Array, " pixels"]:
    """Draws one digit.

    Args:
        key: from `jax.random.key`; another key gives another hand.
        digit: what to draw, 0 to 9; may be traced.
        side: pixels along each side of the image; static.

    Returns:
        One image, shape `(side²,)`, from 0 (black) to 1 (white).

    Raises:
        ValueError: the digit is a Python number and not 0 to 9.

    Example:
        >>> import jax, jaxnet
        >>> jaxnet.data.synthetic.draw(jax.random.key(0), 7).shape
        (784,)
    """
    if isinstance(digit, (int, np.integer)) and not 0 <= digit <= 9:
        raise ValueError(f"Expected a digit, 0 to 9; got {digit} instead.")
    return on_own_mesh(partial(_draw, side=side))(key, digit)


def sample(
    key: Key[Array, ""], n: int, *, side: int = SIDE
) -> tuple[Float[Array, "n pixels"], Int[Array, " n"]]:
    """Draws digits at random, each of the ten equally likely.

    Args:
        key: from `jax.random.key`.
        n: how many; static, so another number compiles anew.
        side: as for `draw`.

    Returns:
        Images, shape `(n, side²)`, from 0 (black) to 1 (white), and what they show, `(n,)`.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 100)
        >>> images.shape, labels.shape
        ((100, 784), (100,))
    """
    return _sample(key, n, 10, draw, side)


def draw_component(
    key: Key[Array, ""], component: ArrayLike, *, side: int = SIDE
) -> Float[Array, " pixels"]:
    """Draws one component of digits, alone and about where it is in a digit.

    Place, size, slant and pen vary: it is never this specific loop of pixels, but any loop above.

    Args:
        key: from `jax.random.key`.
        component: its index in `COMPONENTS`, 0 to 15; may be traced.
        side: as for `draw`.

    Returns:
        One image, shape `(side²,)`, from 0 (black) to 1 (white).

    Raises:
        ValueError: the component is a Python number and not 0 to 15.

    Example:
        >>> import jax
        >>> from jaxnet.data.synthetic import COMPONENTS, draw_component
        >>> x = draw_component(jax.random.key(0), COMPONENTS.index("bar at the bottom"))
        >>> round(x.reshape(28, 28)[:14].sum().item()), bool(x.sum() > 20)  # no ink above
        (0, True)
    """
    n = len(COMPONENTS)
    if isinstance(component, (int, np.integer)) and not 0 <= component < n:
        raise ValueError(f"Expected a component, 0 to {n - 1}; got {component} instead.")
    return on_own_mesh(partial(_draw_component, side=side))(key, component)


def sample_components(
    key: Key[Array, ""], n: int, *, side: int = SIDE
) -> tuple[Float[Array, "n pixels"], Int[Array, " n"]]:
    """Draws components alone, each of the sixteen equally likely.

    Args:
        key: from `jax.random.key`.
        n: how many; static, so another number compiles anew.
        side: as for `draw`.

    Returns:
        Images, shape `(n, side²)`, and the index of each one's component in `COMPONENTS`, `(n,)`.

    Example:
        >>> import jax
        >>> from jaxnet.data.synthetic import sample_components
        >>> images, components = sample_components(jax.random.key(0), 100)
        >>> images.shape, components.shape
        ((100, 784), (100,))
    """
    return _sample(key, n, len(COMPONENTS), draw_component, side)


def sample_with_components(
    key: Key[Array, ""], n: int, *, side: int = SIDE
) -> tuple[Float[Array, "n pixels"], Int[Array, " n"], Bool[Array, "n 16"]]:
    """Draws digits as `sample` does, and says which components each is made of.

    Args:
        key, n, side: as for `sample`.

    Returns:
        The images and labels of `sample`, and for each image whether it has each of
        `COMPONENTS`, shape `(n, 16)`.

    Example:
        >>> import jax
        >>> from jaxnet.data.synthetic import COMPONENTS, sample_with_components
        >>> images, labels, has = sample_with_components(jax.random.key(0), 100)
        >>> loop_above = has[:, COMPONENTS.index("loop above")]
        >>> sorted({*labels[loop_above].tolist()})
        [8, 9]
    """
    (images, has), labels = _sample(key, n, 10, _draw_with_components, side)
    return images, labels, has


def drawing(
    numbers: Float[Array, " n"], subject: ArrayLike, *, side: int = SIDE
) -> Float[Array, " pixels"]:
    """Draws a digit or a component from numbers instead of a key.

    Differentiable in the numbers, except in the first, which picks the way to write it.

    Args:
        numbers: shape `(N_NUMBERS,)`, each from 0 to 1: where in its range each property of the
            hand lies, such as the pen's width, the size and the slant.
        subject: a digit, 0 to 9, or 10 plus the index of a component; may be traced.
        side: as for `draw`.

    Returns:
        One image, shape `(side²,)`, from 0 (black) to 1 (white).

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxnet.data.synthetic import N_NUMBERS, drawing
        >>> drawing(jnp.full(N_NUMBERS, 0.5), 7).shape  # the most average 7
        (784,)
    """
    ranges = HAND | _ALONE
    low, high = np.array([*ranges.values()], np.float32).T
    hand = dict(zip(ranges, low + jnp.asarray(numbers) * (high - low), strict=True))
    subject = jnp.asarray(subject)
    digit, component = jnp.minimum(subject, 9), jnp.maximum(subject - 10, 0)
    return jnp.where(subject < 10, _digit(hand, digit, side), _component(hand, component, side))


def _draw(key: Key[Array, ""], digit: ArrayLike, side: int) -> Array:
    return _digit(_uniform(key, HAND), digit, side)


def _draw_with_components(key: Key[Array, ""], digit: ArrayLike, side: int) -> tuple[Array, Array]:
    with on_mesh_of(key, digit):
        hand = _uniform(key, HAND)
        ways = pick(jnp.asarray(_made_of()), jnp.asarray(digit))
        return _digit(hand, digit, side), pick(ways, _way(hand, len(ways)))


def _draw_component(key: Key[Array, ""], component: ArrayLike, side: int) -> Array:
    return _component(_uniform(key, HAND | _ALONE), component, side)


def _digit(hand: Mapping[str, Array], digit: ArrayLike, side: int) -> Array:
    """Draws a digit, framed as in MNIST."""
    x, y = _bend(hand, *_written(hand, _pieces(), digit))
    size = hand["size"] * (20 - hand["pen"]) / jnp.maximum(jnp.ptp(x), jnp.ptp(y))
    x, y = size * x, size * y
    lengths = jnp.hypot(x[1] - x[0], y[1] - y[0])
    mass_x, mass_y = (lengths @ (v[0] + v[1]) / lengths.sum() / 2 for v in (x, y))
    x, y = x - mass_x + _MIDDLE + hand["right"], y - mass_y + _MIDDLE + hand["down"]
    return _ink(x, y, hand["pen"], side)


def _component(hand: Mapping[str, Array], component: ArrayLike, side: int) -> Array:
    """Draws a component about where it is in a digit of full size."""
    x, y = _bend(hand, *_written(hand, _component_pieces(), component))
    size = hand["size"] * (20 - hand["pen"])
    x, y = (size * (v.mean() + hand["zoom"] * (v - v.mean())) for v in (x, y))
    right, down = hand["right"] + hand["aside"], hand["down"] + hand["below"]
    return _ink(x + _MIDDLE + right, y + _MIDDLE + down, hand["pen"], side)


def _uniform(key: Key[Array, ""], ranges: Mapping[str, _strokes.Range]) -> dict[str, Array]:
    """Draws a number from each range."""
    low, high = np.array([*ranges.values()], np.float32).T
    numbers = jax.random.uniform(key, low.shape, jnp.float32, low, high)
    return dict(zip(ranges, numbers, strict=True))


def _written(hand: Mapping[str, Array], pieces: NDArray[Any], which: ArrayLike) -> Array:
    """The segments of one of the ways to write something, shape `(x and y, 2, segments)`."""
    ways = pick(jnp.asarray(pieces), jnp.asarray(which))
    return pick(ways, _way(hand, len(ways)))


def _way(hand: Mapping[str, Array], n_ways: int) -> Array:
    return jnp.minimum((hand["way"] * n_ways).astype(int), n_ways - 1)


# Apart, since what `jit` returns shows no types.
@partial(jax.jit, static_argnames=("n", "n_kinds", "draw_one", "side"))
def _sample(
    key: Key[Array, ""], n: int, n_kinds: int, draw_one: Callable[..., Any], side: int
) -> tuple[Any, Array]:
    key_kind, key_image = jax.random.split(key)
    kinds = jax.random.randint(key_kind, (n,), 0, n_kinds, jnp.int32)
    keys = jax.random.split(key_image, n)
    return jax.lax.map(
        lambda image: draw_one(*image, side=side), (keys, kinds), batch_size=_TILE
    ), kinds


def _bend(hand: Mapping[str, Array], x: Array, y: Array) -> tuple[Array, Array]:
    """Randomly bends, scales, shears and rotates the pen's path."""
    sway_x = jnp.sin(hand["sway_xx"] * x + hand["sway_xy"] * y + hand["phase_x"])
    sway_y = jnp.sin(hand["sway_yx"] * x + hand["sway_yy"] * y + hand["phase_y"])
    x, y = x + 0.04 * sway_x, y + 0.04 * sway_y
    x = hand["width"] * x - hand["slant"] * y
    cos, sin = jnp.cos(hand["turn"]), jnp.sin(hand["turn"])
    return cos * x - sin * y, sin * x + cos * y


def _ink(x: Array, y: Array, pen: Array, side: int) -> Array:
    """How much of each pixel a round pen covers along segments, given in MNIST's pixels."""
    # Pixels are centered on whole numbers, so that the first one's left edge is at -1/2.
    scale = side / SIDE
    x, y, pen = scale * x + (scale - 1) / 2, scale * y + (scale - 1) / 2, scale * pen
    # Of a pixel `q` and a segment from `s` along `d`, the nearest point is `s + t d`, where `t` is
    # `(q - s)·d / d·d` clipped to 0 and 1; its squared distance: |q - s|² - t (2 (q - s)·d - t
    # d·d).
    x, y = x[..., None], y[..., None]
    dx, dy = x[1] - x[0], y[1] - y[0]
    length2 = jnp.maximum(dx**2 + dy**2, 1e-6)
    row, column = jnp.mgrid[:side, :side].astype(x.dtype).reshape(2, 1, side**2)
    to_x, to_y = column - x[0], row - y[0]
    dot = to_x * dx + to_y * dy
    t = (dot * (1 / length2)).clip(0, 1)
    distance2 = to_x**2 + to_y**2 - t * (2 * dot - t * length2)
    distance = jnp.sqrt(jnp.maximum(distance2.min(0), 1e-12))  # at 0 its slope is infinite
    return (pen / 2 + 0.5 - distance).clip(0, 1)


@cache
def _pieces() -> NDArray[Any]:
    """Every way to write every digit, shape `(10, ways, x and y, start and end, segments)`."""
    ways = _equally_often(GLYPHS)
    return np.array([[_curves(way.strokes) for way in digit] for digit in ways], np.float32)


@cache
def _component_pieces() -> NDArray[Any]:
    """The same for every component, shape `(16, ways, 2, 2, segments)`."""
    ways = _equally_often([*_strokes.COMPONENTS.values()])
    return np.array([[_curves([stroke]) for stroke in component] for component in ways], np.float32)


@cache
def _made_of() -> NDArray[Any]:
    """Which components each way to write each digit has, shape `(10, ways, 16)`."""
    ways = _equally_often(GLYPHS)
    return np.array(
        [[[name in way.components for name in COMPONENTS] for way in digit] for digit in ways]
    )


def _equally_often(each: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Repeats the ways of each, for equal odds, so that all have as many."""
    n = math.lcm(*map(len, each))
    return [[*ways] * (n // len(ways)) for ways in each]


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
