"""Training: the cost of a network's answers, and the steps, epochs and runs that lower it.

Every function is pure, and optax supplies the optimizer. `fit` is a whole run, and trains as many
networks as `jax.vmap` is given; what they do not share is an argument of the mapped function:

    def run(params, rate):
        return fit(key, images, labels, optax.adam(rate), params=params, epochs=5, batch_size=100)

    states, history = jax.jit(jax.vmap(run))(ensemble, rates)

These networks share the key, and with it each batch, so that each batch is made only once and many
small products become one large one. Map over keys as well to give each its own data order.

What `fit` leaves out is a few lines around `train_epoch`, under `jit` as well. Stop early with
`jax.lax.while_loop`; keep what each step reports by `jax.lax.scan` over `train_step`; hear of each
epoch of a compiled run by `jax.debug.callback`. `examples/own_loop.py` does all three.
"""

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.nn import sigmoid
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, Int, Key

from jaxnet import _loops, _optimizers
from jaxnet._loops import Augment as Augment
from jaxnet._loops import Config, Network, identity_network
from jaxnet._loops import History as History
from jaxnet._loops import Score as Score
from jaxnet._loops import TrainState as TrainState
from jaxnet._sharding import batch_sharding, n_shards, sharding_of
from jaxnet.costs import Cost as Cost
from jaxnet.costs import Images as Images
from jaxnet.costs import Labels as Labels
from jaxnet.costs import Weights as Weights
from jaxnet.costs import check_examples, check_known_labels
from jaxnet.costs import cross_entropy as cross_entropy
from jaxnet.costs import quadratic_cost as quadratic_cost
from jaxnet.costs import unit as unit
from jaxnet.network import SIZES, Params, Squash, check


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
    """The cost that training lowers: one number as a function of 13,002 weights and biases.

    Args:
        params: the network.
        images: shape `(n, 784)`; floats from 0 to 1, or uint8 from 0 to 255.
        labels: the digits they show, shape `(n,)`; or whatever `cost` takes, one row per image.
        cost: of one image, from its logits and its label; any of optax's losses that is one number.
        squash: of the hidden layers, as in `forward`.
        network: builds the network from `params`, when what you train is something else:
            low-rank deltas, or float weights that are quantized on use.
        sample_weights: how much each image counts, shape `(n,)`; 1 each, if not given.

    Returns:
        The sum over the images of their weights times their costs, divided by their number.

    Raises:
        TypeError, ValueError: as `train_epoch`; but of labels beyond the outputs only NumPy's are
            looked for, since those on a device would have to be waited for.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(1), 100)
        >>> slope = jax.grad(jaxnet.training.mean_cost)(jaxnet.pretrained(), images, labels)
        >>> slope[0].weights.shape
        (16, 784)
    """
    check_examples(images, labels, sample_weights)
    config = Config(cost, squash, network)
    _check_values(config, params, images, labels, in_loops=True)
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
    sample_weights: Weights | None = None,
) -> tuple[TrainState, Score]:
    """Moves the network one step down the mean cost of a batch.

    In a `jax.shard_map` whose devices have images of their own but the same params, the step is
    that of all images together. That takes `check_vma=True`, the default; with False, each device
    takes a step of its own.

    Args:
        state: the network and the optimizer's memory.
        images, labels, cost, squash, network, sample_weights: as for `mean_cost`.
        optimizer: any optax transformation; static under `jit`, as are the functions.

    Returns:
        The new state, and the score of the batch before the step.

    Raises:
        TypeError, ValueError: as `mean_cost`.

    Example:
        >>> import jax, jaxnet, optax
        >>> optimizer = optax.adam(0.01)
        >>> params = jaxnet.init(jax.random.key(0))
        >>> state = jaxnet.training.TrainState(params, optimizer.init(params))
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(1), 100)
        >>> state, score = jaxnet.training.train_step(state, images, labels, optimizer=optimizer)
        >>> score.cost.shape
        ()
    """
    check_examples(images, labels, sample_weights)
    config = Config(cost, squash, network, optimizer)
    _check_values(config, state.params, images, labels, in_loops=True)
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
    sample_weights: Weights | None = None,
    sharding: NamedSharding | None = None,
) -> tuple[TrainState, Score]:
    """Takes a step for each batch of the shuffled images, as one `jax.lax.scan`.

    Outside `jit` it compiles itself, once for each optimizer and set of functions: create these
    before the loop. As under `jit`, arrays that the functions close over are constants, and NumPy
    images are copied to the device at each call: convert them once, by `jnp.asarray`.

    The images left over when `n` is no multiple of `batch_size` sit this epoch out; each
    epoch's key chooses others.

    Args:
        key: from `jax.random.key`; shuffles and augments.
        state, images, labels, optimizer, cost, squash, network, sample_weights: as for
            `train_step`.
        batch_size: images a step, at most `n`.
        augment: changes an image under a key, such as `jaxnet.data.warp.affine`.
        sharding: shards each batch as this shards its first axis. By default, as `images` are
            sharded. Under `jit`, shardings over Auto axes are invisible: pass `images.sharding`.
            If the images fit on every device, replicate them and shard only the batches.

    Returns:
        The new state, and the mean score over the epoch.

    Raises:
        TypeError, ValueError: images or labels of another type or shape, labels beyond the
            outputs, or a `batch_size` that is not between 1 and `n`. Shapes are checked while
            tracing, values only outside `jit`.

    Example:
        >>> import jax, jaxnet, optax
        >>> optimizer = optax.adam(0.01)
        >>> params = jaxnet.init(jax.random.key(0))
        >>> state = jaxnet.training.TrainState(params, optimizer.init(params))
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(1), 100)
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
    config = Config(cost, squash, network, optimizer, augment, batch_size, sharding=sharding)
    _check_values(config, state.params, images, labels)
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
    sample_weights: Weights | None = None,
    held_out: tuple[Images, Labels] | None = None,
    sharding: NamedSharding | None = None,
) -> tuple[TrainState, History]:
    """Trains a network from the first step to the last, as one pure function.

    Compiling it takes seconds, whatever the number of epochs, images or networks. Outside `jit`
    it compiles itself, once for each optimizer and set of functions; `optax.adam(0.01)` written
    twice is two optimizers, so to sweep a rate, make the optimizer inside a jitted function of
    the rate. As under `jit`, arrays that the functions close over are constants. Under `vmap`,
    networks that share the key and the images share each batch (see the module).

    Every optax optimizer works (each is tested). With schedule-free ones and lookahead, use
    `evaluation_params(state)` rather than `state.params`; lookahead takes
    `params=optax.LookaheadParams.init_synced(...)`. Unless `opaque_mode=True`, each of SAM's two
    half-steps uses a batch of its own. In float16, Adam needs a larger epsilon than its default.

    Args:
        key: from `jax.random.key`; draws the network unless `params` is given, then shuffles
            and augments.
        images, labels, cost, squash, network, augment, sample_weights, sharding: as for
            `train_epoch`.
        optimizer: any optax transformation; one made inside a mapped function may depend on
            its arguments, as in `optax.adam(rate)`.
        epochs: passes over the images, one at least.
        batch_size: images a step.
        params: the network to begin with, or whatever `network` builds it from.
        state: what an earlier call returned, to continue from it, instead of `params`.
        first_epoch: the number of epochs already done, which selects the shuffles; may be traced.
            Without it, continuing under the same key repeats the first epochs' order. Six
            epochs, then four with `first_epoch=6`, equal ten, bit for bit.
        held_out: validation images and labels, scored after each epoch, unweighted, and never
            learned from.

    Returns:
        The state after the last step, and the history of these epochs.

    Raises:
        TypeError, ValueError: as `train_epoch`; `epochs` below one, a negative `first_epoch`,
            both `params` and `state`, or `held_out` that is no pair.

    Example:
        >>> import jax, jaxnet, optax
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(0), 2_000)
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
        raise ValueError(f"Expected one epoch or more; got {epochs} instead.")
    integer = jnp.ndim(first_epoch) == 0 and jnp.issubdtype(
        jnp.result_type(first_epoch), jnp.integer
    )
    if not integer or (not isinstance(first_epoch, Tracer) and not 0 <= int(first_epoch) < 2**32):
        raise ValueError(f"Expected first_epoch as an integer from 0; got {first_epoch} instead.")
    if params is not None and state is not None:
        raise ValueError("Expected params to begin with or a state to continue from; got both.")
    n = check_examples(images, labels, sample_weights)
    sharding = batch_sharding(sharding, images)
    batch_size = _checked_batch_size(batch_size, n, sharding)
    config = Config(cost, squash, network, optimizer, augment, batch_size, epochs, sharding)
    begin = params if state is None else state.params
    _check_values(config, begin, images, labels)
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
    """The mean cost and the accuracy on any number of images, a tile at a time.

    Args:
        params, images, labels, cost, squash, network: as for `mean_cost`.

    Returns:
        Two scalars, float32 or wider; NaN for no images.

    Raises:
        TypeError, ValueError: as `train_epoch`.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(1), 1000)
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
    """The accuracy: the share of images that the network classifies correctly.

    Args:
        params, images, labels, squash, network: as for `score`.

    Returns:
        A scalar from 0 to 1, float32 or wider; NaN for no images.

    Raises:
        TypeError, ValueError: as `train_epoch`.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(1), 1000)
        >>> bool(jaxnet.training.evaluate(jaxnet.pretrained(), images, labels) > 0.9)
        True
    """
    no_cost = _loops.no_cost
    return score(params, images, labels, cost=no_cost, squash=squash, network=network).accuracy


def evaluation_params(state: TrainState, *, network: Network = identity_network) -> Params:
    """The network that a state stands for, after training.

    That is `network(state.params)`, but for optimizers that train one set of weights and mean
    another to be used: the average of schedule-free ones, the slow weights of lookahead.

    Args:
        state: from `fit` or `train_epoch`.
        network: as given to them.

    Returns:
        The network: pass it to `evaluate` without `network=`.

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
            f"Expected a batch_size that {k} devices can share evenly; got {batch_size} instead. "
            "To replicate the batches, pass sharding=NamedSharding(mesh, PartitionSpec())."
        )
    return batch_size


def _check_held_out(held_out: Any) -> None:
    if not isinstance(held_out, (tuple, list)) or len(held_out) != 2:
        got = type(held_out).__name__
        raise TypeError(f"Expected held_out as a pair, (images, labels); got {got} instead.")
    check_examples(*held_out)


def _check_values(
    config: Config, params: Any, images: Any, labels: Any, *, in_loops: bool = False
) -> None:
    """Raises for labels that no output stands for, where their values are known.

    In the loops of others only NumPy's are looked at: a device's would have to be waited for.
    """
    on_device = isinstance(labels, jax.Array) and not isinstance(labels, Tracer)
    known = isinstance(labels, np.ndarray) or (
        on_device and labels.is_fully_addressable and not in_loops
    )
    if not known or config.cost not in (cross_entropy, quadratic_cost, _loops.no_cost):
        return
    n_out = SIZES[-1]
    if params is not None:
        made = jax.eval_shape(lambda: config.network(_optimizers.trained(params)))
        check(made, jax.ShapeDtypeStruct(images.shape[1:], jnp.float32))
        n_out = made[-1][1].size
    check_known_labels(labels, n_out)
