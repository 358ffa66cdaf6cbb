"""Per-example gradients and influence functions."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.scipy.sparse.linalg import cg
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxnet._util.pixels import unit
from jaxnet._util.sharding import map_rows, on_own_mesh, sharding_of, vary_like
from jaxnet.network import Image, Params, logits
from jaxnet.training import Loss, MeanCost, loss
from jaxnet.training._checks import check_examples
from jaxnet.training._loops import scored
from jaxnet.training._loss import Images


def per_example_gradients(
    params: Params,
    images: Images,
    labels: Any,
    *,
    batch_size: int = 256,
    keep: Callable[[Any], Any] = lambda gradient: gradient,
    loss: Loss = loss,
) -> Any:
    """The gradient of the loss on each image by itself.

    A gradient is as large as the network, so the gradients of 60,000 images take 3 GB. If you
    need only a summary of each, such as its norm, pass a function that computes it as `keep`; then
    at most `batch_size` gradients exist at a time. Wrap calls in `jax.jit` if you make many.

    Args:
        params, images, labels, loss: as for `jaxnet.evaluate`; the loss gets one image at a time.
        batch_size: the number of gradients computed together.
        keep: maps one gradient to what is kept of it, for example `optax.tree.norm`; by default,
            all of it.

    Returns:
        The results of `keep`, each array stacked along a leading axis of length `n`.

    Raises:
        TypeError, ValueError: as for `jaxnet.training.train_epoch`.

    Example:
        >>> import jax, jaxnet, optax
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 100)
        >>> jaxnet.analysis.per_example_gradients(
        ...     jaxnet.pretrained(), images, labels, keep=optax.tree.norm
        ... ).shape
        (100,)
    """
    check_examples(images, labels)
    examples, sharding = jax.tree.map(jnp.asarray, (images, labels)), sharding_of(images)

    def gradient_of(params: Params, *examples: Any) -> Any:
        def one(x: Array, y: Any) -> Any:
            # In a shard_map, JAX would otherwise sum the gradients over the devices.
            own, label = vary_like(params, (x, y)), jax.tree.map(lambda a: a[None], y)
            return keep(jax.grad(lambda p: scored(loss, p, x[None], label, None)[0])(own))

        return map_rows(one, examples, batch_size=batch_size, sharding=sharding)

    return on_own_mesh(gradient_of)(params, *examples)


def influence(
    params: Params,
    images: Images,
    labels: Any,
    x: Image,
    y: ArrayLike,
    *,
    damping: float = 0.01,
    n_iterations: int = 100,
    loss: MeanCost = loss,
) -> Float[Array, " n"]:
    """How much each training image helped the network classify another image.

    Estimates how much the cost of the other image would rise if the training image were left out
    and the network trained to convergence, to first order. The Hessian of the mean cost is
    approximated by the Gauss-Newton matrix, which is positive semidefinite if the cost is convex
    in the logits: cross-entropy is, the quadratic cost is not. Wrap calls in `jax.jit` if you make
    many.

    Args:
        params: the trained network.
        images, labels: its training set.
        x: one image outside the training set, shape `(784,)`, values 0 to 1.
        y: its label.
        damping: added to the diagonal of the Gauss-Newton matrix, which amounts to a penalty of
            half the squared distance from `params`, times this; smaller values need more
            iterations.
        n_iterations: the maximum number of conjugate gradient iterations.
        loss: a `MeanCost` whose cost is convex in the logits.

    Returns:
        Shape `(n,)`, in the units of the cost; positive for images that helped.

    Raises:
        TypeError: another loss, or one with image weights.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 100)
        >>> jaxnet.analysis.influence(
        ...     jaxnet.pretrained(), images, labels, images[0], labels[0]
        ... ).shape
        (100,)

    Source: Koh and Liang, "Understanding black-box predictions via influence functions", 2017;
    Schraudolph, "Fast curvature matrix-vector products", 2002.
    """
    if getattr(loss, "weighted", True):
        raise TypeError("Expected loss as a MeanCost without image weights; got another.")

    def estimate(params: Params, images: Images, labels: Any, x: Image, y: ArrayLike) -> Array:
        images, labels = unit(images), jax.tree.map(jnp.asarray, labels)

        def outputs(params: Params, images: Array = images) -> Array:
            return jax.vmap(lambda x: logits(loss.built(params), x, squash=loss.squash))(images)

        def costs(z: Array) -> Array:
            return jax.vmap(loss.cost)(z, labels)

        def curvature(direction: Params) -> Params:
            z, z_dot = jax.jvp(outputs, (params,), (direction,))
            slope_dot = jax.jvp(jax.grad(lambda z: costs(z).mean()), (z,), (z_dot,))[1]
            (product,) = jax.vjp(outputs, params)[1](slope_dot)
            return jax.tree.map(lambda p, d: p + damping * d, product, direction)

        slope = jax.grad(lambda p: loss.cost(outputs(p, jnp.asarray(x)[None])[0], y))(params)
        direction, _ = cg(curvature, slope, tol=1e-6, maxiter=n_iterations)
        each, change = jax.jvp(lambda p: costs(outputs(p)), (params,), (direction,))
        # Conjugate gradients do not begin where a label or a pixel is NaN, and return zeros.
        bad = jnp.isnan(each.sum() + optax.tree.sum(slope))
        return jnp.where(bad, jnp.nan, change / len(images))

    return on_own_mesh(estimate)(params, images, labels, x, y)
