"""The loss landscape: curvature, and the path from one network to another."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from jaxnet._util.sharding import on_own_mesh
from jaxnet.network import Layer, Params
from jaxnet.training import Loss, loss
from jaxnet.training._loops import scored
from jaxnet.training._loss import Images


def hessian_vector_product(
    params: Params,
    direction: Params,
    images: Images,
    labels: Any,
    *,
    loss: Loss = loss,
) -> Params:
    """The Hessian of the loss times a direction, at the cost of two gradients.

    The 13,002 × 13,002 Hessian itself is never computed.

    Args:
        params, images, labels, loss: as for `jaxnet.evaluate`.
        direction: a pytree like `params`.

    Returns:
        The product, a pytree like `params`: the rate at which the gradient changes along the
        direction.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 100)
        >>> params = jaxnet.pretrained()
        >>> hv = jaxnet.analysis.hessian_vector_product(params, params, images, labels)
        >>> hv[0].weights.shape
        (16, 784)

    Source: Pearlmutter, "Fast exact multiplication by the Hessian", 1994.
    """

    def product(params: Params, direction: Params, images: Images, labels: Any) -> Params:
        slope = jax.grad(lambda p: scored(loss, p, images, labels, None)[0])
        return jax.jvp(slope, (params,), (direction,))[1]

    return on_own_mesh(product)(params, direction, images, labels)


def top_hessian_eigenvalue(
    key: Key[Array, ""],
    params: Params,
    images: Images,
    labels: Any,
    *,
    n_iterations: int = 100,
    loss: Loss = loss,
) -> tuple[Float[Array, ""], Params]:
    """The Hessian's eigenvalue of largest magnitude and its eigenvector, by power iteration.

    Gradient descent with a learning rate above 2 / eigenvalue diverges from a minimum.

    Args:
        key: from `jax.random.key`; draws the initial direction.
        params, images, labels, loss: as for `jaxnet.evaluate`.
        n_iterations: the number of Hessian-vector products.

    Returns:
        The eigenvalue, negative where the steepest curvature is downward; and its eigenvector, a
        pytree like `params` with norm 1.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 100)
        >>> value, direction = jaxnet.analysis.top_hessian_eigenvalue(
        ...     jax.random.key(1), jaxnet.pretrained(), images, labels, n_iterations=20
        ... )
        >>> bool(value > 0)
        True

    Source: power iteration, von Mises and Pollaczek-Geiringer, 1929.
    """

    def step(direction: Params, _: None) -> tuple[Params, Array]:
        hv = hessian_vector_product(params, direction, images, labels, loss=loss)
        value = jnp.asarray(optax.tree.vdot(direction, hv))
        return optax.tree.scale(1 / jnp.maximum(optax.tree.norm(hv), 1e-30), hv), value

    start = optax.tree.random_like(key, params, jax.random.normal)
    start = optax.tree.scale(1 / optax.tree.norm(start), start)
    direction, values = jax.lax.scan(step, start, length=n_iterations)
    return values[-1], direction


def interpolate(one: Params, other: Params, n: int) -> Params:
    """Interpolates linearly between two networks, both ends included.

    Args:
        one, other: networks of one shape.
        n: the number of networks, at least 2; static under `jit`.

    Returns:
        An ensemble: each array has a leading axis of length `n`.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 100)
        >>> one, other = map(jaxnet.init, jax.random.split(jax.random.key(1)))
        >>> networks = jaxnet.analysis.interpolate(one, other, 25)
        >>> scores = jax.vmap(jaxnet.evaluate, in_axes=(0, None, None))
        >>> scores(networks, images, labels).cost.shape
        (25,)

    Source: Goodfellow, Vinyals and Saxe, "Qualitatively characterizing neural network
    optimization problems", 2014.
    """

    def between(t: Array) -> Params:
        return jax.tree.map(
            lambda a, b: (1 - t).astype(a.dtype) * a + t.astype(b.dtype) * b, one, other
        )

    return jax.vmap(between)(jnp.linspace(0, 1, n))


def match_neurons(params: Params, like: Params) -> Params:
    """Permutes a network's hidden neurons to match another network's as closely as possible.

    Permuting the neurons within a hidden layer does not change the outputs, and two networks that
    learned the same features have them in different orders. Finding the best permutation is
    NP-hard; this is a local optimum, which no change to a single layer improves. Runs on the host,
    not under `jit`.

    Args:
        params: the network to permute.
        like: a network of the same shape.

    Returns:
        The permuted network, which computes the same function as `params`.

    Raises:
        ValueError: the networks differ in shape.

    Example:
        >>> import jax, jaxnet
        >>> one, other = map(jaxnet.init, jax.random.split(jax.random.key(1)))
        >>> x = jax.random.uniform(jax.random.key(2), (784,))
        >>> a, b = (jaxnet.forward(p, x) for p in (one, jaxnet.analysis.match_neurons(one, other)))
        >>> bool(abs(a - b).max() < 1e-6)
        True

    Source: Ainsworth, Hayase and Srinivasa, "Git Re-Basin", 2022, algorithm 1.
    """
    if [np.shape(w) for w, _ in params] != [np.shape(w) for w, _ in like]:
        raise ValueError(
            "Expected two networks of one shape; got weights of "
            f"{[np.shape(w) for w, _ in params]} and {[np.shape(w) for w, _ in like]} instead."
        )
    from scipy.optimize import linear_sum_assignment  # slow to import

    # Use float64: the sums of products may overflow the networks' own type.
    old, goal = (
        [[np.asarray(a, np.float64) for a in layer] for layer in p] for p in (params, like)
    )
    n_hidden = len(old) - 1

    def permuted(layers: Any, orders: list[Any]) -> list[tuple[Any, Any]]:
        before = [slice(None), *orders]
        return [
            (w[:, i][o], b[o])
            for (w, b), i, o in zip(layers, before, [*orders, slice(None)], strict=True)
        ]

    def optimized(orders: list[Any], *, forward_only: bool = False) -> list[Any]:
        """Optimizes one layer at a time until none improves; the similarity only grows."""
        improved = True
        while improved:
            improved = False
            for n in range(n_hidden):
                layers = permuted(old, orders)
                w, b = layers[n]
                products = goal[n][0] @ w.T + np.outer(goal[n][1], b)
                if not forward_only:
                    products += goal[n + 1][0].T @ layers[n + 1][0]
                _, order = linear_sum_assignment(products, maximize=True)
                if products[:, order].trace() - products.trace() > 1e-9 * np.abs(products).sum():
                    orders = [*orders[:n], orders[n][order], *orders[n + 1 :]]
                    improved = not forward_only
        return orders

    def similarity(orders: list[Any]) -> float:
        pairs = zip(permuted(old, orders), goal, strict=True)
        return sum((a * b).sum() for layer, aim in pairs for a, b in zip(layer, aim, strict=True))

    # Keep the better of two local optima, from different starts.
    start = [np.arange(len(b)) for _, b in old[:-1]]
    found = optimized(start), optimized(optimized(start, forward_only=True))
    return tuple(Layer(w, b) for w, b in permuted(params, max(found, key=similarity)))
