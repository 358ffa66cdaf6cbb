"""Images in memory: what may be classified, whether floats are in range, where they are copied."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array
from numpy.typing import NDArray

from jaxnet._util.pixels import is_pixel_dtype
from jaxnet.network import Params, check

Images = NDArray[Any] | Array

_ROUNDING = 1e-3  # allowed beyond 0 and 1: the error of resizing a picture or of half precision
_BLOCK = 2_048  # images whose range is checked while they are in the cache
ALIGNMENT = 64  # bytes; JAX on CPU uses an array with this alignment without copying it


def as_array(images: Any, *, on_cpu: bool) -> Any:
    """Converts to NumPy what NumPy can read; a JAX array only on CPU, which shares its memory."""
    if isinstance(images, jax.Array):
        return np.asarray(images) if on_cpu and not isinstance(images, Tracer) else images
    if isinstance(images, np.ma.MaskedArray):
        raise ValueError(
            "Expected images without a mask; got a masked array. Use images.filled(0)."
        )
    if not (hasattr(images, "__array__") and hasattr(images, "shape")):
        return images
    try:
        return np.asarray(images)
    except Exception as error:  # another package's, such as PyTorch's for a tensor with gradients
        got = type(images).__name__
        raise ValueError(
            f"Expected images that NumPy can read; got {got} ({error!s:.200})"
        ) from error


def check_range(images: Images, start: int) -> None:
    """Raises for floats outside 0 to 1, except for rounding errors."""
    if isinstance(images, np.ndarray):
        if not images.size or is_within(images):
            return
        low, high = float(np.min(images)), float(np.max(images))
    else:
        low, high = (float(extreme) for extreme in _extremes(images))
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
        found = f"{low + 0:.4g} to {high + 0:.4g}"
        raise ValueError(
            f"Expected images as floats from 0 (black) to 1 (white); got {found}, in images "
            f"{start} to {start + len(images) - 1}. For floats from 0 to 255, divide by 255; for a "
            "network that was trained on other values, pass check_range=False."
        )


def is_within(images: NDArray[Any]) -> bool:
    """Whether all are surely from 0 to 1, in one fast pass; False means that they may be."""
    if images.dtype != np.float32 or not images.flags.c_contiguous:
        return False
    # As integers, positive floats sort the same way, and negative ones and NaN come last.
    numbers, one = images.view(np.uint32), np.float32(1).view(np.uint32)
    # From the end, so that the first images are in the cache when the program starts on them.
    blocks = reversed(range(0, len(numbers), _BLOCK))
    return all(numbers[at : at + _BLOCK].max() <= one for at in blocks)


@jax.jit
def _extremes(images: Array) -> tuple[Array, Array]:
    return images.min(initial=0), images.max(initial=0)


def check_images(params: Params, images: Any) -> None:
    """Validates a network and images as `classify` does.

    Args:
        params: the network.
        images: for `classify`, as an array.

    Raises:
        TypeError, ValueError: as `classify`, except for the range of floats.

    Example:
        >>> import numpy, jaxnet
        >>> jaxnet.inference.check_images(jaxnet.pretrained(), numpy.zeros((5, 784), "uint8"))
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((params, images))):
        raise TypeError(
            "Expected concrete arrays; inside a transformation such as jax.jit, use "
            "jax.vmap(jaxnet.forward, in_axes=(None, 0))."
        )
    if not isinstance(images, np.ndarray | jax.Array) or images.ndim != 2:
        got = images.shape if hasattr(images, "shape") else type(images).__name__
        raise ValueError(f"Expected an array of images, shape (n, pixels); got {got} instead.")
    if not is_pixel_dtype(images.dtype) or not images.dtype.isnative:
        raise ValueError(f"Expected images in uint8 or floats; got {images.dtype} instead.")
    check(params, jax.ShapeDtypeStruct(images.shape[1:], jnp.float32))


def aligned(n: int, pixels: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Zeros in memory that JAX on CPU uses without copying it."""
    n_bytes = n * pixels * dtype.itemsize
    space = np.zeros(n_bytes + ALIGNMENT, np.uint8)
    lead = -space.ctypes.data % ALIGNMENT
    return space[lead : lead + n_bytes].view(dtype).reshape(n, pixels)
