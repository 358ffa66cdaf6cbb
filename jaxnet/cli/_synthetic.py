"""Digits for those who bring none."""

import time
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from jaxnet.data import Source
from jaxnet.data.synthetic import draw


def ten_drawn_digits() -> tuple[Source, NDArray[Any]]:
    """Ten digits, from 0 to 9, that the program draws, other ones each time."""
    digits = np.arange(10)
    keys = jax.random.split(jax.random.key(time.time_ns() % 2**32), 10)
    images = jax.jit(jax.vmap(draw))(keys, digits)
    return Source(np.asarray(images), [f"drawn: {digit}" for digit in digits]), digits
