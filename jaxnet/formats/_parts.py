"""Builds params and their spec from another framework's layers.

Arrays are validated and copied, so the result shares no memory with the original.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import DTypeLike, NDArray

from jaxnet.formats._affine import LOG_SOFTMAX, PROBE, Affine, Curve, Shape, Step, parts_of
from jaxnet.formats._spec import Notes, Spec, as_text
from jaxnet.formats._squashes import as_name
from jaxnet.network import SQUASHES, Layer, Params, Squash, check


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


def from_steps(
    steps: Sequence[Step], shape: Shape, *, pixels: float | None = None
) -> tuple[Params, Spec]:
    """Builds a network from functions that follow each other, for images of this shape."""
    known = [np.asarray(s.known.weights).dtype for s in steps if isinstance(s.known, Affine)]
    widest = max(known, key=lambda dtype: dtype.itemsize, default=np.dtype(np.float32))
    return in_a_row(parts_of(steps, shape), dtype=widest, pixels=pixels)


def in_a_row(
    parts: Iterable[Affine | Curve], *, dtype: DTypeLike = np.float32, pixels: float | None = None
) -> tuple[Params, Spec]:
    """Builds a network from layers and squashes, for pixels from 0 to 1."""
    # Theirs are from 0 to `pixels`; by default, to 255 where the first layer says so. Arrays in
    # float64 are rounded to `dtype`.
    layers: list[Affine] = []
    squashes: list[str] = []
    for part in parts:
        if isinstance(part, Affine):
            layers.append(part)
            squashes.append("identity")
        else:
            squashes[-1] = _squash_name(part)
    if len(layers) > 1 and squashes[-1] == "identity" and _is_redundant(layers[-1], squashes[-2]):
        del layers[-1], squashes[-1]
    if LOG_SOFTMAX in squashes[:-1]:
        raise unknown_squash(f"{LOG_SOFTMAX} between layers")
    squashes = ["softmax" if name == LOG_SOFTMAX else name for name in squashes]
    if layers and (white := pixels or (255 if layers[0].of_bytes else 1)) != 1:
        layers[0] = Affine(np.asarray(layers[0].weights, np.float64) * white, layers[0].biases)
    if len({*squashes[:-1]}) > 1:
        layers, squashes = _merged(layers, squashes)
    *hidden, last = squashes or [""]
    if len({*hidden}) > 1:
        raise ValueError(f"Expected the same squash in all hidden layers; got {', '.join(hidden)}.")
    arrays = [(_rounded(w, dtype), _rounded(b, dtype)) for w, b, _ in layers]
    return with_spec(arrays, hidden[0] if hidden else last, last)


def _is_redundant(last: Affine, squash: str) -> bool:
    """Whether a last layer only repeats its inputs, or turns a sigmoid p into (1 - p, p)."""
    w, b = np.asarray(last.weights), np.asarray(last.biases)
    same = np.array_equal(w, np.eye(len(w))) and not b.any()
    is_pair = (w.tolist(), b.tolist()) == ([[-1], [1]], [1, 0])
    return same or (is_pair and squash == "sigmoid")


def _merged(layers: list[Affine], squashes: list[str]) -> tuple[list[Affine], list[str]]:
    """Multiplies layers without a squash between them."""
    merged, names = [layers[0]], [squashes[0]]
    for (w, b, _), name in zip(layers[1:], squashes[1:], strict=True):
        if names[-1] != "identity":
            merged.append(Affine(w, b))
            names.append(name)
            continue
        w, (inner, offset, _) = np.asarray(w, np.float64), merged[-1]
        merged[-1] = Affine(w @ np.asarray(inner, np.float64), w @ offset + b)
        names[-1] = name
    return merged, names


def _rounded(array: Any, dtype: DTypeLike) -> Any:
    """An array that was computed in float64, in the precision of the original."""
    array = np.asarray(array)
    with np.errstate(over="ignore"):  # to infinity, which the check of the network finds
        return array.astype(dtype) if array.dtype == np.float64 else array


def _squash_name(curve: Curve) -> str:
    """The name of a curve in `SQUASHES`."""
    if curve.is_named:
        return curve.name
    if curve.values is not None:
        table = _elementwise()
        for name, ours in table.items():
            if np.allclose(curve.values, ours, rtol=2e-6, atol=1e-6):
                return name
        # Say how it differs from the one with its name, or else from the nearest.
        near_zero = np.abs(PROBE) <= 8
        differs = {name: np.abs(curve.values - ours) * near_zero for name, ours in table.items()}
        said = curve.name.lower()
        named = [name for name in table if name.replace("_", "") in said.replace("_", "")]
        near = max(named, key=len) if named else min(table, key=lambda n: differs[n].max())
        at = int(np.argmax(differs[near]))
        raise unknown_squash(
            f"{curve.name}, which is {curve.values[at]:.3g} at {PROBE[at]:g}, where {near} is "
            f"{table[near][at]:.3g}"
        )
    raise unknown_squash(curve.name)


@cache
def _elementwise() -> dict[str, NDArray[np.float32]]:
    """Every squash that takes each number by itself, at `PROBE`."""
    names = [name for name in SQUASHES if name != "softmax"]
    return {name: np.asarray(SQUASHES[name](jnp.asarray(PROBE))) for name in names}


def check_batch(batch: int | None) -> None:
    """Raises where a program cannot be exported for so many images at a time."""
    if batch is not None and (isinstance(batch, bool) or not 1 <= batch < 2**31):
        raise ValueError(
            f"Expected a batch of 1 to {2**31 - 1:,} images; got {batch!s:.40} instead."
        )


def jax_step(name: str, function: Callable[[Any], Any]) -> Step:
    """A function of JAX arrays as a step, in float64."""

    def run(batch: Any) -> Any:
        with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
            return np.asarray(function(jnp.asarray(batch)))

    return Step(name, run)


def unknown_squash(name: str) -> ValueError:
    """The error for a function that is neither affine nor one of ours."""
    return ValueError(
        f"Expected layers that are affine, each squashed by one of {', '.join(SQUASHES)}, as "
        f"jax.nn defines them; got {name}."
    )


def name_of(function: Any) -> str:
    """The name of a function, or of an object's class."""
    return getattr(function, "__name__", type(function).__name__)
