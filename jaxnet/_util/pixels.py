"""The types, the range and the number of pixels."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import eval_context
from jaxtyping import Array, Float, Num
from numpy.typing import NDArray

ROUNDING = 1e-3  # allowed beyond 0 and 1: the error of resizing a picture or of half precision
_BLOCK = 2_048  # images whose range is checked while they are in the cache


def is_pixel_dtype(dtype: Any) -> bool:
    """Whether images may have this type: uint8, or a floating-point type of at most 64 bits."""
    try:
        return dtype == jnp.uint8 or (jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize <= 8)
    except TypeError:  # another package's type, such as torch.float32
        return False


def side_of(n_pixels: int, name: object) -> int:
    """The side of a square image of so many pixels; `name` is what has them, for the message."""
    side = math.isqrt(n_pixels)
    if side**2 != n_pixels:
        raise ValueError(
            f"{name}: expected a square number of pixels, such as 784; got {n_pixels}."
        )
    return side


def unit(images: Num[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
    """Scales uint8 images from 0–255 to float32 from 0 to 1; returns floats unchanged."""
    if not is_pixel_dtype(images.dtype):
        raise TypeError(f"Expected images in uint8 or floats; got {images.dtype} instead.")
    images = jnp.asarray(images)
    return images.astype(jnp.float32) / 255 if images.dtype == jnp.uint8 else images


def check_range(images: NDArray[Any] | Array, start: int, otherwise: str) -> None:
    """Raises for floats outside 0 to 1, except for rounding errors."""
    if images.dtype == jnp.uint8 or not images.size:
        return
    if isinstance(images, np.ndarray):
        if is_within(images):
            return
        low, high = float(np.min(images)), float(np.max(images))
    else:
        with eval_context():  # even while JAX traces
            low, high = (float(extreme) for extreme in _extremes(images))
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        found = f"{low + 0:.4g} to {high + 0:.4g}"
        raise ValueError(
            f"Expected images as floats from 0 (black) to 1 (white); got {found}, in images "
            f"{start} to {start + len(images) - 1}. For floats from 0 to 255, divide by 255; for a "
            f"network {otherwise}."
        )


def is_within(images: NDArray[Any]) -> bool:
    """Fast check that all values are in [0, 1]; may return False for values that are."""
    if images.dtype != np.float32 or not images.flags.c_contiguous:
        return False
    # As integers, positive floats sort the same way, and negative ones and NaN come last.
    numbers, one = images.view(np.uint32), np.float32(1).view(np.uint32)
    # From the end, so that the first images are in the cache when the program starts on them.
    blocks = reversed(range(0, len(numbers), _BLOCK))
    return all(numbers[at : at + _BLOCK].max() <= one for at in blocks)


@jax.jit
def _extremes(images: Array) -> tuple[Array, Array]:
    # XLA's extremes on a CPU may pass over NaN.
    nan = jnp.where(jnp.isnan(images).any(), jnp.nan, 0).astype(images.dtype)
    return images.min(initial=0) + nan, images.max(initial=0) + nan
