"""Many images: read in tiles that stay in the cache, with few compilations for all."""

import math
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import sigmoid
from jaxtyping import Array
from numpy.typing import NDArray

from jaxnet.network import Layer, Params, Squash, check, logits

Images = NDArray[Any] | Array

_PIECE = 16_384  # images handed to the device at a time
_TILE = 2_048  # images whose float copies fit a core's cache together


class Answers(NamedTuple):
    """What the network reads in each of `n` images.

    Attributes:
        digits: shape `(n,)`, the brightest output of each.
        activations: shape `(n, 10)`, all outputs of each.
    """

    digits: NDArray[Any]
    activations: NDArray[Any]


def classify(
    params: Params,
    images: Images,
    *,
    squash: Squash = sigmoid,
    last_squash: Squash = sigmoid,
) -> Answers:
    """Reads any number of images. Runs on the host; inside `jit`, use `jax.vmap(forward)`.

    Args:
        params: the network.
        images: shape `(n, 784)`, in NumPy (memory-mapped, if they are many) or JAX; uint8
            from 0 to 255, or floats from 0 to 1. Bytes reach the device as bytes.
        squash, last_squash: as in `forward`.

    Returns:
        A digit and ten activations for each image, in order, in NumPy.

    Raises:
        TypeError, ValueError: no network, or images of another shape or type than it reads.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(0), 1000)
        >>> answers = jaxnet.classify(jaxnet.pretrained(), images)
        >>> bool((answers.digits == labels).mean() > 0.9)
        True
    """
    parts = stream(params, pieces(images), squash=squash, last_squash=last_squash)
    return concatenate(parts)


def stream(
    params: Params,
    batches: Iterable[Images],
    *,
    squash: Squash = sigmoid,
    last_squash: Squash = sigmoid,
) -> Iterator[Answers]:
    """Reads batch after batch, each of any number of images, holding one at a time.

    Args:
        params, squash, last_squash: as for `classify`.
        batches: images as `classify` takes them.

    Yields:
        The answers to each batch, in order.

    Raises:
        TypeError, ValueError: no network, or images of another shape or type than it reads.

    Example:
        >>> import jax, jaxnet
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> batches = (jaxnet.data.strokes.sample(key, 100)[0] for key in keys)
        >>> [len(a.digits) for a in jaxnet.inference.stream(jaxnet.pretrained(), batches)]
        [100, 100, 100]
    """
    for images in batches:
        if images.ndim != 2:
            raise ValueError(f"Expected images of shape (n, pixels); got {images.shape} instead.")
        if images.dtype != np.uint8 and not jnp.issubdtype(images.dtype, jnp.floating):
            raise ValueError(f"Expected images in uint8 or floats; got {images.dtype} instead.")
        check(params, jax.ShapeDtypeStruct(images.shape[1:], jnp.float32))
        # Padding to a power of two lets a few compilations serve every number of images.
        n = len(images)
        missing = 2 ** math.ceil(math.log2(max(n, 1))) - n
        if missing:
            pad = jnp.pad if isinstance(images, jax.Array) else np.pad
            images = pad(images, ((0, missing), (0, 0)))
        answers = _read(params, images, squash=squash, last_squash=last_squash)
        yield Answers(*(np.asarray(part)[:n] for part in answers))


def pieces(images: Images) -> list[Images]:
    """Cuts images into batches for `stream`, one at least, as views of the same memory.

    Example:
        >>> import numpy, jaxnet
        >>> [len(p) for p in jaxnet.inference.pieces(numpy.zeros((20_000, 784), "uint8"))]
        [16384, 3616]
    """
    return [images[at : at + _PIECE] for at in range(0, max(len(images), 1), _PIECE)]


def concatenate(parts: Iterable[Answers]) -> Answers:
    """Puts the answers to several batches, one at least, into one.

    Example: see the source of `classify`.
    """
    return Answers(*map(np.concatenate, zip(*parts, strict=True)))


@partial(jax.jit, static_argnames=("squash", "last_squash"))
def _read(
    params: Params, images: Images, *, squash: Squash, last_squash: Squash
) -> tuple[Array, Array]:
    (w, b), *rest = params
    if images.dtype == jnp.uint8:
        params = (Layer(w / 255, b), *rest)  # rather than each image

    def outputs(image: Array) -> Array:
        return logits(params, image.astype(w.dtype), squash=squash)

    z = jax.lax.map(outputs, images, batch_size=_TILE)
    return z.argmax(1), jax.vmap(last_squash)(z)
