"""What each image does to the network: gradients one by one, and who taught it what."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import sigmoid
from jax.scipy.sparse.linalg import cg
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxnet._sharding import lacks_mesh, map_rows, on_mesh_of, sharding_of, vary_like
from jaxnet.costs import check_examples
from jaxnet.network import Image, Params, Squash, logits
from jaxnet.training import Cost, Images, Labels, cross_entropy, mean_cost, unit


def per_example(
    params: Params,
    images: Images,
    labels: Labels,
    *,
    batch_size: int = 256,
    keep: Callable[[Any], Any] = lambda gradient: gradient,
    cost: Cost = cross_entropy,
    squash: Squash = sigmoid,
) -> Any:
    """The gradient of each image's cost by itself.

    A gradient is as large as the network: of 60,000 images they take 3 GB. If only a number
    of each matters, `keep` it: no more than `batch_size` gradients then exist at a time. Called
    often, it is best compiled by `jax.jit`.

    Args:
        params, images, labels, cost, squash: as for `jaxnet.training.mean_cost`.
        batch_size: gradients computed together.
        keep: what to keep of each gradient, such as `optax.tree.norm`; all of it, if not given.

    Returns:
        What `keep` returns, every array with an axis of `n` in front.

    Raises:
        TypeError, ValueError: as `jaxnet.training.mean_cost`.

    Example:
        >>> import jax, jaxnet, optax
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(0), 100)
        >>> jaxnet.gradients.per_example(
        ...     jaxnet.pretrained(), images, labels, keep=optax.tree.norm
        ... ).shape
        (100,)
    """
    check_examples(images, labels)
    examples, sharding = (jnp.asarray(images), jnp.asarray(labels)), sharding_of(images)

    def gradient_of(params: Params, *examples: Array) -> Any:
        def one(x: Array, y: Array) -> Any:
            # In a shard_map: or the gradients of the devices' images would be added up.
            own = vary_like(params, (x, y))
            return keep(jax.grad(mean_cost)(own, x[None], y[None], cost=cost, squash=squash))

        with on_mesh_of(params, *examples):
            return map_rows(one, examples, batch_size=batch_size, sharding=sharding)

    return (jax.jit(gradient_of) if lacks_mesh(params, examples) else gradient_of)(
        params, *examples
    )


def influence(
    params: Params,
    images: Images,
    labels: Labels,
    x: Image,
    y: ArrayLike,
    *,
    damping: float = 0.01,
    n_iterations: int = 100,
    cost: Cost = cross_entropy,
    squash: Squash = sigmoid,
) -> Float[Array, " n"]:
    """How much each training image helped the network to read another one.

    To first order, and as if the network had learnt to the end: the other image's cost would
    rise by this much, had the training image been left out. The curvature of the mean cost
    is approximated by Gauss and Newton's, where no direction curves down as long as the cost
    is convex in the logits, as the cross-entropy is, and the quadratic cost is not. Called
    often, it is best compiled by `jax.jit`.

    Args:
        params: the trained network.
        images, labels: what it was trained on.
        x: one image, shape `(784,)`, from 0 to 1, that it was not trained on.
        y: what that one shows.
        damping: added to the curvature in every direction, and so the weight of half the
            squared distance from `params`; the less, the longer the search.
        n_iterations: of conjugate gradients, at most.
        cost: convex in the logits.
        squash: as for `jaxnet.training.mean_cost`.

    Returns:
        Shape `(n,)`, in the units of the cost; positive where the image helped.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(0), 100)
        >>> jaxnet.gradients.influence(
        ...     jaxnet.pretrained(), images, labels, images[0], labels[0]
        ... ).shape
        (100,)

    Source: Koh and Liang, "Understanding black-box predictions via influence functions", 2017;
    Schraudolph, "Fast curvature matrix-vector products", 2002.
    """
    images, labels = unit(images), jnp.asarray(labels)

    def outputs(params: Params) -> Array:
        return jax.vmap(lambda x: logits(params, x, squash=squash))(images)

    def costs(z: Array) -> Array:
        return jax.vmap(cost)(z, labels)

    def curvature(direction: Params) -> Params:
        z, z_dot = jax.jvp(outputs, (params,), (direction,))
        slope_dot = jax.jvp(jax.grad(lambda z: costs(z).mean()), (z,), (z_dot,))[1]
        (product,) = jax.vjp(outputs, params)[1](slope_dot)
        return jax.tree.map(lambda p, d: p + damping * d, product, direction)

    slope = jax.grad(lambda p: cost(logits(p, jnp.asarray(x), squash=squash), y))(params)
    direction, _ = cg(curvature, slope, tol=1e-6, maxiter=n_iterations)
    return jax.jvp(lambda p: costs(outputs(p)), (params,), (direction,))[1] / len(images)
