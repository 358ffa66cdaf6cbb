"""Synthetic digits, used when no input is given."""

import time
from functools import partial
from threading import Event
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from jaxnet.data import Inputs, Source
from jaxnet.data._rows import Rows
from jaxnet.data.synthetic import draw


def ten_drawn_digits(side: int) -> tuple[Source, NDArray[Any]]:
    """Draws the ten digits, different ones each time."""
    digits = np.arange(10)
    keys = jax.random.split(jax.random.key(time.time_ns() % 2**32), 10)
    images = jax.jit(jax.vmap(partial(draw, side=side)))(keys, digits)
    return Source(np.asarray(images), [f"drawn: {digit}" for digit in digits]), digits


def inputs(side: int) -> tuple[Inputs, NDArray[Any]]:
    """The ten digits as a job takes them, and what they show."""
    source, digits = ten_drawn_digits(side)

    def read(start: int, stop: int, _: Event | None = None) -> Rows:
        return Rows(source.images[start:stop], source.names[start:stop], {})

    return Inputs(len(digits), read, [{"drawn": len(digits), "at": time.time_ns()}]), digits
