"""`fit` and the doors to its parts: validation of what comes in, then `_loops`."""

import operator
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.nn import sigmoid
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, Int, Key

from jaxnet._util.sharding import batch_sharding, n_shards, sharding_of
from jaxnet.network import SIZES, Params, Squash, check
from jaxnet.training import _loops, _optimizers
from jaxnet.training._costs import (
    Cost,
    Images,
    Labels,
    Weights,
    check_examples,
    check_known_labels,
    cross_entropy,
    quadratic_cost,
)
from jaxnet.training._loops import (
    Augment,
    Config,
    History,
    Network,
    Score,
    TrainState,
    identity_network,
)
from jaxnet.training._penalties import Penalty


def mean_cost(
    params: Any,
    images: Images,
    labels: Labels,
    *,
    cost: Cost = cross_entropy,
    squash: Squash = sigmoid,
    network: Network = identity_network,
    sample_weights: Weights | None = None,
) -> Float[Array, ""]:
    """The mean cost over images: the training objective, a function of 13,002 numbers.

    Args:
        params: the network.
        images: shape `(n, 784)`; floats from 0 to 1, or uint8 from 0 to 255.
        labels: their digits, shape `(n,)`; or anything that `cost` takes, one row per image.
        cost: of one image, from its logits and its label: any optax loss that is a scalar.
        squash: the hidden layers' activation function, as in `forward`.
        network: builds the network from `params`, if you train something else, such as low-rank
            updates or float weights that are quantized on use.
        sample_weights: the weight of each image, shape `(n,)`; by default 1.

    Returns:
        The sum of weight times cost over the images, divided by the number of images.

    Raises:
        TypeError, ValueError: as `train_epoch`. Labels beyond the outputs are found only in NumPy
            arrays, since checking an array on a device would block.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(1), 100)
        >>> slope = jax.grad(jaxnet.training.mean_cost)(jaxnet.pretrained(), images, labels)
        >>> slope[0].weights.shape
        (16, 784)
    """
    check_examples(images, labels, sample_weights)
    config = Config(cost, squash, network)
    _check_values(config, params, images, labels, in_loop=True)
    return _loops.score(config, params, images, labels, sample_weights).cost


def train_step(
    state: TrainState,
    images: Images,
    labels: Labels,
    *,
    optimizer: optax.GradientTransformation,
    cost: Cost = cross_entropy,
    squash: Squash = sigmoid,
    network: Network = identity_network,
    penalty: Penalty | None = None,
    sample_weights: Weights | None = None,
) -> tuple[TrainState, Score]:
    """Takes one optimizer step on the mean cost of a batch.

    In a `jax.shard_map` where the devices have different images and the same params, the step uses
    all images together. This needs `check_vma=True`, the default; with False, each device takes its
    own step.

    Args:
        state: the network and the optimizer's state.
        images, labels, cost, squash, network, sample_weights: as for `mean_cost`.
        optimizer: any optax transformation; static under `jit`, as are the functions.
        penalty: of the network, added to the mean cost, such as a multiple of
            `jaxnet.training.smoothness`; the score is without it.

    Returns:
        The new state, and the score of the batch before the step.

    Raises:
        TypeError, ValueError: as `mean_cost`.

    Example:
        >>> import jax, jaxnet, optax
        >>> optimizer = optax.adam(0.01)
        >>> params = jaxnet.init(jax.random.key(0))
        >>> state = jaxnet.training.TrainState(params, optimizer.init(params))
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(1), 100)
        >>> state, score = jaxnet.training.train_step(state, images, labels, optimizer=optimizer)
        >>> score.cost.shape
        ()
    """
    check_examples(images, labels, sample_weights)
    config = Config(cost, squash, network, optimizer, penalty=penalty)
    _check_values(config, state.params, images, labels, in_loop=True)
    return _loops.step(config, state, images, labels, sample_weights)


def train_epoch(
    key: Key[Array, ""],
    state: TrainState,
    images: Images,
    labels: Labels,
    *,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    cost: Cost = cross_entropy,
    squash: Squash = sigmoid,
    network: Network = identity_network,
    augment: Augment | None = None,
    penalty: Penalty | None = None,
    sample_weights: Weights | None = None,
    sharding: NamedSharding | None = None,
) -> tuple[TrainState, Score]:
    """Takes one step per batch of the shuffled images, as one `jax.lax.scan`.

    Outside `jit` it compiles itself, once for each optimizer and set of functions: create these
    before the loop. As under `jit`, arrays that the functions close over become constants, and
    NumPy images are copied to the device at every call: convert them once with `jnp.asarray`.

    If `batch_size` does not divide `n`, the remainder is dropped. The shuffle differs every epoch,
    so different images are dropped.

    Args:
        key: from `jax.random.key`, for the shuffle and the augmentation.
        state, images, labels, optimizer, cost, squash, network, penalty, sample_weights: as for
            `train_step`.
        batch_size: images per step, at most `n`.
        augment: transforms an image, given a key, such as `jaxnet.data.augment.affine`.
        sharding: shard each batch as this shards the first axis; by default, as `images` are
            sharded. Under `jit`, shardings over Auto axes are invisible: pass `images.sharding`.
            If the images fit on every device, replicate them and shard only the batches.

    Returns:
        The new state, and the mean score over the epoch.

    Raises:
        TypeError, ValueError: images or labels of the wrong type or shape, labels beyond the
            outputs, or a `batch_size` that is not from 1 to `n`. Shapes are checked at trace time,
            values only outside `jit`.

    Example:
        >>> import jax, jaxnet, optax
        >>> optimizer = optax.adam(0.01)
        >>> params = jaxnet.init(jax.random.key(0))
        >>> state = jaxnet.training.TrainState(params, optimizer.init(params))
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(1), 100)
        >>> for key in jax.random.split(jax.random.key(2), 3):
        ...     state, score = jaxnet.training.train_epoch(
        ...         key, state, images, labels, optimizer=optimizer, batch_size=10
        ...     )
        >>> score.accuracy.shape
        ()
    """
    n = check_examples(images, labels, sample_weights)
    sharding = batch_sharding(sharding, images)
    batch_size = _checked_batch_size(batch_size, n, sharding)
    config = Config(cost, squash, network, optimizer, augment, batch_size)
    config = config._replace(sharding=sharding, penalty=penalty)
    _check_values(config, state.params, images, labels)
    _check_state(optimizer, state)
    return _loops.epoch(config, key, state, images, labels, sample_weights)


def fit(
    key: Key[Array, ""],
    images: Images,
    labels: Labels,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    batch_size: int,
    params: Any = None,
    state: TrainState | None = None,
    first_epoch: int | Int[Array, ""] = 0,
    cost: Cost = cross_entropy,
    squash: Squash = sigmoid,
    network: Network = identity_network,
    augment: Augment | None = None,
    penalty: Penalty | None = None,
    sample_weights: Weights | None = None,
    held_out: tuple[Images, Labels] | None = None,
    sharding: NamedSharding | None = None,
) -> tuple[TrainState, History]:
    """Trains a network from start to finish, as one pure function.

    Compiling it takes seconds, however many epochs, images or networks there are. Outside `jit` it
    compiles itself, once for each optimizer and set of functions. `optax.adam(0.01)` called twice
    makes two optimizers, so to sweep the learning rate, make the optimizer inside a jitted function
    of the rate. As under `jit`, arrays that the functions close over become constants. Under
    `vmap`, networks that share the key and the images share every batch (see `jaxnet.training`).

    Every optax optimizer works; each is tested. With lookahead and the schedule-free ones, use
    `evaluation_params(state)` instead of `state.params`; lookahead takes
    `params=optax.LookaheadParams.init_synced(...)`. Unless `opaque_mode=True`, each of SAM's two
    half-steps uses its own batch. In float16, Adam needs a larger epsilon than its default.

    Args:
        key: from `jax.random.key`; initializes the network unless `params` is given, then shuffles
            and augments.
        images, labels, cost, squash, network, augment, penalty, sample_weights, sharding: as for
            `train_epoch`.
        optimizer: any optax transformation; made inside a mapped function, it may depend on the
            function's arguments, as in `optax.adam(rate)`.
        epochs: number of passes over the images, at least 1.
        batch_size: images per step.
        params: the initial network, or what `network` builds it from.
        state: what an earlier call returned, to continue from it; instead of `params`.
        first_epoch: the number of epochs already done, which selects the shuffles; may be traced.
            Without it, continuing with the same key repeats the first epochs' order. Six epochs
            followed by four with `first_epoch=6` are bit-identical to ten.
        held_out: validation images and labels, scored (unweighted) after each epoch.

    Returns:
        The final state, and the history of these epochs.

    Raises:
        TypeError, ValueError: as `train_epoch`; or `epochs` below 1, a negative `first_epoch`,
            both `params` and `state`, or a `held_out` that is not a pair.

    Example:
        >>> import jax, jaxnet, optax
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 2_000)
        >>> key, adam = jax.random.key(1), optax.adam(0.01)
        >>> state, history = jaxnet.training.fit(
        ...     key, images, labels, adam, epochs=5, batch_size=50
        ... )
        >>> history.cost.shape, bool(history.accuracy[-1] > 0.9)
        ((5,), True)
        >>> state, history = jaxnet.training.fit(
        ...     key, images, labels, adam, epochs=5, batch_size=50, state=state, first_epoch=5
        ... )
        >>> bool(history.accuracy[-1] > 0.95)
        True
    """
    if operator.index(epochs) < 1:
        raise ValueError(f"Expected at least one epoch; got {epochs} instead.")
    integer = jnp.ndim(first_epoch) == 0 and jnp.issubdtype(
        jnp.result_type(first_epoch), jnp.integer
    )
    if not integer or (not isinstance(first_epoch, Tracer) and not 0 <= int(first_epoch) < 2**32):
        raise ValueError(
            f"Expected first_epoch as a non-negative integer; got {first_epoch} instead."
        )
    if params is not None and state is not None:
        raise ValueError(
            "Expected either params to start from or a state to continue from; got both."
        )
    n = check_examples(images, labels, sample_weights)
    sharding = batch_sharding(sharding, images)
    batch_size = _checked_batch_size(batch_size, n, sharding)
    config = Config(cost, squash, network, optimizer, augment, batch_size, epochs, sharding)
    config = config._replace(penalty=penalty)
    begin = params if state is None else state.params
    _check_values(config, begin, images, labels)
    if state is not None:
        _check_state(optimizer, state)
    if held_out is not None:
        _check_held_out(held_out)
        _check_values(config, begin, *held_out)
        config = config._replace(held_out_sharding=sharding_of(held_out[0]))
    first = jnp.asarray(first_epoch, jnp.uint32)
    return _loops.fit(config, key, params, state, first, images, labels, sample_weights, held_out)


def score(
    params: Any,
    images: Images,
    labels: Labels,
    *,
    cost: Cost = cross_entropy,
    squash: Squash = sigmoid,
    network: Network = identity_network,
) -> Score:
    """The mean cost and the accuracy on any number of images, computed in tiles.

    Args:
        params, images, labels, cost, squash, network: as for `mean_cost`.

    Returns:
        Two scalars, float32 or wider; NaN for no images.

    Raises:
        TypeError, ValueError: as `train_epoch`.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(1), 1000)
        >>> score = jaxnet.training.score(jaxnet.pretrained(), images, labels)
        >>> bool(score.cost < 0.3), bool(score.accuracy > 0.9)
        (True, True)
    """
    check_examples(images, labels)
    config = Config(cost, squash, network, sharding=sharding_of(images))
    _check_values(config, params, images, labels)
    return _loops.score_all(config, params, images, labels)


def evaluate(
    params: Any,
    images: Images,
    labels: Labels,
    *,
    squash: Squash = sigmoid,
    network: Network = identity_network,
) -> Float[Array, ""]:
    """The accuracy: the fraction of images that the network classifies correctly.

    Args:
        params, images, labels, squash, network: as for `score`.

    Returns:
        A scalar from 0 to 1, float32 or wider; NaN for no images.

    Raises:
        TypeError, ValueError: as `train_epoch`.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(1), 1000)
        >>> bool(jaxnet.training.evaluate(jaxnet.pretrained(), images, labels) > 0.9)
        True
    """
    no_cost = _loops.no_cost
    return score(params, images, labels, cost=no_cost, squash=squash, network=network).accuracy


def evaluation_params(state: TrainState, *, network: Network = identity_network) -> Params:
    """The network to use after training.

    This is `network(state.params)`, except for optimizers that train one set of weights and
    evaluate another: the average for schedule-free ones, the slow weights for lookahead.

    Args:
        state: from `fit` or `train_epoch`.
        network: as passed to them.

    Returns:
        The network; pass it to `evaluate` without `network=`.

    Example:
        >>> import jax, jaxnet, optax
        >>> params = jaxnet.init(jax.random.key(0))
        >>> optimizer = optax.contrib.schedule_free_sgd(1.0)
        >>> state = jaxnet.training.TrainState(params, optimizer.init(params))
        >>> jaxnet.count(jaxnet.training.evaluation_params(state))
        13002
    """
    return network(_optimizers.evaluated(state.params, state.opt_state))


def _checked_batch_size(batch_size: int, n: int, sharding: NamedSharding | None) -> int:
    batch_size = operator.index(batch_size)
    if not 1 <= batch_size <= n:
        raise ValueError(f"Expected batch_size from 1 to the {n} images; got {batch_size} instead.")
    if batch_size % (k := n_shards(sharding)):
        raise ValueError(
            f"Expected a batch_size that {k} devices can share equally; got {batch_size} instead. "
            "To replicate the batches, pass sharding=NamedSharding(mesh, PartitionSpec())."
        )
    return batch_size


def _check_state(optimizer: optax.GradientTransformation, state: TrainState) -> None:
    expected = jax.eval_shape(optimizer.init, state.params)
    try:
        chex.assert_trees_all_equal_structs(state.opt_state, expected)
    except AssertionError as error:
        raise ValueError(
            "Expected a state of this optimizer; got one that another made. Pass the optimizer "
            "that made it, or TrainState(params, optimizer.init(params))."
        ) from error


def _check_held_out(held_out: Any) -> None:
    if not isinstance(held_out, (tuple, list)) or len(held_out) != 2:
        got = type(held_out).__name__
        raise TypeError(f"Expected held_out as a pair, (images, labels); got {got} instead.")
    check_examples(*held_out)


def _check_values(
    config: Config, params: Any, images: Any, labels: Any, *, in_loop: bool = False
) -> None:
    """Raises for labels without an output, where their values are known.

    In a caller's training loop, checks NumPy arrays only: an array on a device would block.
    """
    on_device = isinstance(labels, jax.Array) and not isinstance(labels, Tracer)
    known = isinstance(labels, np.ndarray) or (
        on_device and labels.is_fully_addressable and not in_loop
    )
    if not known or config.cost not in (cross_entropy, quadratic_cost, _loops.no_cost):
        return
    n_out = SIZES[-1]
    if params is not None:
        made = jax.eval_shape(lambda: config.network(_optimizers.trained(params)))
        check(made, jax.ShapeDtypeStruct(images.shape[1:], jnp.float32))
        n_out = made[-1][1].size
    check_known_labels(labels, n_out)
