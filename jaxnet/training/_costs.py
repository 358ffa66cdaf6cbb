"""Costs of one image, from its logits and its label."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.nn import sigmoid
from jax.typing import ArrayLike
from jaxtyping import Array, Float

ARRAY = jax.Array | np.ndarray | np.generic | float | int  # what an array can be made of
Cost = Callable[[Float[Array, " out"], Any], Float[Array, ""]]


def quadratic_cost(z: Float[Array, " out"], y: ArrayLike) -> Float[Array, ""]:
    """The video's cost of one image: the sum of squared errors of the outputs.

    The target is 1 for the image's digit and 0 for the nine others.

    Args:
        z: the logits, shape `(10,)`.
        y: the digit.

    Returns:
        A scalar; 0 if all outputs are right, NaN if no output stands for the digit.

    Example:
        >>> import jax, jaxnet
        >>> params, x = jaxnet.init(jax.random.key(0)), jax.numpy.zeros(784)
        >>> float(jaxnet.training.quadratic_cost(jaxnet.logits(params, x), 3)) > 1
        True

    Source: 3Blue1Brown, "Gradient descent, how neural networks learn", 2017.
    """
    _check_label(z, y, shares=False)
    digit = jnp.asarray(y)
    right = digit.astype(z.dtype)[None]  # of a single output, 0 or 1
    if z.size > 1:
        right = jax.nn.one_hot(digit, z.size, dtype=z.dtype)
    return optax.squared_error(sigmoid(z), right).sum() * _one_or_nan(z, digit)


def cross_entropy(z: Float[Array, " out"], y: ArrayLike) -> Float[Array, ""]:
    """Softmax cross-entropy of one image's logits with its label, in nats.

    Trains faster than `quadratic_cost`, whose gradient vanishes where a sigmoid saturates. For a
    network with a single output, it is the binary cross-entropy of its sigmoid.

    Args:
        z: the logits, shape `(10,)`.
        y: the digit, or ten probabilities.

    Returns:
        A scalar; 0 for certainty in the right digit, ln 10 for a uniform guess, NaN if no output
        stands for the digit.

    Example:
        >>> import jax, jaxnet
        >>> float(jaxnet.training.cross_entropy(jax.numpy.zeros(10), 3))
        2.3025851249694824
        >>> float(jaxnet.training.cross_entropy(jax.numpy.zeros(10), -1))
        nan

    Source: Bridle, "Probabilistic interpretation of feedforward classification network
    outputs", 1990.
    """
    _check_label(z, y, shares=True)
    label = jnp.asarray(y)
    if z.size == 1:
        cost = optax.sigmoid_binary_cross_entropy(z[0], label.reshape(()).astype(z.dtype))
    elif label.ndim:
        cost = optax.softmax_cross_entropy(z, label)
    else:
        cost = optax.softmax_cross_entropy_with_integer_labels(z, label)
    return cost if label.ndim else cost * _one_or_nan(z, label)


def has_output(z: Array, digit: Array) -> Array:
    """Whether an output stands for a digit; a single output stands for 0 and 1."""
    digit = digit.astype(int)
    return (digit >= 0) & (digit < max(z.size, 2))


def wide(a: Any) -> Array:
    """At least float32, in which a mean over many images or batches stays accurate."""
    a = jnp.asarray(a)
    is_wide = jnp.issubdtype(a.dtype, jnp.floating) and jnp.finfo(a.dtype).bits >= 32
    return a if is_wide else a.astype(jnp.float32)


def _one_or_nan(z: Array, digit: Array) -> Array:
    """A factor that makes the cost and its gradient NaN if no output stands for the digit."""
    return jnp.where(has_output(z, digit), 1.0, jnp.nan).astype(z.dtype)


def narrow(labels: Any) -> Any:
    """Labels with NumPy's integers in 32 bits, of which none becomes a digit by wrapping around."""

    def one(y: Any) -> Any:
        is_wide = isinstance(y, np.ndarray) and y.dtype.kind in "ui" and y.dtype.itemsize > 4
        return y.clip(-1, 2**31 - 1).astype(np.int32) if is_wide else y

    return jax.tree.map(one, labels)


def _check_label(z: Array, y: Any, *, shares: bool) -> None:
    """Raises unless a label is a digit or, if `shares`, a probability for each output."""
    if not isinstance(y, ARRAY):
        raise TypeError(
            f"Expected one array of labels; got a {type(y).__name__} for each image instead. For "
            "image weights, use MeanCost(weighted=True); for other labels, a loss of your own."
        )
    shape, integer = jnp.shape(y), jnp.issubdtype(jnp.result_type(y), jnp.integer)
    if not (integer if shape == () else shares and shape == z.shape):
        also = f", or a probability for each output, shape {z.shape}" if shares else ""
        got = f"{jnp.result_type(y)}{list(shape)}"
        raise ValueError(
            f"Expected each image's label as an integer, its digit{also}; got {got} instead. "
            "For labels of shape (n, 1), pass labels[:, 0]."
        )
