"""The optax transformations that need more than the gradient of a batch.

Nearly all take the mean gradient and the weights. Some also need the cost function, one needs the
gradient of each image, and two train weights other than those to evaluate.

Source: the docstrings of `optax` and `optax.contrib`, which state what each expects.
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.core import eval_context


def update(
    optimizer: Any,
    gradient: Any,
    opt_state: Any,
    params: Any,
    *,
    value: Any,
    cost_of: Callable[[Any], Any],
) -> tuple[Any, Any]:
    """Calls `optimizer.update` with exactly the extra arguments that it takes."""
    offered: dict[str, Any] = {"value": value, "grad": gradient, "value_fn": cost_of}
    # These reject other extra arguments, even inside a chain; line searches reject theirs.
    if _find(opt_state, optax.contrib.SAMState):
        offered = {"grad_fn": lambda params, _: jax.grad(cost_of)(params)}
    elif _find(opt_state, optax.contrib.HutchinsonState):
        offered = {"obj_fn": cost_of}
    takes = inspect.signature(optimizer.update).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in takes.values()):
        offered = {name: extra for name, extra in offered.items() if name in takes}
    return optimizer.update(gradient, opt_state, params, **offered)


def wants_each_gradient(opt_state: Any) -> bool:
    """Whether an optimizer clips the gradient of each image, for differential privacy."""
    return bool(_find(opt_state, optax.contrib.DifferentiallyPrivateAggregateState))


def is_lookahead(opt_state: Any) -> bool:
    """Whether an optimizer keeps fast weights and slow ones."""
    return bool(_find(opt_state, optax.LookaheadState))


def trained(params: Any) -> Any:
    """The weights to differentiate with respect to: all, or lookahead's fast ones."""
    return params.fast if isinstance(params, optax.LookaheadParams) else params


def evaluated(params: Any, opt_state: Any) -> Any:
    """The weights to evaluate: lookahead's slow ones, schedule-free averages, or all."""
    if isinstance(params, optax.LookaheadParams):
        return params.slow
    for averages in _find(opt_state, optax.contrib.ScheduleFreeState):
        return optax.contrib.schedule_free_eval_params(averages, params)
    return params


def check_float16(optimizer: Any, params: Any) -> None:
    """Raises where an optimizer divides zero by zero, as Adam does in float16."""
    leaves = jax.tree.leaves(params)
    if not any(leaf.dtype == jnp.float16 for leaf in leaves):
        return
    with eval_context():  # eagerly, even while `fit` is traced
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), params)
        try:
            updates, _ = optimizer.update(trained(zeros), optimizer.init(zeros), zeros)
            nan = any(bool(jnp.isnan(leaf).any()) for leaf in jax.tree.leaves(updates))
        except (TypeError, ValueError, jax.errors.UnexpectedTracerError):
            return  # it needs more than a gradient, or was made from traced values
    if nan:
        raise ValueError(
            "Expected an optimizer that works in float16; this one turns a gradient of zero into "
            "NaN, since its epsilon underflows. Use a larger one, as optax.adam(rate, eps=1e-4), "
            "or bfloat16; or train in float32, and compute in float16: MeanCost(network=…)."
        )


def _find(tree: Any, kind: type) -> list[Any]:
    """The subtrees of a given type."""
    leaves = jax.tree.leaves(tree, is_leaf=lambda part: isinstance(part, kind))
    return [leaf for leaf in leaves if isinstance(leaf, kind)]
