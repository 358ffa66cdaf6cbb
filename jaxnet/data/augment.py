"""Data augmentation: small random affine and elastic warps.

Each takes a key and one square image; use `jax.vmap` over both to warp a batch. The result has the
same shape. It is interpolated linearly, and black outside the original image.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxnet.network import Image

__all__ = ["affine", "both", "elastic"]

TURN, STRETCH, SLANT, SHIFT = 0.12, 0.07, 0.1, 1.0  # the most that keeps each digit legible
STRENGTH, SMOOTHNESS = 0.8, 4.0


def affine(
    key: Key[Array, ""],
    x: Image,
    *,
    turn: ArrayLike = TURN,
    stretch: ArrayLike = STRETCH,
    slant: ArrayLike = SLANT,
    shift: ArrayLike = SHIFT,
) -> Image:
    """Rotates, scales, shears and shifts an image by random amounts.

    Args:
        key: from `jax.random.key`.
        x: one square image, shape `(784,)`.
        turn: at most this many radians either way.
        stretch: each side by a factor of at most 1 ± this.
        slant: columns a row, at most.
        shift: pixels along each side, at most.

    Returns:
        An image of the same shape.

    Example:
        >>> import jax, jaxnet
        >>> x = jaxnet.data.synthetic.draw(jax.random.key(0), 7)
        >>> jaxnet.data.augment.affine(jax.random.key(1), x).shape
        (784,)
    """
    return _moved(x, _affine_moves(key, x, turn, stretch, slant, shift))


def elastic(
    key: Key[Array, ""],
    x: Image,
    *,
    strength: ArrayLike = STRENGTH,
    smoothness: int | float = SMOOTHNESS,
) -> Image:
    """Applies a random elastic deformation.

    Draws random displacements on a coarse grid and smooths them to every pixel by a Gaussian.

    Args:
        key: from `jax.random.key`.
        x: one square image, shape `(784,)`.
        strength: the standard deviation of a pixel's move along each side, in pixels.
        smoothness: the standard deviation of the Gaussian by which the places are weighed, in
            pixels; they are about as far from each other. Static under `jit`.

    Returns:
        An image of the same shape.

    Example:
        >>> import jax, jaxnet
        >>> x = jaxnet.data.synthetic.draw(jax.random.key(0), 7)
        >>> jaxnet.data.augment.elastic(jax.random.key(1), x).shape
        (784,)

    Source: Simard, Steinkraus and Platt, "Best practices for convolutional neural networks
    applied to visual document analysis", 2003.
    """
    return _moved(x, _elastic_moves(key, x, strength, smoothness))


def both(key: Key[Array, ""], x: Image, *, amount: ArrayLike = 1.0) -> Image:
    """Applies `affine` and `elastic` together, interpolating only once.

    Args:
        key: from `jax.random.key`.
        x: one square image, shape `(784,)`.
        amount: from 0, which changes nothing, to 1 for what those two do by default.

    Returns:
        An image of the same shape.

    Example:
        >>> import jax, jaxnet
        >>> x = jaxnet.data.synthetic.draw(jax.random.key(0), 7)
        >>> jaxnet.data.augment.both(jax.random.key(1), x).shape
        (784,)
    """
    key_affine, key_elastic = jax.random.split(key)
    moves = _affine_moves(key_affine, x, TURN, STRETCH, SLANT, SHIFT)
    moves += _elastic_moves(key_elastic, x, STRENGTH, SMOOTHNESS)
    return _moved(x, jnp.asarray(amount, x.dtype) * moves)


def _moved(x: Image, moves: Float[Array, "2 pixels"]) -> Image:
    """Resamples the image with each pixel displaced by its move."""
    side = math.isqrt(x.size)
    place = jnp.mgrid[:side, :side].astype(x.dtype).reshape(2, -1)
    return map_coordinates(x.reshape(side, side), tuple(place + moves), order=1)


def _affine_moves(
    key: Key[Array, ""],
    x: Image,
    turn: ArrayLike,
    stretch: ArrayLike,
    slant: ArrayLike,
    shift: ArrayLike,
) -> Float[Array, "2 pixels"]:
    side = math.isqrt(x.size)
    most = jnp.array([turn, stretch, stretch, slant, shift, shift], x.dtype)
    angle, tall, wide, lean, down, right = jax.random.uniform(key, (6,), x.dtype, -1) * most
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    from_center = jnp.mgrid[:side, :side].astype(x.dtype).reshape(2, -1) - (side - 1) / 2
    row, column = from_center
    row, column = (1 + tall) * row, (1 + wide) * column + lean * row
    row, column = cos * row - sin * column, sin * row + cos * column
    return jnp.stack([row + down, column + right]) - from_center


def _elastic_moves(
    key: Key[Array, ""], x: Image, strength: ArrayLike, smoothness: int | float
) -> Float[Array, "2 pixels"]:
    side = math.isqrt(x.size)
    place = jnp.arange(side, dtype=x.dtype)
    knots = jnp.linspace(0, side - 1, math.ceil(side / smoothness), dtype=x.dtype)
    blur = jnp.exp(-((place[:, None] - knots[None, :]) ** 2) / (2 * smoothness**2))
    blur /= jnp.linalg.norm(blur, axis=1, keepdims=True)  # for a variance of 1 everywhere
    most = math.sqrt(3)  # for a variance of 1, too
    noise = jax.random.uniform(key, (2, knots.size, knots.size), x.dtype, -most, most)
    return (strength * (blur @ noise @ blur.T)).reshape(2, -1)
