"""How much of a neuron's weights is an edge: the best-fitting `jaxnet.design.edge`."""

import math
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from jaxnet._util.sharding import vary_like
from jaxnet.design import edge
from jaxnet.network import SIDE

_STEPS = 40  # of the refinement; it converges in about twenty
_ANGLES, _LENGTHS, _WIDTHS, _SPACING = 12, (5.0, 9.0, 16.0), (3.0, 5.0, 8.0), 3  # of the grid


class EdgeFit(NamedTuple):
    """The edge that comes nearest to a neuron's weights.

    Attributes:
        x, y: the center, in pixels, 0 to `side - 1`.
        angle: in radians, 0 to below π.
        length, width: in pixels, as for `jaxnet.design.edge`.
        gain: what the edge is multiplied by; negative for an edge that the neuron dislikes.
        explained: R², the share of the weights' squares that the edge accounts for, 0 to 1.
    """

    x: Float[Array, ""]
    y: Float[Array, ""]
    angle: Float[Array, ""]
    length: Float[Array, ""]
    width: Float[Array, ""]
    gain: Float[Array, ""]
    explained: Float[Array, ""]


def edge_fit(
    weights: Float[Array, " pixels"], importance: Float[Array, " pixels"] | None = None
) -> EdgeFit:
    """Fits an edge detector to a neuron's weights, and says how much of them it explains.

    R² = 1 - Σ v (w - gain · edge)² / Σ v w², with the importance v of each pixel. Of a grid of
    edges the best of each size and sign are refined by the Levenberg-Marquardt method.
    Deterministic. Map over neurons with `jax.vmap`. Differentiable, by the implicit derivative of
    the optimum.

    Args:
        weights: one row of the first layer, shape `(side²,)`, side at least 4.
        importance: how much each pixel counts, none negative, such as its variance in digits, so
            that the weights of pixels that are always black do not count; by default all alike.

    Returns:
        The fitted edge and R². For weights that are all 0, R² is 0.

    Raises:
        ValueError: weights that are not a square image, or another shape of importance.

    Example:
        >>> import jax, jaxnet
        >>> fits = jax.vmap(jaxnet.analysis.edge_fit)(jaxnet.handmade()[0].weights)
        >>> fits.explained.shape, bool(fits.explained[0] > 0.999)  # the first is an edge
        ((16,), True)

    Source: Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", 1963.
    """
    w = jnp.asarray(weights).astype(jnp.float32)  # as `edge` is
    side = math.isqrt(w.size)
    if w.ndim != 1 or side < 4 or side**2 != w.size:
        raise ValueError(
            "Expected the weights of one neuron on a square image of 16 pixels or more, such as "
            f"shape (784,); got {w.shape} instead. For a layer use "
            "jax.vmap(edge_fit)(layer.weights)."
        )
    v = jnp.ones_like(w) if importance is None else jnp.asarray(importance).astype(w.dtype)
    if v.shape != w.shape:
        raise ValueError(f"Expected importance of shape {w.shape}; got {v.shape} instead.")
    scale = jnp.sqrt(jnp.maximum(v, 0) / jnp.maximum((v * w**2).sum(), 1e-30))
    target = scale * w  # of length 1, so that 1 - R² is the squared distance from it
    free = _optimum(target, scale, side)
    x, y, angle, length, width = _place(free, side)
    pattern = _pattern(free, scale, side)
    gain = (pattern @ target) / jnp.maximum(pattern @ pattern, 1e-30)
    explained = 1 - ((target - gain * pattern) ** 2).sum()
    return EdgeFit(x, y, angle % jnp.pi, length, width, gain, jnp.where(w.any(), explained, 0))


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _optimum(target: Array, scale: Array, side: int) -> Array:
    """The unbounded numbers of the best edge, with the derivatives of the optimum."""
    return _refined(target, scale, side)


@_optimum.defjvp
def _implicit_derivative(side: int, primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> Any:
    """Differentiates the optimum by the implicit function theorem."""
    free = _optimum(*primals, side)

    def distance(free: Array, target: Array, scale: Array) -> Array:
        return (_residual(free, target, scale, side) ** 2).sum()

    _, change_of_slope = jax.jvp(partial(jax.grad(distance), free), primals, tangents)
    curvature = jax.hessian(distance)(free, *primals)
    damped = curvature + 1e-6 * jnp.eye(free.size, dtype=free.dtype)
    return free, -jnp.linalg.solve(damped, change_of_slope)


def _refined(target: Array, scale: Array, side: int) -> Array:
    """The unbounded numbers of the best edge, from several starts."""
    grid = jnp.asarray(_grid(side))

    def drawn(free: Array) -> Array:
        return _pattern(free, jnp.ones_like(scale), side)

    # All edges of the grid are drawn once, for any number of neurons. The best of each size and
    # sign: a strong lobe beside an edge looks like another edge.
    edges = jax.lax.map(drawn, grid.reshape(-1, 5), batch_size=256)
    lengths = jnp.sqrt(jnp.maximum(edges**2 @ scale**2, 1e-30))
    matches = (edges @ (scale * target) / lengths).reshape(grid.shape[:2])
    best = jnp.stack([matches.argmax(1), matches.argmin(1)], 1)
    starts = jnp.take_along_axis(grid, best[:, :, None], 1).reshape(-1, 5)
    found = jax.vmap(lambda free: _descend(free, target, scale, side))(starts)
    distances = jax.vmap(lambda free: (_residual(free, target, scale, side) ** 2).sum())(found)
    return found[jnp.argmin(distances)]


def _descend(free: Array, target: Array, scale: Array, side: int) -> Array:
    """Levenberg-Marquardt steps; one that does not improve only shortens the next."""
    residual = partial(_residual, target=target, scale=scale, side=side)

    def step(carry: tuple[Array, Array, Array], _: None) -> tuple[Any, None]:
        free, damping, best = carry
        r, jacobian = residual(free), jax.jacfwd(residual)(free)
        curvature = jacobian.T @ jacobian
        damped = curvature + damping * jnp.diag(jnp.diag(curvature) + 1e-6)
        moved = free - jnp.linalg.solve(damped, jacobian.T @ r).clip(-1, 1)
        distance = (residual(moved) ** 2).sum()
        better = distance < best
        damping = jnp.where(better, damping / 3, damping * 4).clip(1e-7, 1e7)
        return (jnp.where(better, moved, free), damping, jnp.minimum(distance, best)), None

    start = free, jnp.asarray(1e-2, free.dtype), (residual(free) ** 2).sum()
    start = vary_like(start, target)
    return jax.lax.scan(step, start, length=_STEPS)[0][0]


def _residual(free: Array, target: Array, scale: Array, side: int) -> Array:
    """What the best multiple of an edge leaves of the target."""
    pattern = _pattern(free, scale, side)
    return target - (pattern @ target) / jnp.maximum(pattern @ pattern, 1e-30) * pattern


def _pattern(free: Array, scale: Array, side: int) -> Array:
    x, y, angle, length, width = _place(free, side)
    return scale * edge(x, y, angle, length=length, width=width, side=side)


def _place(free: Array, side: int) -> Array:
    """An edge's place and size within the bounds of `jaxnet.design.edge`."""
    low, high = _bounds(side)
    within = low + (high - low) * jax.nn.sigmoid(free)
    return jnp.where(jnp.arange(5) == 2, free, within)  # the angle is unbounded


def _bounds(side: int) -> tuple[NDArray[Any], NDArray[Any]]:
    low, high = (0, 0, 0, 1, 2), (side - 1, side - 1, 1, 2 * side, side / 2)
    return np.array(low, np.float32), np.array(high, np.float32)


def _grid(side: int) -> NDArray[Any]:
    """The unbounded numbers of edges of several sizes at many places, `(sizes, places, 5)`."""
    low, high = _bounds(side)
    centers = np.arange(1, side - 1, max(1, _SPACING * side // SIDE))
    angles = np.arange(_ANGLES) * np.pi / _ANGLES
    sizes = [*product(*(np.array(sizes) * side / SIDE for sizes in (_LENGTHS, _WIDTHS)))]
    places = [*product(centers, centers, angles)]
    grid = np.array([[(*place, *size) for place in places] for size in sizes], np.float32)
    share = ((grid - low) / (high - low)).clip(0.02, 0.98)
    return np.where(np.arange(5) == 2, grid, np.log(share / (1 - share))).astype(np.float32)
