"""The compiled program that reads many images in one call, and its first product's forms.

Nearly all the work is the product of the images with the first layer's weights. Bytes are
exact in eight bits, and processors multiply eight-bit numbers many times faster than floats; so
each weight is written as a sum of bytes, `w = s (q₀ + q₁ / 254 + q₂ / 254²)`, with one scale `s`
for each neuron. The products of integers are exact. With three parts a weight keeps 23 bits of
the largest in its row, as many as a float32.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int8, Int32, UInt8
from numpy.typing import NDArray

from jaxnet.network import Layer, Params, Squash

PRECISIONS = ("float32", "bfloat16", "int8")

_STEPS = 254  # of a byte's scale, from -127 to 127
# How many bytes each weight is written in; beyond so many times the mean of its row's others, a
# weight leaves too few bits to them, and the row is multiplied as floats.
_PARTS = {"float32": 3, "int8": 1}
_OUTLIER = 1_000


class Floats(NamedTuple):
    """The first layer for images in floats, or in bytes if the weights are divided by 255.

    Attributes:
        weights: shape `(pixels, out)`.
        biases: shape `(out,)`.
    """

    weights: Float[Array | NDArray[Any], "pixels out"]
    biases: Float[Array | NDArray[Any], " out"]


class Bytes(NamedTuple):
    """The first layer for images in bytes, each weight a sum of bytes on its neuron's scale.

    Attributes:
        weights: shape `(pixels, parts × out)`, from -127 to 127; the coarsest part first.
        offsets: shape `(parts × out,)`: what the sums lack, as pixels are taken from -128 to 127.
        scales: shape `(out,)`.
        biases: shape `(out,)`.
    """

    weights: Int8[Array | NDArray[Any], "pixels parts*out"]
    offsets: Int32[Array | NDArray[Any], " parts*out"]
    scales: Float[Array | NDArray[Any], " out"]
    biases: Float[Array | NDArray[Any], " out"]


def first(layer: Layer, precision: str, *, in_bytes: bool, split: bool) -> Floats | Bytes:
    """Brings the first layer into the form that the program multiplies by.

    Args:
        layer: the weights and biases, concrete.
        precision: "float32", "bfloat16" or "int8", as `jaxnet.classify` explains them.
        in_bytes: whether the images come in bytes, from 0 to 255.
        split: whether float32 weights may be written as sums of bytes, which is faster on CPUs.

    Returns:
        `Bytes` where that is asked for, or allowed and no less exact; else `Floats`.

    Raises:
        ValueError: "int8" for images in floats.

    Example:
        >>> import jaxnet
        >>> layer = jaxnet.pretrained()[0]
        >>> jaxnet.program.first(layer, "float32", in_bytes=True, split=True).weights.shape
        (784, 48)
    """
    w, b = (np.asarray(part) for part in layer)  # NumPy, as each of JAX's calls costs more
    if precision == "int8" and not in_bytes:
        raise ValueError("Expected images in uint8 for the precision int8; got floats instead.")
    wanted = precision == "int8" or (split and precision == "float32" and w.dtype == np.float32)
    if in_bytes and wanted and (precision == "int8" or _even(w)):
        return _in_bytes(w.astype(np.float64), _PARTS[precision], b)
    weights = w.T / np.asarray(255, w.dtype) if in_bytes else w.T
    if precision == "bfloat16":
        weights = weights.astype(jnp.bfloat16)
    return jax.device_put(Floats(weights, b))


def _even(rows: NDArray[Any]) -> bool:
    """Whether no weight outweighs the others of its row so far that these would lose bits."""
    size = abs(rows)
    most = size.max(1)
    others = (size.sum(1) - most) / max(rows.shape[1] - 1, 1)
    return bool((most <= _OUTLIER * others).all())


def _in_bytes(rows: NDArray[Any], n_parts: int, biases: NDArray[Any]) -> Bytes:
    most = abs(rows).max(1, keepdims=True)
    scales = np.where(most > 0, most, 1) / 127
    parts, left = [], rows / scales
    for _ in range(n_parts):
        parts.append(np.rint(left))
        left = (left - parts[-1]) * _STEPS
    q = np.concatenate(parts)
    return jax.device_put(
        Bytes(
            q.T.astype(np.int8, order="C"),
            (128 * q.sum(1)).astype(np.int32),
            (scales[:, 0] / 255).astype(biases.dtype),
            biases,
        )
    )


@partial(jax.jit, static_argnames=("squash", "last_squash", "brightest", "tile", "mesh"))
def read(
    layer: Floats | Bytes,
    rest: Params,
    images: Float[Array, "n pixels"] | UInt8[Array, "n pixels"],
    *,
    squash: Squash,
    last_squash: Squash,
    brightest: bool,
    tile: int,
    mesh: Mesh | None = None,
) -> tuple[Int32[Array, " n"], Float[Array, "n out"] | Float[Array, " n"]]:
    """Reads a piece of images, tile by tile, on one device or on all of a mesh.

    Args:
        layer: from `first`.
        rest: the layers after it.
        images: as the layer wants them; as many as a multiple of the tile, or fewer than one,
            on each device.
        squash, last_squash: as in `forward`.
        brightest: give the activation of the brightest output alone.
        tile: images whose copies in another type fit the cache together.
        mesh: of one axis, over which the images are divided.

    Returns:
        Digits of shape `(n,)` and activations of shape `(n, 10)`, or `(n,)` of the brightest.

    Example:
        >>> import jax, jaxnet
        >>> from jaxnet.program import first, read
        >>> layer, *rest = jaxnet.pretrained()
        >>> images, _ = jaxnet.data.strokes.sample(jax.random.key(0), 4)
        >>> squashes = {"squash": jax.nn.sigmoid, "last_squash": jax.nn.sigmoid}
        >>> layer = first(layer, "float32", in_bytes=False, split=False)
        >>> digits, activations = read(
        ...     layer, tuple(rest), images, **squashes, brightest=False, tile=4
        ... )
        >>> activations.shape
        (4, 10)
    """

    def read_tile(layer: Floats | Bytes, rest: Params, images: Array) -> tuple[Array, Array]:
        # Neurons first, images last: so that what is done to each image is done to many at once.
        z = _weighted_sums(layer, images)
        for w, b in rest:
            z = w @ jax.vmap(squash, 1, 1)(z) + b[:, None]
        numbers = jnp.arange(len(z), dtype=jnp.int32)[:, None]
        digits = jnp.where(z < z.max(0, keepdims=True), len(z), numbers).min(0)  # argmax is slower
        a = jax.vmap(last_squash, 1, 1)(z)
        return digits, jnp.where(numbers == digits[None], a, 0).sum(0) if brightest else a.T

    def read_all(layer: Floats | Bytes, rest: Params, images: Array) -> tuple[Array, Array]:
        n, pixels = images.shape
        if n <= tile:
            return read_tile(layer, rest, images)
        tiles = images.reshape(n // tile, tile, pixels)
        answers = jax.lax.map(partial(read_tile, layer, rest), tiles)
        return jax.tree.map(lambda a: a.reshape(n, *a.shape[2:]), answers)

    if mesh is None:
        return read_all(layer, rest, images)
    divided = P(*mesh.axis_names)
    return jax.shard_map(read_all, mesh=mesh, in_specs=(P(), P(), divided), out_specs=divided)(
        layer, rest, images
    )


def _weighted_sums(layer: Floats | Bytes, images: Array) -> Array:
    """The weighted sums of the first layer, shape `(out, n)`."""
    b = layer.biases
    if isinstance(layer, Floats):
        w = layer.weights
        sums = jnp.matmul(images.astype(w.dtype), w, preferred_element_type=b.dtype)
        return _turned(sums) + b[:, None]
    signed = jax.lax.bitcast_convert_type(images ^ 128, jnp.int8)
    sums = jnp.matmul(signed, layer.weights, preferred_element_type=jnp.int32)
    parts = (_turned(sums) + layer.offsets[:, None]).astype(b.dtype)
    z, *coarser = reversed(jnp.split(parts, len(parts) // len(b)))
    for part in coarser:
        z = part + z / _STEPS
    return z * layer.scales[:, None] + b[:, None]


def _turned(sums: Array) -> Array:
    # Without the barrier XLA turns the product instead, into one that it has no fast kernel for.
    return jax.lax.optimization_barrier(sums).T
