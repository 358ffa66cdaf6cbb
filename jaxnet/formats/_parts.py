"""Builds params and their spec from another framework's layers.

Arrays are validated and copied, so the result shares no memory with the original.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxnet.formats._spec import Notes, Spec, as_text
from jaxnet.formats._squashes import as_name
from jaxnet.network import SQUASHES, Layer, Params, Squash, check

# Includes large values, which tell ReLU from ReLU6 and one slope from another.
_PROBE = np.concatenate([np.linspace(-8, 8, 33), [-1e4, -300, -30, 30, 300, 1e4]], dtype=np.float32)


_OF_BYTES = 1 / 16  # a smaller scale is for pixels from 0 to 255, as 1/255 and 1/127.5 are


class Rescale(NamedTuple):
    """Scales and shifts the pixels before the first layer: `scale * x + offset`.

    Attributes:
        scale, offset: the same for all pixels.
        of_bytes: whether the pixels are from 0 to 255; by default, where the scale is that small.
    """

    scale: float
    offset: float
    of_bytes: bool = False


Part = tuple[Any, Any] | Rescale | str


def with_spec(
    layers: Sequence[tuple[Any, Any]],
    squash: Squash,
    last_squash: Squash,
    notes: Notes | None = None,
) -> tuple[Params, Spec]:
    """Copies arrays into a network, after validation, and describes it."""
    if not layers:
        raise ValueError("Expected at least one layer; got none.")
    arrays = [(np.asarray(w), np.asarray(b)) for w, b in layers]
    check(arrays, np.zeros(arrays[0][0].shape[-1:], np.float32))
    if not all(b.size for _, b in arrays):
        raise ValueError("Expected neurons in every layer; got an empty layer instead.")
    squash, last_squash = as_name(squash), as_name(last_squash)
    with np.errstate(over="ignore"):
        params = tuple(Layer(jnp.array(w), jnp.array(b)) for w, b in arrays)
    if not all(np.isfinite(a).all() for a in jax.tree.leaves(params)):  # float64 may overflow
        raise ValueError("Expected finite weights and biases; got NaN or infinity instead.")
    sizes = (arrays[0][0].shape[1], *(b.size for _, b in arrays))
    return params, Spec(sizes, squash, last_squash, as_text(notes or {}))


def in_a_row(parts: Iterable[Part]) -> tuple[Params, Spec]:
    """Builds a network from layers and the names of squashing functions, in order."""
    # jaxnet's pixels are already from 0 to 1, so a leading rescaling by 1/255 is dropped. Any other
    # is folded into the first layer.
    layers: list[tuple[Any, Any]] = []
    squashes: list[str] = []
    scale, offset, of_bytes = 1.0, 0.0, False
    for part in parts:
        if isinstance(part, Rescale):
            if squashes:
                raise ValueError("Expected rescaling of the images only; got it after a layer.")
            scale, offset = scale * part.scale, offset * part.scale + part.offset
            of_bytes |= part.of_bytes
        elif not isinstance(part, str):
            layers.append(part)
            squashes.append("identity")
        elif part != "identity":
            if not squashes or squashes[-1] != "identity":
                raise ValueError(f"Expected layers with one squash after each; got {part} alone.")
            squashes[-1] = part
    *hidden, last = squashes or [""]
    if len({*hidden}) > 1:
        raise ValueError(f"Expected the same squash in all hidden layers; got {', '.join(hidden)}.")
    if layers:
        layers[0] = _rescaled(*layers[0], scale, offset, of_bytes)
    return with_spec(layers, hidden[0] if hidden else last, last)


def _rescaled(w: Any, b: Any, scale: float, offset: float, of_bytes: bool) -> tuple[Any, Any]:
    """The first layer, for images from 0 to 1, from one for `scale * x + offset`."""
    if of_bytes or abs(scale) < _OF_BYTES:
        scale *= 255
    if math.isclose(scale, 1, rel_tol=1e-6):  # 1/255 is rounded in float32
        scale = 1.0
    if (scale, offset) == (1, 0):
        return w, b
    wide = np.asarray(w, np.float64)
    shifted = np.asarray(b, np.float64) + wide.sum(-1) * offset
    with np.errstate(over="ignore"):  # to infinity, which the check of the network finds
        return (wide * scale).astype(np.asarray(w).dtype), shifted.astype(np.asarray(b).dtype)


def check_batch(batch: int | None) -> None:
    """Raises where a program cannot be exported for so many images at a time."""
    if batch is not None and (isinstance(batch, bool) or not 1 <= batch < 2**31):
        raise ValueError(
            f"Expected a batch of 1 to {2**31 - 1:,} images; got {batch!s:.40} instead."
        )


def squash_of(function: Callable[[Any], Any], name: str) -> str:
    """Identifies another framework's activation function by evaluating it on probe values."""
    z = np.stack([_PROBE, _PROBE[::-1]])
    try:
        got = np.asarray(function(z))
    except Exception:  # the function may expect other arrays, and raise anything
        got = np.empty(0)
    for known, ours in _squashed(jnp.asarray(z)).items():
        if got.shape == z.shape and np.allclose(got, ours, rtol=2e-6, atol=1e-6):
            return known
    raise unknown_squash(name)


def unknown_squash(name: str) -> ValueError:
    """The error for an activation function that is none of ours."""
    return ValueError(
        f"Expected dense layers, each squashed by one of {', '.join(SQUASHES)}, as jax.nn "
        f"defines them; got {name}."
    )


def name_of(function: Any) -> str:
    """The name of a function, or of an object's class."""
    return getattr(function, "__name__", type(function).__name__)


def unsupported(layers: str, got: str) -> ValueError:
    """The error for a layer with weights that is not a plain dense layer with biases."""
    return ValueError(f"Expected {layers} with biases, and others without weights; got {got}.")


@jax.jit
def _squashed(z: Array) -> dict[str, Array]:
    return {name: function(z) for name, function in SQUASHES.items()}
