"""The jitted function that classifies one chunk of images."""

from functools import partial
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int32, UInt8

from jaxnet.inference._quantize import STEPS, Bytes, Floats, minus_128, times_bytes
from jaxnet.network import Layer, Params, Squash, as_function, propagate

TILE = 2_048  # images whose copies as floats fit the cache of a CPU core


@partial(jax.jit, static_argnames=("squash", "last_squash", "brightest", "tile", "mesh"))
def classify_chunk(
    first: Floats | Bytes,
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
    # From the second layer on, images are columns, so that squashing is vectorized over them.
    hidden, last = (jax.vmap(as_function(f), 1, 1) for f in (squash, last_squash))

    def classify_tile(first: Floats | Bytes, rest: Params, images: Array) -> tuple[Array, Array]:
        z = _first_sums(first, images)
        if rest:
            columns = tuple(Layer(w, b[:, None]) for w, b in rest)
            # A GPU's or TPU's default is coarser than float32.
            with jax.default_matmul_precision("highest"):
                z = propagate(columns, hidden(z), hidden, "identity")[-1]
        a = last(z)
        if len(z) == 1:  # as `predicted` has it
            return (z[0] > 0).astype(jnp.int32), a[0] if brightest else a.T
        numbers = jnp.arange(len(z), dtype=jnp.int32)[:, None]
        # As argmax has it, which is slower: the first of the largest, and NaN is larger than all.
        z = jnp.where(jnp.isnan(z), jnp.inf, z)
        digits = jnp.where(z < z.max(0, keepdims=True), len(z), numbers).min(0)
        return digits, jnp.where(numbers == digits[None], a, 0).sum(0) if brightest else a.T

    def classify_all(first: Floats | Bytes, rest: Params, images: Array) -> tuple[Array, Array]:
        n, pixels = images.shape
        sharded = any(jax.typeof(images).sharding.spec)  # over Explicit axes, so it has no tiles
        if tile is None or sharded or jax.export.is_symbolic_dim(n) or n <= tile:
            return classify_tile(first, rest, images)
        whole = n - n % tile
        tiles = images[:whole].reshape(-1, tile, pixels)
        answers = jax.lax.map(partial(classify_tile, first, rest), tiles)
        answers = jax.tree.map(lambda a: a.reshape(whole, *a.shape[2:]), answers)
        if whole == n:
            return answers
        last = classify_tile(first, rest, images[whole:])
        return jax.tree.map(lambda *parts: jnp.concatenate(parts), answers, last)

    if mesh is None:
        return classify_all(first, rest, images)
    divided = P(*mesh.axis_names)
    return jax.shard_map(
        classify_all, mesh=mesh, in_specs=(P(), P(), divided), out_specs=divided, check_vma=False
    )(first, rest, images)


def _first_sums(layer: Floats | Bytes, images: Array) -> Array:
    """The weighted sums of the first layer, shape `(out, n)`."""
    if isinstance(layer, Floats):
        w, b = layer
        x = _floats(images, w.dtype)
        z = jnp.matmul(x, w, precision="highest", preferred_element_type=b.dtype) + b[None]
    else:
        b, scales = layer.biases, layer.scales
        sums = times_bytes(images, layer.weights).astype(scales.dtype)
        z, *coarser = reversed(jnp.split(sums, sums.shape[1] // len(b), axis=1))
        for part in coarser:
            z = part + z / STEPS
        z = (z * scales[None] + b.astype(scales.dtype)[None]).astype(b.dtype)
    # Without this barrier XLA folds the transpose into the matmul, and falls off its fast path.
    return jax.lax.optimization_barrier(z).T


def _floats(images: Array, dtype: Any) -> Array:
    """Casts images to a floating-point type, all of which hold uint8 exactly."""
    if images.dtype != jnp.uint8:
        return images.astype(dtype)
    return jax.lax.platform_dependent(
        images,
        cpu=lambda x: x.astype(dtype),
        default=lambda x: minus_128(x).astype(dtype) + jnp.asarray(128, dtype),
    )
