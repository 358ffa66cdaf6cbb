"""Weights set by hand: detectors of edges and regions, thresholds, and gates over a layer below.

The video imagines it: a neuron that picks up on an edge here, others that put edges together to
loops and lines, and in the end a digit. A place in an image is `(x, y)` in pixels, `x` to the
right and `y` downwards from the centre of the upper left pixel, so that pixel `(x, y)` is number
`y * side + x` of the image; the middle of 28×28 is at (13.5, 13.5), and MNIST puts a digit's
centre of mass at (14, 14). An angle is in radians, anticlockwise as one looks at the image, from
a stroke that lies (0) to one that stands (π / 2).

    quiet = threshold(edge(14, 6, 0.0), 0.2, steepness=14)   # a neuron: a stroke across the top
    first = layer([quiet, ...])                              # a jaxnet.Layer
    both = all_of(jnp.array([1.0, 1.0, -1.0]))               # a neuron over three: on, on, off

Source: 3Blue1Brown, "But what is a neural network?", 2017, from "edge detection" on.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxnet.network import Layer


class Neuron(NamedTuple):
    """One row of a layer.

    Attributes:
        weights: shape `(in,)`.
        bias: a scalar.
    """

    weights: Float[Array, " in"]
    bias: Float[Array, ""]


def region(
    x: ArrayLike,
    y: ArrayLike,
    angle: ArrayLike = 0.0,
    *,
    length: ArrayLike = 8.0,
    width: ArrayLike = 4.0,
    side: int = 28,
) -> Float[Array, " pixels"]:
    """How much of a soft spot is inked: weights of a Gaussian, which sum to 1.

    exp(-(u² + v²) / 2), where `u` and `v` are the distances from the place along the angle, in
    halves of the length, and across it, in halves of the width.

    Args:
        x: column of the spot's middle, 0 to `side - 1`; may be traced, as the next four.
        y: row of it, downwards.
        angle: of its longer axis, anticlockwise from lying, in radians.
        length: pixels along that axis, 1 or more; the weights fall to 61 % at its ends.
        width: pixels across, 1 to `side`; the same.
        side: of the square image; static under `jit`.

    Returns:
        Weights for an image, shape `(side * side,)`, none negative: the weighted sum of an image
        is between 0, all black, and 1, all white.

    Raises:
        ValueError: a place outside the image, or a size out of these bounds; of numbers only,
            traced values are not looked at.

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
    side: int = 28,
) -> Float[Array, " pixels"]:
    """The video's pattern for a small edge: positive where the stroke should be, negative around.

    (1 - v²) exp(-(u² + v²) / 2), with `u` and `v` as in `region`: positive up to half a width
    beside the stroke's axis, negative further out, and nothing far off. The positive weights are
    then scaled to the sum 1 and the negative ones to -1, so that a bright area gives nothing.

    Args:
        x: column of the stroke's middle, 0 to `side - 1`; may be traced, as the next four.
        y: row of it, downwards.
        angle: of the stroke, anticlockwise from lying, in radians.
        length: of the stroke in pixels, 1 or more; its ends are soft.
        width: of the stroke, that is of the positive weights, in pixels: 2 to `side / 2`.
        side: of the square image; static under `jit`.

    Returns:
        Weights for an image, shape `(side * side,)`, of sum 0: the weighted sum of an image is
        between -1 and 1, and 1 means white wherever they are positive and black around.

    Raises:
        ValueError: as `region`.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxnet.design import edge
        >>> lying = edge(14, 6, 0.0).reshape(28, 28)
        >>> [round(100 * lying[row, 14].item()) for row in (6, 8, 9, 10, 14)]
        [4, 0, -2, -2, 0]
        >>> standing = edge(6, 14, jnp.pi / 2).reshape(28, 28)
        >>> bool(jnp.allclose(standing, lying.T, atol=1e-6))
        True

    Source: the profile across is Marr and Hildreth's, Theory of edge detection, 1980, in one
    dimension.
    """
    u, v = _along_across(x, y, angle, length, width, side, widths=(2, side / 2))
    stroke = (1 - v**2) * jnp.exp(-(u**2 + v**2) / 2)
    inside, around = jnp.maximum(stroke, 0), jnp.minimum(stroke, 0)
    return inside / inside.sum() - around / around.sum()


def threshold(
    weights: Float[Array, " in"], value: ArrayLike, *, steepness: ArrayLike = 1.0
) -> Neuron:
    """Keeps a neuron quiet until its weighted sum passes a value: the video's bias of -10.

    σ(steepness (w · a - value)): one half at the value, and about 0.88 where the sum is above it
    by `2 / steepness`, 0.12 where it is below by as much.

    Args:
        weights: shape `(in,)`.
        value: that the weighted sum must pass.
        steepness: how suddenly; above 0.

    Returns:
        A neuron: the weights times the steepness, and as bias the negative value times it.

    Raises:
        ValueError: weights that are not one vector.

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
    """Puts neurons together to a layer.

    Args:
        neurons: one or more, over the same number of inputs.

    Returns:
        A `Layer`, its rows the neurons in their order.

    Raises:
        ValueError: no neurons, or of different numbers of inputs.

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
            f"Expected neurons over one number of inputs; got weights of shapes {shapes} instead."
        )
    return Layer(*map(jnp.stack, zip(*neurons, strict=True)))


def at_least(k: ArrayLike, wanted: Float[Array, " in"], *, steepness: ArrayLike = 8.0) -> Neuron:
    """A gate: on where at least `k` of the neurons below are as they are wanted.

    Σ wanted a + Σ unwanted (1 - a) > k - ½, which is a threshold of the one sum `wanted · a`.

    Args:
        k: how many; half-way below it the neuron says one half.
        wanted: shape `(in,)`: 1 for a neuron that shall be on (near 1), -1 for one that shall be
            off (near 0), 0 where it does not matter; a larger one counts for more.
        steepness: how suddenly; 8 makes it 0.98 and 0.02 for inputs of 0 and 1.

    Returns:
        A neuron over the layer below.

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
    """A gate: on where every neuron below is as it is wanted, on (1) or off (-1).

    Takes and returns what `at_least` does, for as many as are wanted at all.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxnet.design import all_of
        >>> w, b = all_of(jnp.array([1.0, 1.0, -1.0]))  # on, on, off
        >>> [round(jax.nn.sigmoid(w @ jnp.array(a) + b).item()) for a in ([1, 1, 0], [1, 1, 1])]
        [1, 0]
    """
    return at_least(_total(wanted), wanted, steepness=steepness)


def any_of(wanted: Float[Array, " in"], *, steepness: ArrayLike = 8.0) -> Neuron:
    """A gate: on where one neuron below, or more, is as it is wanted, on (1) or off (-1).

    Takes and returns what `at_least` does, for one.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxnet.design import any_of
        >>> w, b = any_of(jnp.array([1.0, 1.0]))
        >>> [round(jax.nn.sigmoid(w @ jnp.array(a) + b).item()) for a in ([0, 1], [0, 0])]
        [1, 0]
    """
    return at_least(1, wanted, steepness=steepness)


def none_of(wanted: Float[Array, " in"], *, steepness: ArrayLike = 8.0) -> Neuron:
    """A gate: on where no neuron below is as it is wanted; the opposite of `any_of`.

    Takes and returns what `at_least` does.

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
    """Soft evidence: on where more than a share of the neurons below are as they are wanted.

    σ(steepness (m - share)), where `m` is the mean of `a` over what is wanted on and of `1 - a`
    over what is wanted off, each weighed by the size of its entry.

    Args:
        wanted: as for `at_least`, not all 0.
        share: from 0 to 1, at which the neuron says one half.
        steepness: how suddenly; the evidence itself is between 0 and 1.

    Returns:
        A neuron over the layer below.

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
    widths: tuple[float, float],
) -> tuple[Array, Array]:
    """Each pixel's distance from a place, along an angle and across it, in half sizes.

    Raises where a number is out of bounds; what is traced has no value to look at.
    """
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
