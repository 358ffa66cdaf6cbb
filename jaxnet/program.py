"""The jitted classifier for one chunk of images, and the int8 form of its first layer.

Nearly all the work is the product of the images with the first layer's weights. GPUs and many
CPUs multiply and accumulate bytes many times faster than floats, and a float copy of the images
is four times as large as they are. So each weight is written as a sum of signed bytes,
`w = s (q₀ + q₁ / 254 + q₂ / 254²)`, with one scale `s` for each neuron. The sums of these products
are exact. With three parts a weight keeps 23 bits of the largest in its row, as many as a float32
of that size.
"""

from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int8, Int32, UInt8
from numpy.typing import NDArray

from jaxnet.network import Layer, Params, Squash, propagate

PRECISIONS = ("float32", "bfloat16", "int8")

_STEPS = 254  # of a byte's scale, from -127 to 127
_PARTS = {"float32": 3, "int8": 1}  # bytes a weight
# A weight this many times the mean of its row's others leaves too few bits to them: use floats.
_OUTLIER = 1_000
_MOST_PIXELS = (2**31 - 1) // (255 * 127)  # whose sums still fit 32 bits


class Floats(NamedTuple):
    """The first layer for floating-point images; for uint8 images, its weights divided by 255.

    Attributes:
        weights: shape `(pixels, out)`.
        biases: shape `(out,)`.
    """

    weights: Float[Array | np.ndarray, "pixels out"]
    biases: Float[Array | np.ndarray, " out"]


class Bytes(NamedTuple):
    """The first layer for uint8 images, each weight a sum of signed bytes times a scale.

    Attributes:
        weights: shape `(pixels, parts × out)`, from -127 to 127; the coarsest part first.
        scales: shape `(out,)`, float32 or wider.
        biases: shape `(out,)`.
    """

    weights: Int8[Array | np.ndarray, "pixels parts*out"]
    scales: Float[Array | np.ndarray, " out"]
    biases: Float[Array | np.ndarray, " out"]


def prepare(layer: Layer, precision: str, *, in_bytes: bool, on_cpu: bool) -> Floats | Bytes:
    """Puts the first layer into the form that `read` multiplies by.

    Args:
        layer: the weights and biases, concrete.
        precision: "float32", "bfloat16" or "int8", as for `jaxnet.classify`.
        in_bytes: whether the images are uint8, from 0 to 255.
        on_cpu: whether they are classified on a CPU.

    Returns:
        NumPy arrays: `Bytes` for "int8", and for "float32" if that is faster and as exact, on
        accelerators and on CPUs with int8 dot products; else `Floats`, also if weights are not
        finite, or too many for 32-bit sums.

    Raises:
        ValueError: "int8" for images in floats.

    Example:
        >>> import jaxnet
        >>> layer = jaxnet.pretrained()[0]
        >>> jaxnet.program.prepare(layer, "int8", in_bytes=True, on_cpu=True).weights.shape
        (784, 16)
    """
    w, b = (np.asarray(part) for part in layer)
    if precision == "int8" and not in_bytes:
        raise ValueError("Expected images in uint8 for the precision int8; got floats instead.")
    if in_bytes and w.shape[1] <= _MOST_PIXELS and np.isfinite(w).all():
        faster = not on_cpu or multiplies_bytes()
        as_exact = w.dtype == np.float32 and _even(w)
        if precision == "int8" or (precision == "float32" and faster and as_exact):
            return _in_bytes(w, _PARTS[precision], b)
    weights = w.T / np.asarray(255, w.dtype) if in_bytes else w.T
    return Floats(weights.astype(jnp.bfloat16) if precision == "bfloat16" else weights, b)


@cache
def multiplies_bytes() -> bool:
    """Whether this CPU has int8 dot products that XLA uses: AVX-512 VNNI or AMX.

    Example:
        >>> import jaxnet
        >>> jaxnet.program.multiplies_bytes() in (True, False)
        True
    """
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return False
    return "avx512_vnni" in flags or "amx_int8" in flags


def times_bytes(
    images: UInt8[Array, "n pixels"], weights: Int8[Array | np.ndarray, "pixels out"]
) -> Int32[Array, "n out"]:
    """Multiplies uint8 by int8 and accumulates in int32, exactly.

    Args:
        images: from 0 to 255.
        weights: from -127 to 127; at most 66,311 pixels.

    Returns:
        The sums of the products.

    Example:
        >>> import numpy, jaxnet
        >>> images, weights = numpy.uint8([[255, 1]]), numpy.int8([[-127], [3]])
        >>> int(jaxnet.program.times_bytes(images, weights)[0, 0])
        -32382
    """
    product = partial(
        jax.lax.dot_general,
        dimension_numbers=(((1,), (0,)), ((), ())),
        preferred_element_type=jnp.int32,
    )

    def as_they_are(images: Array, weights: Array) -> Array:
        # Without an explicit algorithm, JAX promotes operands of two types to int32 first.
        return product(images, weights, precision=jax.lax.DotAlgorithmPreset.DEFAULT)

    def signed(images: Array, weights: Array) -> Array:
        x = jax.lax.bitcast_convert_type(images ^ 128, jnp.int8)  # images - 128
        return product(x, weights) + 128 * weights.sum(0, keepdims=True, dtype=jnp.int32)

    def by_rows(images: Array, weights: Array) -> Array:
        # A GPU's int8 units take both operands with the pixels last in memory.
        rows = jax.lax.optimization_barrier(weights.T)
        sums = 128 * weights.sum(0, keepdims=True, dtype=jnp.int32)
        return product(_minus_128(images), rows, dimension_numbers=(((1,), (1,)), ((), ()))) + sums

    on_cpu = as_they_are if multiplies_bytes() else signed
    return jax.lax.platform_dependent(images, weights, cpu=on_cpu, default=by_rows)


def _floats(images: Array, dtype: Any) -> Array:
    """Casts images to a floating-point type, all of which hold uint8 exactly."""
    if images.dtype != jnp.uint8:
        return images.astype(dtype)
    return jax.lax.platform_dependent(
        images,
        cpu=lambda x: x.astype(dtype),
        default=lambda x: _minus_128(x).astype(dtype) + jnp.asarray(128, dtype),
    )


def _minus_128(images: Array) -> Array:
    """Subtracts 128 from uint8 images, as int8.

    On a GPU, XLA fuses this sum, which wraps around, into the matrix product. For `images ^ 128`,
    or a cast from uint8 to floats, it would write a copy of the images to memory first.
    """
    return jax.lax.bitcast_convert_type(images, jnp.int8) + jnp.int8(-128)


def _even(rows: NDArray[Any]) -> bool:
    """Whether no row has an outlier so large that its other weights would lose precision."""
    size = abs(rows)
    most = size.max(1)
    others = (size.sum(1) - most) / max(rows.shape[1] - 1, 1)
    return bool((most <= _OUTLIER * others).all())


def _in_bytes(rows: NDArray[Any], n_parts: int, biases: NDArray[Any]) -> Bytes:
    wide = rows.astype(np.float64)
    most = abs(wide).max(1, keepdims=True)
    scales = np.where(most > 0, most, 1) / 127
    parts, left = [], wide / scales
    for _ in range(n_parts):
        parts.append(np.rint(left))
        left = (left - parts[-1]) * _STEPS
    weights = np.concatenate(parts).T.astype(np.int8, order="C")
    type_ = np.float64 if rows.dtype == np.float64 else np.float32  # half floats hold no such sums
    return Bytes(weights, (scales[:, 0] / 255).astype(type_), biases)


# A GPU's or TPU's default is coarser than float32.
_times = partial(jnp.matmul, precision="highest")


@partial(jax.jit, static_argnames=("squash", "last_squash", "brightest", "tile", "mesh"))
def read(
    layer: Floats | Bytes,
    rest: Params,
    images: Float[Array, "n pixels"] | UInt8[Array, "n pixels"],
    *,
    squash: Squash,
    last_squash: Squash,
    brightest: bool,
    tile: int | None = None,
    mesh: Mesh | None = None,
) -> tuple[Int32[Array, " n"], Float[Array, "n out"] | Float[Array, " n"]]:
    """Classifies a chunk of images, on one device or on all devices of a mesh.

    Args:
        layer: the first layer, from `prepare`.
        rest: the layers after it.
        images: of the type that `layer` was prepared for; on each device, a multiple of the
            tile or less than one tile.
        squash, last_squash: as in `forward`.
        brightest: return only the largest activation.
        tile: images to convert to floats at a time, so that these fit the cache; all if None.
        mesh: a mesh of one axis, over which the images are sharded.

    Returns:
        Digits of shape `(n,)`, and activations of shape `(n, 10)`, or `(n,)` if `brightest`.

    Example:
        >>> import jax, jaxnet
        >>> from jaxnet.program import prepare, read
        >>> layer, *rest = jaxnet.pretrained()
        >>> images, _ = jaxnet.data.strokes.sample(jax.random.key(0), 4)
        >>> squashes = {"squash": jax.nn.sigmoid, "last_squash": jax.nn.sigmoid}
        >>> layer = prepare(layer, "float32", in_bytes=False, on_cpu=True)
        >>> digits, activations = read(layer, tuple(rest), images, **squashes, brightest=False)
        >>> activations.shape
        (4, 10)
    """

    def read_tile(layer: Floats | Bytes, rest: Params, images: Array) -> tuple[Array, Array]:
        # Neurons first, images last, so that elementwise work is vectorized over images.
        _, z = propagate((layer, *rest), images, jax.vmap(squash, 1, 1), _weighted_sums)
        a = jax.vmap(last_squash, 1, 1)(z)
        if len(z) == 1:  # as `predicted` has it
            return (z[0] > 0).astype(jnp.int32), a[0] if brightest else a.T
        numbers = jnp.arange(len(z), dtype=jnp.int32)[:, None]
        digits = jnp.where(z < z.max(0, keepdims=True), len(z), numbers).min(0)  # argmax is slower
        return digits, jnp.where(numbers == digits[None], a, 0).sum(0) if brightest else a.T

    def read_all(layer: Floats | Bytes, rest: Params, images: Array) -> tuple[Array, Array]:
        n, pixels = images.shape
        if tile is None or n <= tile or isinstance(layer, Bytes):  # which takes no float copy
            return read_tile(layer, rest, images)
        tiles = images.reshape(n // tile, tile, pixels)
        answers = jax.lax.map(partial(read_tile, layer, rest), tiles)
        return jax.tree.map(lambda a: a.reshape(n, *a.shape[2:]), answers)

    if mesh is None:
        return read_all(layer, rest, images)
    divided = P(*mesh.axis_names)
    return jax.shard_map(
        read_all, mesh=mesh, in_specs=(P(), P(), divided), out_specs=divided, check_vma=False
    )(layer, rest, images)


def _weighted_sums(layer: Layer | Floats | Bytes, a: Array) -> Array:
    """The weighted sums of a layer, shape `(out, n)`; of the first, from images in rows."""
    if isinstance(layer, Layer):
        return _times(layer.weights, a) + layer.biases[:, None]
    return _first_sums(layer, a)


def _first_sums(layer: Floats | Bytes, images: Array) -> Array:
    if isinstance(layer, Floats):
        w, b = layer
        z = _times(_floats(images, w.dtype), w, preferred_element_type=b.dtype) + b[None]
    else:
        b, scales = layer.biases, layer.scales
        sums = times_bytes(images, layer.weights).astype(scales.dtype)
        z, *coarser = reversed(jnp.split(sums, sums.shape[1] // len(b), axis=1))
        for part in coarser:
            z = part + z / _STEPS
        z = (z * scales[None] + b.astype(scales.dtype)[None]).astype(b.dtype)
    # Without this barrier XLA folds the transpose into the matmul, and falls off its fast path.
    return jax.lax.optimization_barrier(z).T
