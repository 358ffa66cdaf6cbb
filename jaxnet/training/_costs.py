"""Costs of one image, and the checks of images, labels and weights."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.nn import sigmoid
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Num

from jaxnet._util.pixels import is_pixel_dtype

Images = Num[Array | np.ndarray, "n pixels"]
Labels = Num[Array | np.ndarray, "n ..."]
Weights = Float[Array | np.ndarray, " n"]
Cost = Callable[[Float[Array, " out"], Any], Float[Array, ""]]


def quadratic_cost(z: Float[Array, " out"], y: ArrayLike) -> Float[Array, ""]:
    """The video's cost of one image: the sum of squared errors of the outputs.

    The target is 1 for the image's digit and 0 for the nine others.

    Args:
        z: the logits, shape `(10,)`.
        y: the digit.

    Returns:
        A scalar; 0 if all outputs are right.

    Example:
        >>> import jax, jaxnet
        >>> params, x = jaxnet.init(jax.random.key(0)), jax.numpy.zeros(784)
        >>> float(jaxnet.training.quadratic_cost(jaxnet.logits(params, x), 3)) > 1
        True

    Source: 3Blue1Brown, "Gradient descent, how neural networks learn", 2017.
    """
    _check_label(z, y, shares=False)
    right = jnp.asarray(y).astype(z.dtype)[None]  # of a single output, 0 or 1
    if z.size > 1:
        right = jax.nn.one_hot(y, z.size, dtype=z.dtype)
    return optax.squared_error(sigmoid(z), right).sum()


def cross_entropy(z: Float[Array, " out"], y: ArrayLike) -> Float[Array, ""]:
    """Softmax cross-entropy of one image's logits with its label, in nats.

    Trains faster than `quadratic_cost`, whose gradient vanishes where a sigmoid saturates. For a
    network with a single output, it is the binary cross-entropy of its sigmoid.

    Args:
        z: the logits, shape `(10,)`.
        y: the digit, or ten probabilities.

    Returns:
        A scalar; 0 for certainty in the right digit, ln 10 for a uniform guess.

    Example:
        >>> import jax, jaxnet
        >>> float(jaxnet.training.cross_entropy(jax.numpy.zeros(10), 3))
        2.3025851249694824

    Source: Bridle, "Probabilistic interpretation of feedforward classification network
    outputs", 1990.
    """
    _check_label(z, y, shares=True)
    if z.size == 1:
        right = jnp.asarray(y).reshape(()).astype(z.dtype)
        return optax.sigmoid_binary_cross_entropy(z[0], right)
    if jnp.ndim(y):
        return optax.softmax_cross_entropy(z, y)
    return optax.softmax_cross_entropy_with_integer_labels(z, y)


def unit(images: Num[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
    """Scales uint8 images from 0–255 to floats from 0 to 1; returns floats unchanged.

    Args:
        images: any shape.

    Returns:
        The same shape; float32 if they were uint8.

    Raises:
        TypeError: neither uint8 nor floats.

    Example:
        >>> import jax, jaxnet
        >>> jaxnet.training.unit(jax.numpy.array([0, 255], "uint8")).tolist()
        [0.0, 1.0]
    """
    if not is_pixel_dtype(images.dtype):
        raise TypeError(f"Expected images in uint8 or floats; got {images.dtype} instead.")
    images = jnp.asarray(images)
    return images.astype(jnp.float32) / 255 if images.dtype == jnp.uint8 else images


def check_examples(images: Any, labels: Any, sample_weights: Any = None) -> Any:
    """Validates that images, labels and weights match.

    Args:
        images, labels, sample_weights: as for `jaxnet.training.mean_cost`.

    Returns:
        The number of images.

    Raises:
        TypeError, ValueError: not arrays, or arrays of the wrong shape or byte order.

    Example:
        >>> import numpy, jaxnet
        >>> jaxnet.training.check_examples(numpy.zeros((5, 784)), numpy.zeros(5, int))
        5
    """
    for name, array in (("images", images), ("labels", labels), ("sample_weights", sample_weights)):
        if not isinstance(array, np.ndarray | jax.Array) and array is not None:
            raise TypeError(
                f"Expected {name} as a NumPy or JAX array; got {type(array).__name__} instead. "
                f"Use jax.numpy.asarray({name})."
            )
        if isinstance(array, np.ndarray) and not array.dtype.isnative:
            raise ValueError(
                f"Expected {name} in this machine's byte order; got {array.dtype.str} instead. "
                f"Use {name}.astype({name}.dtype.newbyteorder('='))."
            )
    n = images.shape[0] if images.shape else 0
    if images.ndim != 2 or labels.shape[:1] != (n,):
        raise ValueError(
            "Expected images of shape (n, 784) and one label per image; "
            f"got {images.shape} and {labels.shape} instead."
        )
    if sample_weights is not None and sample_weights.shape != (n,):
        raise ValueError(
            f"Expected one weight for each of the {n} images; got {sample_weights.shape} instead."
        )
    return n


def check_known_labels(labels: Any, n_out: int) -> None:
    """Raises for labels that have no output; a single output has the labels 0 and 1.

    Args:
        labels: concrete, shape `(n,)`.
        n_out: the number of outputs.

    Raises:
        ValueError: a label is negative or too large.

    Example:
        >>> import numpy, jaxnet
        >>> jaxnet.training.check_known_labels(numpy.array([7, 10]), 10)
        Traceback (most recent call last):
        ValueError: Expected labels from 0 to 9, one per output; got 10 for image 1 instead.
    """
    values, last = np.asarray(labels), max(n_out, 2) - 1
    if values.ndim == 1 and values.size and not (values.min() >= 0 and values.max() <= last):
        at = int(((values < 0) | (values > last)).argmax())
        raise ValueError(
            f"Expected labels from 0 to {last}, one per output; "
            f"got {values[at]} for image {at} instead."
        )


def _check_label(z: Array, y: Any, *, shares: bool) -> None:
    """Raises unless a label is a digit or, if `shares`, a probability for each output."""
    shape, integer = jnp.shape(y), jnp.issubdtype(jnp.result_type(y), jnp.integer)
    if not (integer if shape == () else shares and shape == z.shape):
        also = f", or a probability for each output, shape {z.shape}" if shares else ""
        got = f"{jnp.result_type(y)}{list(shape)}"
        raise ValueError(
            f"Expected each image's label as an integer, its digit{also}; got {got} instead. "
            "For labels of shape (n, 1), pass labels[:, 0]."
        )
