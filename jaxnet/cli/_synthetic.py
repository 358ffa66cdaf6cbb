"""Synthetic digits, used when no input is given."""

import time
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from jaxnet.data import Source
from jaxnet.data.synthetic import draw


def ten_drawn_digits() -> tuple[Source, NDArray[Any]]:
    """Draws the ten digits, different ones each time."""
    digits = np.arange(10)
    keys = jax.random.split(jax.random.key(time.time_ns() % 2**32), 10)
    images = jax.jit(jax.vmap(draw))(keys, digits)
    return Source(np.asarray(images), [f"drawn: {digit}" for digit in digits]), digits
