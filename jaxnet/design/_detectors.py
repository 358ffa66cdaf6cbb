"""Edge and region detectors, thresholds and logic gates: neurons with weights set by hand."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxnet.network import SIDE, Layer


class Neuron(NamedTuple):
    """One row of a layer.

    Attributes:
        weights: shape `(in,)`.
        bias: a scalar.
    """

    weights: Float[Array, " in"]
    bias: Float[Array, ""]


class Edges(NamedTuple):
    """The places, sizes and thresholds of several edge detectors, each of shape `(n,)`.

    Attributes:
        x, y, angle, length, width: as for `edge`.
        gain: what the edge's weights are multiplied by; the neuron's steepness.
        threshold: the weighted sum of the edge at which the neuron switches on.
    """

    x: Float[Array, " n"]
    y: Float[Array, " n"]
    angle: Float[Array, " n"]
    length: Float[Array, " n"]
    width: Float[Array, " n"]
    gain: Float[Array, " n"]
    threshold: Float[Array, " n"]


def region(
    x: ArrayLike,
    y: ArrayLike,
    angle: ArrayLike = 0.0,
    *,
    length: ArrayLike = 8.0,
    width: ArrayLike = 4.0,
    side: int = SIDE,
) -> Float[Array, " pixels"]:
    """Weights that measure how much of a region is inked: a Gaussian that sums to 1.

    exp(-(u² + v²) / 2), where `u` is the distance from the center along the angle, in half lengths,
    and `v` the distance across it, in half widths.

    Args:
        x: the center's column, 0 to `side - 1`. This and the next four arguments may be traced.
        y: the center's row, counted downwards.
        angle: of the long axis, in radians counterclockwise from horizontal.
        length: the extent along that axis in pixels, at least 1; weights fall to 61 % at its ends.
        width: the extent across it in pixels, 1 to `side`, with the same falloff.
        side: the side of the square image in pixels; static under `jit`.

    Returns:
        Weights for an image, shape `(side * side,)`, none negative: the weighted sum is 0 for a
        black image and 1 for a white one.

    Raises:
        ValueError: a center outside the image, or a size out of bounds. Traced values are not
            checked.

    Example:
        >>> from jaxnet.design import region
        >>> region(6, 20).reshape(28, 28).argmax().item() == 20 * 28 + 6
        True
    """
    u, v = _along_across(x, y, angle, length, width, side, widths=(1, side))
    spot = jnp.exp(-(u**2 + v**2) / 2)
    return spot / spot.sum()


def edge(
    x: ArrayLike,
    y: ArrayLike,
    angle: ArrayLike,
    *,
    length: ArrayLike = 8.0,
    width: ArrayLike = 4.0,
    side: int = SIDE,
) -> Float[Array, " pixels"]:
    """The video's edge detector: weights positive on a stroke and negative beside it.

    (1 - v²) exp(-(u² + v²) / 2), with `u` and `v` as in `region`: positive within half a width of
    the stroke's axis, negative beyond, and zero far away. The positive weights are then scaled to
    sum to 1 and the negative ones to -1, which makes a uniformly bright area count for nothing.

    Args:
        x: the column of the stroke's center, 0 to `side - 1`. This and the next four arguments may
            be traced.
        y: its row, counted downwards.
        angle: of the stroke, in radians counterclockwise from horizontal.
        length: of the stroke in pixels, at least 1; its ends are soft.
        width: of the stroke, which is that of the positive weights, in pixels: 2 to `side / 2`.
        side: the side of the square image in pixels; static under `jit`.

    Returns:
        Weights for an image, shape `(side * side,)`, which sum to 0. The weighted sum is between
        -1 and 1; it is 1 if the image is white where they are positive and black elsewhere.

    Raises:
        ValueError: as for `region`.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxnet.design import edge
        >>> horizontal = edge(14, 6, 0.0).reshape(28, 28)
        >>> [round(100 * horizontal[row, 14].item()) for row in (6, 8, 9, 10, 14)]
        [4, 0, -2, -2, 0]
        >>> vertical = edge(6, 14, jnp.pi / 2).reshape(28, 28)
        >>> bool(jnp.allclose(vertical, horizontal.T, atol=1e-6))
        True

    Source: the profile across the stroke is the second derivative of a Gaussian, Marr and Hildreth,
    "Theory of edge detection", 1980.
    """
    u, v = _along_across(x, y, angle, length, width, side, widths=(2, side / 2))
    stroke = (1 - v**2) * jnp.exp(-(u**2 + v**2) / 2)
    inside, around = jnp.maximum(stroke, 0), jnp.minimum(stroke, 0)
    return inside / inside.sum() - around / around.sum()


def edge_layer(edges: Edges, *, side: int = SIDE) -> Layer:
    """A layer of edge detectors: neuron `n` is a `threshold` on the weighted sum of an `edge`.

    Differentiable in every number of `edges`: the places of the edges can be learned, as in
    `jaxnet.fit(..., params=edges, loss=MeanCost(network=lambda edges: (edge_layer(edges), ...)))`.

    Args:
        edges: their places and sizes; may be traced.
        side: the side of the square image in pixels; static under `jit`.

    Returns:
        A `Layer` with one row per edge: weights `gain * edge(...)`, biases `-gain * threshold`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxnet.design import Edges, edge_layer
        >>> bars = Edges(*map(jnp.array, ([14., 14.], [6., 21.], [0., 0.], [8., 8.], [4., 4.],
        ...                               [14., 14.], [0.2, 0.2])))
        >>> layer = edge_layer(bars)  # a horizontal stroke at the top, one at the bottom
        >>> layer.weights.shape, layer.biases.shape
        ((2, 784), (2,))
    """

    def neuron(x: Array, y: Array, angle: Array, length: Array, width: Array) -> Array:
        return edge(x, y, angle, length=length, width=width, side=side)

    *place, gain, value = (jnp.asarray(a, jnp.float32) for a in edges)
    return Layer(gain[:, None] * jax.vmap(neuron)(*place), -gain * value)


def threshold(
    weights: Float[Array, " in"], value: ArrayLike, *, steepness: ArrayLike = 1.0
) -> Neuron:
    """A neuron that is off until its weighted sum exceeds a value: the video's bias of -10.

    σ(steepness (w · a - value)): one half at the value, about 0.88 at `2 / steepness` above it and
    0.12 at `2 / steepness` below.

    Args:
        weights: shape `(in,)`.
        value: the weighted sum at which the neuron switches on.
        steepness: how sharply it switches, positive.

    Returns:
        A neuron with weights `steepness * weights` and bias `-steepness * value`.

    Raises:
        ValueError: `weights` is not a vector.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxnet.design import threshold
        >>> print(threshold(jnp.ones(3), 10).bias)
        -10.0
    """
    w, value, steepness = (jnp.asarray(v, jnp.float32) for v in (weights, value, steepness))
    if w.ndim != 1:
        raise ValueError(f"Expected weights of shape (in,); got {w.shape} instead.")
    return Neuron(steepness * w, -steepness * value)


def layer(neurons: Sequence[Neuron]) -> Layer:
    """Stacks neurons into a layer.

    Args:
        neurons: one or more neurons with the same number of inputs.

    Returns:
        A `Layer` with one row per neuron.

    Raises:
        ValueError: no neurons, or neurons with different numbers of inputs.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxnet.design import all_of, any_of, layer
        >>> both_or_either = layer([all_of(jnp.ones(2)), any_of(jnp.ones(2))])
        >>> both_or_either.weights.shape, both_or_either.biases.shape
        ((2, 2), (2,))
    """
    shapes = sorted({neuron.weights.shape for neuron in neurons})
    if len(shapes) != 1:
        raise ValueError(
            "Expected neurons with the same number of inputs; "
            f"got weights of shapes {shapes} instead."
        )
    return Layer(*map(jnp.stack, zip(*neurons, strict=True)))


def at_least(k: ArrayLike, wanted: Float[Array, " in"], *, steepness: ArrayLike = 8.0) -> Neuron:
    """A gate that is on if at least `k` of its inputs are in the wanted state.

    Σ_on a + Σ_off (1 - a) > k - ½, over the inputs wanted on and those wanted off; this is a
    threshold on the sum `wanted · a`.

    Args:
        k: how many; the neuron is one half at `k - 0.5`.
        wanted: shape `(in,)`: 1 for an input wanted on (near 1), -1 for one wanted off (near 0),
            and 0 for one that does not matter; larger magnitudes weigh more.
        steepness: how sharply it switches; with 8, inputs of 0 and 1 give 0.02 or 0.98.

    Returns:
        A neuron with one weight per input.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxnet.design import at_least
        >>> w, b = at_least(2, jnp.array([1.0, 1.0, -1.0]))  # two of: on, on, off
        >>> [round(jax.nn.sigmoid(w @ jnp.array(a) + b).item()) for a in ([1, 1, 1], [1, 0, 1])]
        [1, 0]
    """
    wanted = jnp.asarray(wanted, jnp.float32)
    unwanted = -jnp.minimum(wanted, 0).sum()
    return threshold(wanted, k - 0.5 - unwanted, steepness=steepness)


def all_of(wanted: Float[Array, " in"], *, steepness: ArrayLike = 8.0) -> Neuron:
    """A gate that is on if all of its inputs are in the wanted state: AND.

    Args and Returns: as for `at_least`, which it calls with every input that matters as `k`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxnet.design import all_of
        >>> w, b = all_of(jnp.array([1.0, 1.0, -1.0]))  # on, on, off
        >>> [round(jax.nn.sigmoid(w @ jnp.array(a) + b).item()) for a in ([1, 1, 0], [1, 1, 1])]
        [1, 0]
    """
    return at_least(_total(wanted), wanted, steepness=steepness)


def any_of(wanted: Float[Array, " in"], *, steepness: ArrayLike = 8.0) -> Neuron:
    """A gate that is on if any of its inputs is in the wanted state: OR.

    Args and Returns: as for `at_least`, which it calls with `k = 1`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxnet.design import any_of
        >>> w, b = any_of(jnp.array([1.0, 1.0]))
        >>> [round(jax.nn.sigmoid(w @ jnp.array(a) + b).item()) for a in ([0, 1], [0, 0])]
        [1, 0]
    """
    return at_least(1, wanted, steepness=steepness)


def none_of(wanted: Float[Array, " in"], *, steepness: ArrayLike = 8.0) -> Neuron:
    """A gate that is on if none of its inputs is in the wanted state: NOR.

    Args and Returns: as for `at_least`; the output is one minus that of `any_of`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxnet.design import none_of
        >>> w, b = none_of(jnp.array([1.0, 1.0]))
        >>> [round(jax.nn.sigmoid(w @ jnp.array(a) + b).item()) for a in ([0, 1], [0, 0])]
        [0, 1]
    """
    w, b = any_of(wanted, steepness=steepness)
    return Neuron(-w, -b)


def most_of(
    wanted: Float[Array, " in"], *, share: ArrayLike = 0.7, steepness: ArrayLike = 16.0
) -> Neuron:
    """A soft gate that is on if most of the evidence is there.

    σ(steepness (m - share)), where `m` is the mean of `a` over inputs wanted on and of `1 - a` over
    inputs wanted off, weighted by the magnitudes in `wanted`.

    Args:
        wanted: as for `at_least`, not all 0.
        share: the fraction of the evidence, 0 to 1, at which the neuron is one half.
        steepness: how sharply it switches, for a fraction between 0 and 1.

    Returns:
        A neuron with one weight per input.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxnet.design import most_of
        >>> w, b = most_of(jnp.array([2.0, 1.0, -1.0]), share=0.7)
        >>> [round(jax.nn.sigmoid(w @ jnp.array(a) + b).item(), 2) for a in ([1, 0, 0], [0, 1, 0])]
        [0.69, 0.04]
    """
    total = _total(wanted)
    return at_least(share * total + 0.5, wanted, steepness=steepness / total)


def _total(wanted: Float[Array, " in"]) -> Array:
    return jnp.abs(jnp.asarray(wanted, jnp.float32)).sum()


def _along_across(
    x: ArrayLike,
    y: ArrayLike,
    angle: ArrayLike,
    length: ArrayLike,
    width: ArrayLike,
    side: int,
    *,
    widths: tuple[int | float, int | float],
) -> tuple[Array, Array]:
    """Each pixel's distance from a center along and across an angle, in half lengths and widths."""
    # Raises ValueError if a Python number is out of bounds; traced values are not checked.
    for name, number, low, high in (
        ("x", x, 0, side - 1),
        ("y", y, 0, side - 1),
        ("length", length, 1, np.inf),
        ("width", width, *widths),
    ):
        if isinstance(number, (int, float, np.number)) and not low <= number <= high:
            raise ValueError(f"Expected {name} from {low} to {high}; got {number} instead.")
    x, y, angle, length, width = (jnp.asarray(v, jnp.float32) for v in (x, y, angle, length, width))
    row, column = jnp.mgrid[:side, :side].reshape(2, side * side).astype(jnp.float32)
    right, up = column - x, y - row
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return 2 * (right * cos + up * sin) / length, 2 * (up * cos - right * sin) / width
