"""The jitted function that classifies one chunk of images."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int32, UInt8

from jaxnet.inference._quantize import STEPS, Bytes, Floats, minus_128, times_bytes
from jaxnet.network import Layer, Params, Squash, propagate


def _floats(images: Array, dtype: Any) -> Array:
    """Casts images to a floating-point type, all of which hold uint8 exactly."""
    if images.dtype != jnp.uint8:
        return images.astype(dtype)
    return jax.lax.platform_dependent(
        images,
        cpu=lambda x: x.astype(dtype),
        default=lambda x: minus_128(x).astype(dtype) + jnp.asarray(128, dtype),
    )


# A GPU's or TPU's default is coarser than float32.
_times = partial(jnp.matmul, precision="highest")


@partial(jax.jit, static_argnames=("squash", "last_squash", "brightest", "tile", "mesh"))
def classify_chunk(
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
    """Classifies a chunk of images, on one device or on all devices of a mesh."""

    def classify_tile(layer: Floats | Bytes, rest: Params, images: Array) -> tuple[Array, Array]:
        # Neurons first, images last, so that elementwise work is vectorized over images.
        _, z = propagate((layer, *rest), images, jax.vmap(squash, 1, 1), _weighted_sums)
        a = jax.vmap(last_squash, 1, 1)(z)
        if len(z) == 1:  # as `predicted` has it
            return (z[0] > 0).astype(jnp.int32), a[0] if brightest else a.T
        numbers = jnp.arange(len(z), dtype=jnp.int32)[:, None]
        digits = jnp.where(z < z.max(0, keepdims=True), len(z), numbers).min(0)  # argmax is slower
        return digits, jnp.where(numbers == digits[None], a, 0).sum(0) if brightest else a.T

    def classify_all(layer: Floats | Bytes, rest: Params, images: Array) -> tuple[Array, Array]:
        n, pixels = images.shape
        if tile is None or n <= tile:
            return classify_tile(layer, rest, images)
        tiles = images.reshape(n // tile, tile, pixels)
        answers = jax.lax.map(partial(classify_tile, layer, rest), tiles)
        return jax.tree.map(lambda a: a.reshape(n, *a.shape[2:]), answers)

    if mesh is None:
        return classify_all(layer, rest, images)
    divided = P(*mesh.axis_names)
    return jax.shard_map(
        classify_all, mesh=mesh, in_specs=(P(), P(), divided), out_specs=divided, check_vma=False
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
            z = part + z / STEPS
        z = (z * scales[None] + b.astype(scales.dtype)[None]).astype(b.dtype)
    # Without this barrier XLA folds the transpose into the matmul, and falls off its fast path.
    return jax.lax.optimization_barrier(z).T
