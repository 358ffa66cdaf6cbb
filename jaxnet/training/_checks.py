"""Validation of what training is given, before it is traced or compiled."""

import operator
from typing import Any, SupportsIndex

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.sharding import NamedSharding

from jaxnet._util.pixels import check_range
from jaxnet._util.sharding import n_shards
from jaxnet.network import SIZES, check
from jaxnet.training import _optimizers
from jaxnet.training._costs import cross_entropy, quadratic_cost
from jaxnet.training._loss import Loss, MeanCost


def check_examples(images: Any, labels: Any) -> int:
    """Raises unless images and labels are arrays with one row per image; returns their number."""
    for name, tree in (("images", images), ("labels", labels)):
        for array in jax.tree.leaves(tree) or [tree]:
            is_array = isinstance(array, np.ndarray | jax.Array)
            if not is_array or array.dtype.kind in "OSUMm":
                got = type(tree if isinstance(tree, list) else array).__name__
                got += f" of {array.dtype}" if is_array else ""
                also = ", or a pytree of them" if name == "labels" else ""
                raise TypeError(
                    f"Expected {name} as a NumPy or JAX array of numbers{also}; got {got} instead. "
                    f"Use jax.numpy.asarray({name})."
                )
            if isinstance(array, np.ndarray) and not array.dtype.isnative:
                raise ValueError(
                    f"Expected {name} in this machine's byte order; got {array.dtype.str} instead. "
                    f"Use {name}.astype({name}.dtype.newbyteorder('='))."
                )
    n = images.shape[0] if images.ndim else 0
    try:
        chex.assert_rank(images, 2)
        chex.assert_tree_shape_prefix(labels, (n,))
    except AssertionError as error:
        shapes = jax.tree.map(jnp.shape, labels)
        raise ValueError(
            "Expected images of shape (n, 784) and one label per image; "
            f"got {images.shape} and {shapes} instead."
        ) from error
    return n


def check_batch_size(batch_size: SupportsIndex, n: int, sharding: NamedSharding | None) -> int:
    """The batch size as an int, if it fits the images and the devices."""
    if jax.export.is_symbolic_dim(n):
        raise ValueError(
            f"Expected a known number of images, since it sets the number of steps; got {n}. "
            "Export a train_step of a symbolic batch instead, and loop around it."
        )
    batch_size = operator.index(batch_size)
    if not 1 <= batch_size <= n:
        raise ValueError(f"Expected batch_size from 1 to the {n} images; got {batch_size} instead.")
    if batch_size % (k := n_shards(sharding)):
        raise ValueError(
            f"Expected a batch_size that {k} devices can share equally; got {batch_size} instead. "
            "To replicate the batches, pass sharding=NamedSharding(mesh, PartitionSpec())."
        )
    return batch_size


def check_optimizer(optimizer: Any, params: Any, opt_state: Any = None) -> None:
    """Raises unless an optax optimizer can train params, from its own state if there is one."""
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        name = getattr(optimizer, "__name__", None)
        got = f"the function {name}, not called" if name else repr(optimizer)
        raise TypeError(
            "Expected an optimizer that optax has made, such as optax.adam(0.01); "
            f"got {got:.60} instead."
        )
    floats = [a for a in jax.tree.leaves(params) if jnp.issubdtype(a.dtype, jnp.floating)]
    if any(jnp.finfo(a.dtype).bits < 16 for a in floats):
        raise TypeError(
            "Expected params of 16 bits or more; got float8. Train in float32 and round the "
            "weights on use, as examples/straight_through.py does."
        )
    expected = jax.eval_shape(optimizer.init, params)
    if _optimizers.is_lookahead(expected) and not isinstance(params, optax.LookaheadParams):
        raise TypeError(
            "Expected params=optax.LookaheadParams.init_synced(params), since lookahead keeps two "
            f"sets of weights; got a plain {type(params).__name__} instead."
        )
    if opt_state is None:
        return
    try:
        chex.assert_trees_all_equal_shapes_and_dtypes(opt_state, expected)
    except AssertionError as error:
        raise ValueError(
            "Expected a state of this optimizer for these params; got another. Pass the optimizer "
            "that made it, or TrainState(params, optimizer.init(params))."
        ) from error


def check_pixels(images: Any) -> None:
    """Raises for floats outside 0 to 1, where their values are known."""
    if _is_known(images):
        check_range(images, 0, "that is to be trained on other values, pass check_range=False")


def check_labels(
    loss: Loss, params: Any, images: Any, labels: Any, *, in_loop: bool = False
) -> None:
    """Raises for labels without an output, where their values are known and the loss is ours."""
    # In a caller's training loop, checks NumPy arrays only: an array on a device would block.
    if not isinstance(loss, MeanCost) or loss.cost not in (cross_entropy, quadratic_cost):
        return
    labels, weights = loss.split(labels, images.shape[0])
    if not isinstance(labels, np.ndarray if in_loop else np.ndarray | jax.Array):
        return
    if labels.ndim != 1 or not labels.size or not _is_known(labels) or not _is_known(weights):
        return
    last = SIZES[-1] - 1
    if params is not None:
        network = jax.eval_shape(lambda: loss.built(_optimizers.trained(params)))
        check(network, jax.ShapeDtypeStruct(images.shape[1:], jnp.float32))
        last = max(network[-1][1].size, 2) - 1
    values, weights = jax.device_get((labels, weights))  # explicitly, for jax.transfer_guard
    bad = ((values < 0) | (values > last)) & (weights != 0)
    if bad.any():
        at = int(bad.argmax())
        raise ValueError(
            f"Expected labels from 0 to {last}, one per output; got {values[at]} for image {at} "
            "instead. To ignore an image, give it the weight 0: see MeanCost(weighted=True)."
        )


def _is_known(a: Any) -> bool:
    """Whether the values of an array can be looked at, here and now."""
    return not isinstance(a, Tracer) and getattr(a, "is_fully_addressable", True)
