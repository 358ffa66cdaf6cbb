"""Many images: read in tiles that stay in the cache, with one compilation for all."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import sigmoid
from jaxtyping import Array, Float, Int, Num

from jaxnet.network import Layer, Params, Squash, logits

PIECE = 16_384  # images handed to the device at a time
_TILE = 2_048  # images whose float copies fit a core's cache together


class Answers(NamedTuple):
    """What the network reads in each of `n` images.

    Attributes:
        digits: shape `(n,)`, the brightest output of each.
        activations: shape `(n, 10)`, all outputs of each.
    """

    digits: np.ndarray[Any, np.dtype[np.int32]]
    activations: np.ndarray[Any, np.dtype[np.float32]]


def classify(
    params: Params,
    images: Num[np.ndarray[Any, Any], "n pixels"] | Num[Array, "n pixels"],
    *,
    squash: Squash = sigmoid,
    last_squash: Squash = sigmoid,
) -> Answers:
    """Reads any number of images.

    Args:
        params: the network.
        images: shape `(n, 784)`, in NumPy (memory-mapped, if they are many) or JAX; uint8
            from 0 to 255, or floats from 0 to 1. Bytes reach the device as bytes.
        squash, last_squash: as in `forward`.

    Returns:
        A digit and ten activations for each image, in order, in NumPy.

    Raises:
        ValueError: images of another shape or type than the network reads.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(0), 1000)
        >>> answers = jaxnet.classify(jaxnet.pretrained(), images)
        >>> bool((answers.digits == labels).mean() > 0.9)
        True
    """
    pixels = params[0].weights.shape[1]
    if images.ndim != 2 or images.shape[1] != pixels:
        raise ValueError(f"Expected images of shape (n, {pixels}); got {images.shape} instead.")
    if images.dtype != np.uint8 and not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"Expected images in uint8 or floats; got {images.dtype} instead.")
    read = partial(_read, squash=squash, last_squash=last_squash)
    starts = range(0, len(images), PIECE) if len(images) else (0,)
    parts = [_read_padded(read, params, np.asarray(images[at : at + PIECE])) for at in starts]
    return Answers(*map(np.concatenate, zip(*parts, strict=True)))


def _read_padded(
    read: Callable[[Params, Any], Answers], params: Params, piece: np.ndarray[Any, Any]
) -> Answers:
    """Reads images, padded to a power of two: a few compilations then serve every number."""
    n = len(piece)
    padding = 2 ** math.ceil(math.log2(max(n, 1))) - n
    answers = read(params, np.pad(piece, ((0, padding), (0, 0))) if padding else piece)
    return Answers(*(np.asarray(part)[:n] for part in answers))


@partial(jax.jit, static_argnames=("squash", "last_squash"))
def _read(params: Params, images: Array, *, squash: Squash, last_squash: Squash) -> Answers:
    (w, b), *rest = params
    if images.dtype == jnp.uint8:
        params = (Layer(w / 255, b), *rest)  # rather than every image

    def outputs(image: Array) -> Array:
        return logits(params, image.astype(w.dtype), squash=squash)

    z = jax.lax.map(outputs, images, batch_size=_TILE)
    return Answers(z.argmax(1), last_squash(z))
