"""The types that pixels come in."""

from typing import Any

import jax.numpy as jnp


def is_pixel_dtype(dtype: Any) -> bool:
    """Whether images may have this type: uint8, or a floating-point type of at most 64 bits."""
    try:
        return dtype == jnp.uint8 or (jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize <= 8)
    except TypeError:  # another package's type, such as torch.float32
        return False
