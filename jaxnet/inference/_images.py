"""Images in memory: what may be classified, and which can be used as they lie."""

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


def check_images(params: Params, images: Any) -> None:
    """Validates a network and images as `classify` does."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((params, images))):
        raise TypeError(
            "Expected concrete arrays; inside a transformation such as jax.jit, use "
            "jaxnet.inference.classify_on_device, or jax.vmap(jaxnet.forward, in_axes=(None, 0))."
        )
    check_shapes(params, images)


def check_shapes(params: Params, images: Any) -> None:
    """Validates the shapes and types of a network and of images, traced or not."""
    if not isinstance(images, np.ndarray | jax.Array) or images.ndim != 2:
        got = images.shape if hasattr(images, "shape") else type(images).__name__
        raise ValueError(f"Expected an array of images, shape (n, pixels); got {got} instead.")
    if not is_pixel_dtype(images.dtype) or not images.dtype.isnative:
        raise ValueError(f"Expected images in uint8 or floats; got {images.dtype} instead.")
    check(params, jax.ShapeDtypeStruct(images.shape[1:], jnp.float32))


def lies_well(images: Any, dtype: Any) -> bool:
    """Whether JAX on CPU uses an array where it lies, without a copy."""
    well = images.flags.c_contiguous and images.dtype == dtype
    return bool(well and images.ctypes.data % ALIGNMENT == 0)


def aligned(n: int, pixels: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Zeros in memory that JAX on CPU uses without copying it."""
    n_bytes = n * pixels * dtype.itemsize
    space = np.zeros(n_bytes + ALIGNMENT, np.uint8)
    lead = -space.ctypes.data % ALIGNMENT
    return space[lead : lead + n_bytes].view(dtype).reshape(n, pixels)
