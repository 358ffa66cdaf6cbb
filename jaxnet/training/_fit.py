"""`fit`, its parts and `evaluate`: what comes in is validated, then `_loops` runs, compiled."""

import operator
from collections.abc import Sequence
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.sharding import NamedSharding
from jaxtyping import Array, Integer, Key

from jaxnet._util.sharding import batch_sharding, sharding_of
from jaxnet.training import _loops, _optimizers
from jaxnet.training._checks import check_batch_size, check_examples, check_labels, check_pixels
from jaxnet.training._costs import narrow
from jaxnet.training._loops import Config, History, Score, TrainState
from jaxnet.training._loss import Images, Loss, MeanCost, loss

Optimizer = optax.GradientTransformation | optax.MultiSteps


def train_step(
    state: TrainState,
    images: Images,
    labels: Any,
    key: Key[Array, ""] | None = None,
    *,
    optimizer: Optimizer,
    loss: Loss = loss,
) -> tuple[TrainState, Score]:
    """Takes one optimizer step on the loss of a batch.

    Outside `jit` it compiles itself, as `train_epoch` does.

    In a `jax.shard_map` where the devices have different images and the same params, the step uses
    all images together. This needs `check_vma=True`, the default; with False, each device takes its
    own step.

    Args:
        state: the params and the optimizer's state.
        images: shape `(n, 784)`; floats from 0 to 1, or uint8 from 0 to 255.
        labels: their digits, shape `(n,)`; or any pytree of arrays that `loss` takes, with one row
            per image.
        key: from `jax.random.key`, for what is random in the loss, such as dropout.
        optimizer: any optax transformation; static under `jit`, as is the loss.
        loss: what to minimize, a function of params, images (floats), labels and key. It returns a
            scalar, or `(scalar, metrics)`, where `metrics` is any pytree of scalars. By default,
            the mean cross-entropy and the accuracy; `MeanCost` builds others.

    Returns:
        The new state, and the score of the batch before the step.

    Raises:
        TypeError, ValueError: as `train_epoch`; or no key, if the loss augments. Labels beyond the
            outputs are found only in NumPy arrays, since checking an array on a device would
            block; in others they make the cost and the params NaN.

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
    check_examples(images, labels)
    if isinstance(loss, MeanCost) and loss.augment is not None and key is None:
        raise ValueError("Expected a key, since the loss augments the images; got None instead.")
    check_labels(loss, state.params, images, labels, in_loop=True)
    return _loops.step(Config(loss, optimizer), state, images, narrow(labels), key)


def train_epoch(
    key: Key[Array, ""],
    state: TrainState,
    images: Images,
    labels: Any,
    *,
    optimizer: Optimizer,
    batch_size: SupportsIndex,
    loss: Loss = loss,
    sharding: NamedSharding | None = None,
) -> tuple[TrainState, Score]:
    """Takes one step per batch of the shuffled images, as one `jax.lax.scan`.

    Outside `jit` it compiles itself as `jax.jit` would, once for each optimizer and loss: create
    these before the loop. What the loss closes over is read once and becomes a constant, so a
    change to it later has no effect. Compiled programs, optimizers and losses are kept until
    `jax.clear_caches()`. NumPy images are copied to the device at every call: convert them once
    with `jnp.asarray`.

    In a `jax.shard_map`, params that are the same on all devices take common steps on all their
    images. For steps of its own on each device, as in federated averaging, mark them first:
    `jax.lax.pcast(params, "i", to="varying")`.

    If `batch_size` does not divide `n`, the remainder is dropped. The shuffle differs every epoch,
    so different images are dropped.

    Args:
        key: from `jax.random.key`, for the shuffle and for the loss.
        state, images, labels, optimizer, loss: as for `train_step`.
        batch_size: images per step, at most `n`.
        sharding: shard each batch as this shards the first axis; by default, as `images` are
            sharded. Under `jit`, shardings over Auto axes are invisible: pass `images.sharding`.
            If the images fit on every device, replicate them and shard only the batches.

    Returns:
        The new state, and the mean score over the epoch.

    Raises:
        TypeError, ValueError: images or labels of the wrong type or shape, labels beyond the
            outputs, no optax optimizer, or a `batch_size` that is not from 1 to `n`. Shapes are
            checked at trace time, labels only outside `jit`, and floats outside 0 to 1 only by
            `fit` and `evaluate`.

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
    n = check_examples(images, labels)
    sharding = batch_sharding(sharding, images)
    batch_size = check_batch_size(batch_size, n, sharding)
    check_labels(loss, state.params, images, labels)
    config = Config(loss, optimizer, batch_size, sharding=sharding)
    return _loops.epoch(config, key, state, images, narrow(labels))


def fit(
    key: Key[Array, ""],
    images: Images,
    labels: Any,
    optimizer: Optimizer,
    *,
    epochs: SupportsIndex,
    batch_size: SupportsIndex,
    params: Any = None,
    state: TrainState | None = None,
    first_epoch: SupportsIndex | Integer[Array, ""] = 0,
    loss: Loss = loss,
    validation: Sequence[Any] | None = None,
    sharding: NamedSharding | None = None,
    check_range: bool = True,
) -> tuple[TrainState, History]:
    """Trains a network from start to finish, as one pure function.

    Outside `jit` it compiles itself as `jax.jit` would, once for each optimizer and loss: see
    `train_epoch` for what this means, and for `jax.shard_map`. Compiling takes seconds, however
    many epochs, images or networks there are. `optax.adam(0.01)` called twice makes two optimizers,
    so to sweep the learning rate, make the optimizer inside a jitted function of the rate. Under
    `vmap`, networks that share the key and the images share every batch (see `jaxnet.training`);
    `vmap(fit)` outside `jit` compiles again at every call, so use `jit(vmap(fit))`.

    Every optax optimizer works; each is tested. With lookahead and the schedule-free ones, use
    `evaluation_params(state)` instead of `state.params`; lookahead takes
    `params=optax.LookaheadParams.init_synced(...)`. Unless `opaque_mode=True`, each of SAM's two
    half-steps uses its own batch. In float16, Adam needs a larger epsilon than its default.

    Args:
        key: from `jax.random.key`; initializes the network unless `params` is given, then shuffles
            and goes to the loss.
        images, labels, loss, sharding: as for `train_epoch`.
        optimizer: any optax transformation; made inside a mapped function, it may depend on the
            function's arguments, as in `optax.adam(rate)`.
        epochs: number of passes over the images, at least 1.
        batch_size: images per step.
        params: the initial network, or what the loss builds it from; by default a random one with
            as many inputs as the images have pixels, and the video's other sizes.
        state: what an earlier call returned, to continue from it; instead of `params`.
        first_epoch: the number of epochs already done, which selects the shuffles; may be traced.
            Without it, continuing with the same key repeats the first epochs' order. Six epochs
            followed by four with `first_epoch=6` are bit-identical to ten.
        validation: images and labels, evaluated after each epoch as `evaluate` does.
        check_range: reject floats outside 0 to 1, whatever the loss. Pass False for images that are
            scaled in another way, such as standardized ones.

    Returns:
        The final state, and the history of these epochs.

    Raises:
        TypeError, ValueError: as `train_epoch`; floats outside 0 to 1; `epochs` below 1; a negative
            `first_epoch`; both `params` and `state`; or a `validation` that is not a pair.

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
    if not _is_epoch(first_epoch):
        raise ValueError(
            f"Expected first_epoch as a non-negative integer; got {first_epoch} instead."
        )
    if params is not None and state is not None:
        raise ValueError(
            "Expected either params to start from or a state to continue from; got both."
        )
    n = check_examples(images, labels)
    sharding = batch_sharding(sharding, images)
    batch_size = check_batch_size(batch_size, n, sharding)
    config = Config(loss, optimizer, batch_size, operator.index(epochs), sharding)
    begin = params if state is None else state.params
    examples: list[Sequence[Any]] = [(images, labels)]
    if validation is not None:
        if len(validation) != 2 or not isinstance(validation, tuple | list):
            got = f"{type(validation).__name__} of {len(validation)}"
            raise TypeError(f"Expected validation as a pair, (images, labels); got {got} instead.")
        check_examples(*validation)
        config = config._replace(validation_sharding=sharding_of(validation[0]))
        examples.append(validation)
    for some_images, some_labels in examples:
        if check_range:
            check_pixels(some_images)
        check_labels(loss, begin, some_images, some_labels)
    if not isinstance(first_epoch, jax.Array):  # put there explicitly, for jax.transfer_guard
        first_epoch = jax.device_put(np.uint32(operator.index(first_epoch)))
    labels, validation = narrow((labels, validation))
    return _loops.fit(config, key, params, state, first_epoch, images, labels, validation)


def evaluate(
    params: Any, images: Images, labels: Any, *, loss: Loss = loss, check_range: bool = True
) -> Score:
    """The mean cost and metrics on any number of images, computed in tiles.

    Outside `jit` it compiles itself, as `train_epoch` does.

    Args:
        params, images, labels: as for `train_step`.
        loss: as for `train_step`. It gets no key (None), and at most 1,024 images at a time, whose
            means are averaged; with a symbolic number of images, under `jax.export`, it gets all.
        check_range: as for `fit`.

    Returns:
        The score: by default, `score.cost`, the mean cross-entropy, and `score.accuracy`, the
        fraction of images that are classified correctly. Scalars in float32 or wider; NaN for no
        images.

    Raises:
        TypeError, ValueError: as `train_epoch`; or floats outside 0 to 1.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(1), 1000)
        >>> score = jaxnet.evaluate(jaxnet.pretrained(), images, labels)
        >>> bool(score.cost < 0.3), bool(score.accuracy > 0.9)
        (True, True)
    """
    check_examples(images, labels)
    if check_range:
        check_pixels(images)
    check_labels(loss, params, images, labels)
    config = Config(loss, sharding=sharding_of(images))
    return _loops.evaluate(config, params, images, narrow(labels))


def evaluation_params(state: TrainState) -> Any:
    """The params to use after training.

    These are `state.params`, except for optimizers that train one set of weights and evaluate
    another: the average for schedule-free ones, the slow weights for lookahead.

    Args:
        state: from `fit` or `train_epoch`.

    Returns:
        The network, or whatever the loss builds it from.

    Example:
        >>> import jax, jaxnet, optax
        >>> params = jaxnet.init(jax.random.key(0))
        >>> optimizer = optax.contrib.schedule_free_sgd(1.0)
        >>> state = jaxnet.training.TrainState(params, optimizer.init(params))
        >>> jaxnet.count(jaxnet.training.evaluation_params(state))
        13002
    """
    return _optimizers.evaluated(state.params, state.opt_state)


def _is_epoch(n: Any) -> bool:
    """Whether this is the number of an epoch, as far as can be known while tracing."""
    if jnp.ndim(n) or not jnp.issubdtype(jnp.result_type(n), jnp.integer):
        return False
    return isinstance(n, Tracer) or 0 <= operator.index(jax.device_get(n)) < 2**32
