"""The first layer's weights as int8 parts, and the exact product of uint8 images with them.

Nearly all the work is the product of the images with the first layer's weights. GPUs and many CPUs
multiply and accumulate int8 many times faster than floats, and a float copy of the images would be
four times their size. So each weight is written as a sum of signed bytes,
`w = s (q₀ + q₁ / 254 + q₂ / 254²)`, with one scale `s` per neuron. The sums of these products are
exact. With three parts, a weight keeps 23 bits of the largest in its row, as many as a float32 of
that size.
"""

from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int8, Int32, UInt8
from numpy.typing import NDArray

from jaxnet._util.arguments import ArgumentError
from jaxnet.network import Layer


class Precision(NamedTuple):
    """How the first layer's weights are stored; to add one, add a line to `PRECISIONS`.

    Attributes:
        parts: int8 parts per weight for uint8 images; 0 for floats.
        lossy: use the parts always, which takes uint8 images; else only if they are faster than
            floats and as exact.
        dtype: the type of floating-point weights; None for the network's own.
    """

    parts: int = 0
    lossy: bool = False
    dtype: Any = None


PRECISIONS = {
    "float32": Precision(parts=3),
    "bfloat16": Precision(dtype=jnp.bfloat16),
    "int8": Precision(parts=1, lossy=True),
}
STEPS = 254  # steps of an int8 part, from -127 to 127
# If a weight is this many times the mean of its row, the others keep too few bits: use floats.
_OUTLIER = 1_000
MAX_PIXELS = (2**31 - 1) // (255 * 127)  # whose sums fit in int32


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


def prepare(layer: Layer, precision: str, *, is_uint8: bool, on_cpu: bool) -> Floats | Bytes:
    """Prepares the first layer for `classify_chunk`, as NumPy arrays."""
    w, b = (np.asarray(part) for part in layer)
    parts, lossy, dtype = PRECISIONS[precision]
    if lossy and not is_uint8:
        raise ArgumentError("precision", f"{precision} needs uint8 images; got floats.")
    if parts and is_uint8 and w.shape[1] <= MAX_PIXELS and np.isfinite(w).all():
        faster = not on_cpu or multiplies_bytes()
        as_exact = w.dtype == np.float32 and _has_no_outlier(w)
        if lossy or (faster and as_exact):
            made = in_bytes(w.astype(np.float64), b, parts)
            return made._replace(weights=np.ascontiguousarray(made.weights))
    weights = w.T / np.asarray(255, w.dtype) if is_uint8 else w.T
    return Floats(weights if dtype is None else weights.astype(dtype), b)


@cache
def multiplies_bytes() -> bool:
    """Whether this CPU has int8 dot products that XLA uses: AVX-512 VNNI or AMX."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return False
    return "avx512_vnni" in flags or "amx_int8" in flags


def times_bytes(
    images: UInt8[Array, "n pixels"], weights: Int8[Array | np.ndarray, "pixels out"]
) -> Int32[Array, "n out"]:
    """Multiplies uint8 by int8 and accumulates in int32, exactly."""
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
        return product(minus_128(images), rows, dimension_numbers=(((1,), (1,)), ((), ()))) + sums

    on_cpu = as_they_are if multiplies_bytes() else signed
    return jax.lax.platform_dependent(images, weights, cpu=on_cpu, default=by_rows)


def minus_128(images: Array) -> Array:
    """Subtracts 128 from uint8 images, as int8."""
    # On a GPU, XLA fuses this sum, which wraps around, into the matrix product. For `images ^ 128`,
    # or a cast from uint8 to floats, it would write a copy of the images to memory first.
    return jax.lax.bitcast_convert_type(images, jnp.int8) + jnp.int8(-128)


def _has_no_outlier(rows: NDArray[Any]) -> bool:
    """Whether no row has an outlier so large that its other weights would lose precision."""
    size = abs(rows)
    most = size.max(1)
    others = (size.sum(1) - most) / max(rows.shape[1] - 1, 1)
    return bool((most <= _OUTLIER * others).all())


def in_bytes(rows: Any, biases: Any, n_parts: int) -> Bytes:
    """Splits weights into signed bytes, in NumPy; or in JAX, of its arrays."""
    xp: Any = jnp if isinstance(rows, jax.Array) else np
    most = abs(rows).max(1, keepdims=True)
    scales = xp.where(most > 0, most, 1) / 127
    parts, left = [], rows / scales
    for _ in range(n_parts):
        parts.append(xp.rint(left))
        left = (left - parts[-1]) * STEPS
    weights = xp.concatenate(parts).astype(xp.int8).T
    # Half floats hold no such sums, and NaN is no byte.
    dtype = np.promote_types(biases.dtype, np.float32)
    # XLA's maximum on a CPU passes over NaN, so each weight is looked at.
    scales = xp.where(xp.isfinite(rows).all(1), scales[:, 0], xp.nan)
    return Bytes(weights, (scales / 255).astype(dtype), biases)
