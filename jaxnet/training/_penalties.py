"""Penalties on the first layer's weights, which make them easier to read as images."""

import math
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnet.network import Params

Penalty = Callable[[Params], Float[Array, ""]]


def smoothness(params: Params) -> Float[Array, ""]:
    """The sum of squared differences between neighboring pixels' weights.

    Add a multiple of it to the cost, as in `fit(..., penalty=lambda p: 0.001 * smoothness(p))`:
    weights that agree with their neighbors are strokes and blobs rather than noise.

    Args:
        params: a network whose inputs are square images.

    Returns:
        A scalar, 0 if each neuron's weights are all equal.

    Raises:
        ValueError: the inputs are not square images.

    Example:
        >>> import jax, jaxnet
        >>> for params in jaxnet.init(jax.random.key(0)), jaxnet.pretrained("edges"):
        ...     rough = jaxnet.training.smoothness(params) / (params[0].weights ** 2).sum()
        ...     print(rough > 1)
        True
        False
    """
    grids = _grids(params)
    down, across = jnp.diff(grids, axis=1), jnp.diff(grids, axis=2)
    return (down**2).sum() + (across**2).sum()


def sparsity(params: Params) -> Float[Array, ""]:
    """The sum of the weights' magnitudes, which makes many of them 0: the lasso.

    Args:
        params: the network.

    Returns:
        A scalar, not negative.

    Example:
        >>> import jax.numpy as jnp, jaxnet
        >>> jaxnet.training.sparsity((jaxnet.Layer(jnp.array([[1.0, -2.0]]), jnp.zeros(1)),)).item()
        3.0

    Source: Tibshirani, "Regression shrinkage and selection via the lasso", 1996.
    """
    return jnp.abs(params[0][0]).sum()


def locality(params: Params) -> Float[Array, ""]:
    """The sum of squared weights, each times its squared distance from its neuron's center.

    The center is the mean place of the neuron's squared weights, so a neuron may look anywhere, but
    at one place. Distances are fractions of the image's side.

    Args:
        params: a network whose inputs are square images.

    Returns:
        A scalar, 0 if each neuron looks at a single pixel.

    Raises:
        ValueError: the inputs are not square images.

    Example:
        >>> import jax.numpy as jnp, jaxnet
        >>> one_pixel = jnp.zeros((1, 784)).at[0, 300].set(5.0)
        >>> jaxnet.training.locality((jaxnet.Layer(one_pixel, jnp.zeros(1)),)).item()
        0.0
    """
    power = _grids(params) ** 2
    side = power.shape[1]
    place = jnp.arange(side, dtype=power.dtype)[None, :] / side
    total = 0
    for profile in (power.sum(1), power.sum(2)):  # of columns, of rows
        mass = profile.sum(1)
        center = (profile * place).sum(1) / jnp.where(mass > 0, mass, 1)
        total += (profile * (place - center[:, None]) ** 2).sum()
    return jnp.asarray(total)


def _grids(params: Params) -> Float[Array, "neurons side side"]:
    w = jnp.asarray(params[0][0])
    side = math.isqrt(w.shape[1])
    if side**2 != w.shape[1]:
        raise ValueError(
            f"Expected a network of square images, such as 784 inputs; got {w.shape[1]} instead."
        )
    return w.reshape(-1, side, side)
