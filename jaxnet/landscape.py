"""The cost seen as a landscape over the weights and biases: its curvature, and ways across."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.nn import sigmoid
from jaxtyping import Array, Float, Key

from jaxnet.network import Layer, Params, Squash
from jaxnet.training import Cost, Images, Labels, cross_entropy, mean_cost


def hessian_vector_product(
    params: Params,
    direction: Params,
    images: Images,
    labels: Labels,
    *,
    cost: Cost = cross_entropy,
    squash: Squash = sigmoid,
) -> Params:
    """How the gradient of the mean cost changes along a direction, for the price of two.

    Args:
        params, images, labels, cost, squash: as for `jaxnet.training.mean_cost`.
        direction: a tree like `params`.

    Returns:
        A tree like `params`: the Hessian, 13,002 by 13,002 and never written down, times it.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(0), 100)
        >>> params = jaxnet.pretrained()
        >>> hv = jaxnet.landscape.hessian_vector_product(params, params, images, labels)
        >>> hv[0].weights.shape
        (16, 784)

    Source: Pearlmutter, "Fast exact multiplication by the Hessian", 1994.
    """
    slope = jax.grad(partial(mean_cost, cost=cost, squash=squash))
    return jax.jvp(lambda p: slope(p, images, labels), (params,), (direction,))[1]


def largest_curvature(
    key: Key[Array, ""],
    params: Params,
    images: Images,
    labels: Labels,
    *,
    n_iterations: int = 100,
    cost: Cost = cross_entropy,
    squash: Squash = sigmoid,
) -> tuple[Float[Array, ""], Params]:
    """The Hessian's eigenvalue of greatest magnitude, and its direction, by power iteration.

    Gradient descent with a greater rate than two over it cannot settle here.

    Args:
        key: from `jax.random.key`; draws the direction to begin with.
        params, images, labels, cost, squash: as for `jaxnet.training.mean_cost`.
        n_iterations: products with the Hessian.

    Returns:
        The eigenvalue, negative where the cost curves down most; and a tree like `params`,
        of length 1.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(0), 100)
        >>> value, direction = jaxnet.landscape.largest_curvature(
        ...     jax.random.key(1), jaxnet.pretrained(), images, labels, n_iterations=20
        ... )
        >>> bool(value > 0)
        True

    Source: von Mises and Pollaczek-Geiringer, 1929.
    """
    product = partial(hessian_vector_product, cost=cost, squash=squash)

    def step(direction: Params, _: None) -> tuple[Params, Array]:
        turned = product(params, direction, images, labels)
        value = jnp.asarray(optax.tree.vdot(direction, turned))
        return optax.tree.scale(1 / jnp.maximum(optax.tree.norm(turned), 1e-30), turned), value

    start = optax.tree.random_like(key, params, jax.random.normal)
    start = optax.tree.scale(1 / optax.tree.norm(start), start)
    direction, values = jax.lax.scan(step, start, length=n_iterations)
    return values[-1], direction


def line(one: Params, other: Params, n: int) -> Params:
    """The networks on the straight line from one to another, ends included.

    Args:
        one, other: networks of one shape.
        n: how many, two at least; static under `jit`.

    Returns:
        An ensemble: each array has an axis of `n` in front.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(0), 100)
        >>> one, other = map(jaxnet.init, jax.random.split(jax.random.key(1)))
        >>> networks = jaxnet.landscape.line(one, other, 25)
        >>> over = jax.vmap(jaxnet.training.mean_cost, in_axes=(0, None, None))
        >>> over(networks, images, labels).shape
        (25,)

    Source: Goodfellow, Vinyals and Saxe, "Qualitatively characterizing neural network
    optimization problems", 2014.
    """

    def between(t: Array) -> Params:
        return jax.tree.map(
            lambda a, b: (1 - t).astype(a.dtype) * a + t.astype(b.dtype) * b, one, other
        )

    return jax.vmap(between)(jnp.linspace(0, 1, n))


def matched(params: Params, like: Params) -> Params:
    """The same network, its hidden neurons put in an order close to another's.

    The order of the neurons within a hidden layer changes no answer, and two networks that
    learnt the same have it by chance. The best of all orders is hard to find; this one is
    where no layer alone can come closer. Runs on the host, not under `jit`.

    Args:
        params: the network to put in order.
        like: a network of the same shape.

    Returns:
        A network that answers as `params` does.

    Raises:
        ValueError: the two differ in shape.

    Example:
        >>> import jax, jaxnet
        >>> one, other = map(jaxnet.init, jax.random.split(jax.random.key(1)))
        >>> x = jax.random.uniform(jax.random.key(2), (784,))
        >>> a, b = (jaxnet.forward(p, x) for p in (one, jaxnet.landscape.matched(one, other)))
        >>> bool(abs(a - b).max() < 1e-6)
        True

    Source: Ainsworth, Hayase and Srinivasa, "Git Re-Basin", 2022, algorithm 1.
    """
    if [np.shape(w) for w, _ in params] != [np.shape(w) for w, _ in like]:
        raise ValueError(
            "Expected two networks of one shape; got weights of "
            f"{[np.shape(w) for w, _ in params]} and {[np.shape(w) for w, _ in like]} instead."
        )
    from scipy.optimize import linear_sum_assignment  # slow to import, and only used here

    # In float64, as sums of products may be beyond what the networks' own type can hold.
    old, goal = (
        [[np.asarray(a, np.float64) for a in layer] for layer in p] for p in (params, like)
    )
    n_hidden = len(old) - 1

    def ordered(layers: Any, orders: list[Any]) -> list[tuple[Any, Any]]:
        before = [slice(None), *orders]
        return [
            (w[:, i][o], b[o])
            for (w, b), i, o in zip(layers, before, [*orders, slice(None)], strict=True)
        ]

    def settled(orders: list[Any], *, forward_only: bool = False) -> list[Any]:
        """Each layer in turn, until none gains: the sum of products can only grow."""
        moved = True
        while moved:
            moved = False
            for n in range(n_hidden):
                layers = ordered(old, orders)
                w, b = layers[n]
                alike = goal[n][0] @ w.T + np.outer(goal[n][1], b)
                if not forward_only:
                    alike += goal[n + 1][0].T @ layers[n + 1][0]
                _, order = linear_sum_assignment(alike, maximize=True)
                if alike[:, order].trace() - alike.trace() > 1e-9 * np.abs(alike).sum():
                    orders = [*orders[:n], orders[n][order], *orders[n + 1 :]]
                    moved = not forward_only
        return orders

    def products(orders: list[Any]) -> float:
        pairs = zip(ordered(old, orders), goal, strict=True)
        return sum((a * b).sum() for layer, aim in pairs for a, b in zip(layer, aim, strict=True))

    # Two ways down, as either may end beside the best order.
    as_it_is = [np.arange(len(b)) for _, b in old[:-1]]
    ways = settled(as_it_is), settled(settled(as_it_is, forward_only=True))
    return tuple(Layer(w, b) for w, b in ordered(params, max(ways, key=products)))
