"""Learning: the cost of a network's answers, and the steps, epochs and runs that lower it.

Every function is pure; optax supplies the optimiser. `fit` is a whole run, and runs as many
networks as `jax.vmap` is given; what they do not share is an argument of the mapped function:

    def run(params, rate):
        return fit(key, images, labels, optax.adam(rate), params=params, epochs=5, batch_size=100)

    states, history = jax.jit(jax.vmap(run))(ensemble, rates)

These members share the key, and with it each batch, so that each is made only once and many
thin products become one wide one. With a key for each member, each has an order of its own.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.nn import sigmoid
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key, Num

from jaxnet.network import Image, Params, Squash, check, init, logits
from jaxnet.shuffling import shuffled

Images = Num[Array | np.ndarray, "n pixels"]
Labels = Num[Array | np.ndarray, "n ..."]
Weights = Float[Array | np.ndarray, " n"]
Cost = Callable[[Float[Array, " out"], Any], Float[Array, ""]]
Augment = Callable[[Key[Array, ""], Image], Image]

_BLOCK = 1_000  # images fetched at a time where batches are small: one gather for many steps


class TrainState(NamedTuple):
    """What a training step takes and gives back.

    Attributes:
        params: the network so far.
        opt_state: what the optimiser remembers, from `optimizer.init(params)`.
    """

    params: Params
    opt_state: optax.OptState


class Score(NamedTuple):
    """How well images were read, each before the step that learnt from it.

    Attributes:
        cost: the mean cost of an image.
        accuracy: the share of images read rightly, from 0 to 1.
    """

    cost: Float[Array, "..."]
    accuracy: Float[Array, "..."]


class History(NamedTuple):
    """How a run went, epoch by epoch.

    Attributes:
        cost: shape `(epochs,)`, the mean cost of a training image.
        accuracy: shape `(epochs,)`, the share of the training images read rightly; of each
            image, as augmented, before the step that learnt from it.
        held_out: shape `(epochs,)`, the share of the images held out read rightly after
            the epoch; None where none were.
    """

    cost: Float[Array, "..."]
    accuracy: Float[Array, "..."]
    held_out: Float[Array, "..."] | None


def quadratic_cost(z: Float[Array, " out"], y: ArrayLike) -> Float[Array, ""]:
    """The video's cost of one image: squared differences from the right outputs, summed.

    The right outputs are 1 for the digit shown and 0 for the nine others.

    Args:
        z: the logits, shape `(10,)`.
        y: the digit it shows.

    Returns:
        A scalar, 0 for a perfect answer.

    Example:
        >>> import jax, jaxnet
        >>> params, x = jaxnet.init(jax.random.key(0)), jax.numpy.zeros(784)
        >>> float(jaxnet.training.quadratic_cost(jaxnet.logits(params, x), 3)) > 1
        True

    Source: 3Blue1Brown, "Gradient descent, how neural networks learn", 2017.
    """
    return optax.squared_error(sigmoid(z), jax.nn.one_hot(y, z.size, dtype=z.dtype)).sum()


def cross_entropy(z: Float[Array, " out"], y: ArrayLike) -> Float[Array, ""]:
    """The surprise of one image's label, in nats: cross-entropy of the softmaxed logits.

    Learns faster than `quadratic_cost`, which stalls where a sigmoid is saturated.

    Args:
        z: the logits, shape `(10,)`.
        y: the digit it shows, or ten shares that sum to 1.

    Returns:
        A scalar, 0 for a perfect answer, ln 10 for a guess.

    Example:
        >>> import jax, jaxnet
        >>> float(jaxnet.training.cross_entropy(jax.numpy.zeros(10), 3))
        2.3025851249694824

    Source: Bridle, "Probabilistic interpretation of feedforward classification network
    outputs", 1990.
    """
    if jnp.ndim(y):
        return optax.softmax_cross_entropy(z, y)
    return optax.softmax_cross_entropy_with_integer_labels(z, y)


def mean_cost(
    params: Params,
    images: Images,
    labels: Labels,
    *,
    cost: Cost = cross_entropy,
    squash: Squash = sigmoid,
    sample_weights: Weights | None = None,
) -> Float[Array, ""]:
    """The cost that learning lowers: one number that 13,002 weights and biases decide.

    Args:
        params: the network.
        images: shape `(n, 784)`; floats from 0 to 1, or uint8 from 0 to 255.
        labels: the digits they show, shape `(n,)`; or whatever `cost` takes, a row an image.
        cost: of one image, from its logits and its label; any of optax's losses, too.
        squash: of the hidden layers, as in `forward`.
        sample_weights: how much each image counts, shape `(n,)`; 1 each, if not given.

    Returns:
        The sum over the images of their weights times their costs, divided by their number.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(1), 100)
        >>> slope = jax.grad(jaxnet.training.mean_cost)(jaxnet.pretrained(), images, labels)
        >>> slope[0].weights.shape
        (16, 784)
    """
    _check(images, labels, sample_weights)
    score = _score(params, images, labels, sample_weights, cost=cost, squash=squash)
    return score.cost


def train_step(
    state: TrainState,
    images: Images,
    labels: Labels,
    *,
    optimizer: optax.GradientTransformation,
    cost: Cost = cross_entropy,
    squash: Squash = sigmoid,
    sample_weights: Weights | None = None,
) -> tuple[TrainState, Score]:
    """Moves the network one step down the mean cost of a batch.

    Args:
        state: the network and the optimiser's memory.
        images, labels, cost, squash, sample_weights: as for `mean_cost`.
        optimizer: any optax transformation; static under `jit`, as are `cost` and `squash`.

    Returns:
        The new state, and the score of the batch before the step.

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
    _check(images, labels, sample_weights)

    def batch_cost(params: Params) -> tuple[Float[Array, ""], Score]:
        score = _score(params, images, labels, sample_weights, cost=cost, squash=squash)
        return score.cost, score

    (value, score), gradient = jax.value_and_grad(batch_cost, has_aux=True)(state.params)
    updates, opt_state = optax.with_extra_args_support(optimizer).update(
        gradient,
        state.opt_state,
        state.params,
        # What optimisers with a line search ask for; others pass it by.
        value=value,
        grad=gradient,
        value_fn=lambda params: batch_cost(params)[0],
    )
    params = cast(Params, optax.apply_updates(state.params, updates))
    return TrainState(params, opt_state), score


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
    augment: Augment | None = None,
    sample_weights: Weights | None = None,
) -> tuple[TrainState, Score]:
    """Takes a step for each batch of the shuffled images, as one `jax.lax.scan`.

    The images left over when `n` is no multiple of `batch_size` sit this epoch out; each
    epoch's key chooses others.

    Args:
        key: from `jax.random.key`; shuffles and augments.
        state, images, labels, optimizer, cost, squash, sample_weights: as for `train_step`.
        batch_size: images a step, at most `n`.
        augment: changes an image under a key, such as `jaxnet.data.warp.affine`.

    Returns:
        The new state, and the mean score over the epoch.

    Raises:
        TypeError, ValueError: images or labels of another type or shape, a `batch_size` that
            is not between 1 and `n`; while tracing.

    Example:
        >>> import jax, jaxnet, optax
        >>> optimizer = optax.adam(0.01)
        >>> params = jaxnet.init(jax.random.key(0))
        >>> state = jaxnet.training.TrainState(params, optimizer.init(params))
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(1), 100)
        >>> state, score = jaxnet.training.train_epoch(
        ...     jax.random.key(2), state, images, labels, optimizer=optimizer, batch_size=10
        ... )
        >>> score.accuracy.shape
        ()
    """
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    n = _check(images, labels, sample_weights)
    if not 1 <= batch_size <= n:
        raise ValueError(f"Expected batch_size from 1 to the {n} images; got {batch_size} instead.")
    n_steps = n // batch_size
    # Small batches are fetched many at a time: a gather costs more than a step of ten images.
    per_block = max(d for d in range(1, max(_BLOCK // batch_size, 1) + 1) if n_steps % d == 0)
    key_order, key_augment = jax.random.split(key)
    order = shuffled(key_order, n)[: n_steps * batch_size]

    def block(
        state: TrainState, part: tuple[Key[Array, ""], Int[Array, "steps batch"]]
    ) -> tuple[TrainState, Score]:
        k, i = part
        x = images.at[i.ravel()].get(mode="promise_in_bounds")
        if augment is not None:
            x = jax.vmap(augment)(jax.random.split(k, i.size), unit(x))
        weights = None if sample_weights is None else jnp.asarray(sample_weights)[i]
        return jax.lax.scan(step, state, (x.reshape(*i.shape, -1), labels[i], weights))

    def step(state: TrainState, batch: Any) -> tuple[TrainState, Score]:
        x, y, weights = batch
        return train_step(
            state, x, y, optimizer=optimizer, cost=cost, squash=squash, sample_weights=weights
        )

    n_blocks = n_steps // per_block
    blocks = jax.random.split(key_augment, n_blocks), order.reshape(n_blocks, per_block, -1)
    state, scores = jax.lax.scan(block, state, blocks)
    return state, jax.tree.map(jnp.mean, scores)


def fit(
    key: Key[Array, ""],
    images: Images,
    labels: Labels,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    batch_size: int,
    params: Params | None = None,
    cost: Cost = cross_entropy,
    squash: Squash = sigmoid,
    augment: Augment | None = None,
    sample_weights: Weights | None = None,
    held_out: tuple[Images, Labels] | None = None,
) -> tuple[TrainState, History]:
    """Trains a network from the first step to the last, as one pure function.

    Its time to compile does not depend on the number of epochs, of images or of members. Under
    `vmap`, members that share the key and the images share each batch (see the module).

    Args:
        key: from `jax.random.key`; draws the network unless `params` is given, then shuffles
            and augments.
        images, labels, cost, squash, augment, sample_weights: as for `train_epoch`.
        optimizer: any optax transformation; one made inside a mapped function may depend on
            its arguments, as in `optax.adam(rate)`.
        epochs: times that the images are gone through, one at least.
        batch_size: images a step.
        params: the network to begin with.
        held_out: images and labels to score after each epoch, and never to learn from.

    Returns:
        The state after the last step, and the history of all epochs.

    Raises:
        TypeError, ValueError: as `train_epoch`; or `epochs` below one.

    Example:
        >>> import jax, jaxnet, optax
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(0), 2_000)
        >>> state, history = jaxnet.training.fit(
        ...     jax.random.key(1), images, labels, optax.adam(0.01), epochs=5, batch_size=50
        ... )
        >>> history.cost.shape, bool(history.accuracy[-1] > 0.9)
        ((5,), True)
    """
    if epochs < 1:
        raise ValueError(f"Expected one epoch or more; got {epochs} instead.")
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    key_init, key_epochs = jax.random.split(key)
    if params is None:
        params = init(key_init)

    def epoch(state: TrainState, key: Key[Array, ""]) -> tuple[TrainState, History]:
        state, score = train_epoch(
            key,
            state,
            images,
            labels,
            optimizer=optimizer,
            batch_size=batch_size,
            cost=cost,
            squash=squash,
            augment=augment,
            sample_weights=sample_weights,
        )
        unseen = None if held_out is None else evaluate(state.params, *held_out, squash=squash)
        return state, History(*score, unseen)

    state = TrainState(params, optimizer.init(params))
    return jax.lax.scan(epoch, state, jax.random.split(key_epochs, epochs))


def evaluate(
    params: Params, images: Images, labels: Labels, *, squash: Squash = sigmoid
) -> Float[Array, ""]:
    """The share of images that the network reads rightly.

    Args:
        params: the network.
        images, labels: as for `mean_cost`; any number, read a tile at a time.
        squash: of the hidden layers, as in `forward`.

    Returns:
        A scalar from 0 to 1; NaN for no images.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(1), 1000)
        >>> bool(jaxnet.training.evaluate(jaxnet.pretrained(), images, labels) > 0.9)
        True
    """

    def right(example: tuple[Array, Array]) -> Array:
        x, y = example
        return _reads(logits(params, unit(x), squash=squash), y)

    return jax.lax.map(right, (images, labels), batch_size=1024).mean()


def _score(
    params: Params,
    images: Images,
    labels: Labels,
    sample_weights: Weights | None,
    *,
    cost: Cost,
    squash: Squash,
) -> Score:
    z = _columns(params, unit(images), squash)
    costs = jax.vmap(cost)(z, labels)
    if sample_weights is not None:
        costs *= sample_weights
    return Score(costs.mean(), jax.vmap(_reads)(z, jnp.asarray(labels)).mean(dtype=z.dtype))


def _columns(params: Params, images: Float[Array, "n pixels"], squash: Squash) -> Array:
    """`logits` of all images, each a column of the products, which are faster so than in rows."""
    check(params, jax.ShapeDtypeStruct(images.shape[1:], images.dtype))
    *hidden, (w_last, b_last) = params
    a = images.T
    for w, b in hidden:
        a = jax.vmap(squash, in_axes=1, out_axes=1)(w @ a + b[:, None])
    return (w_last @ a + b_last[:, None]).T


def _reads(z: Float[Array, " out"], y: Num[Array, "..."]) -> Array:
    """Whether the brightest output is the digit, or the greatest share, of the label."""
    return jnp.argmax(z) == (y.argmax() if y.ndim else y.astype(int))


def _check(images: Images, labels: Labels, sample_weights: Weights | None) -> int:
    n = len(images)
    if images.ndim != 2 or labels.shape[:1] != (n,):
        raise ValueError(
            "Expected images of shape (n, 784) and a label for each; "
            f"got {images.shape} and {labels.shape} instead."
        )
    if sample_weights is not None and sample_weights.shape != (n,):
        raise ValueError(
            f"Expected a weight for each of the {n} images; got {sample_weights.shape} instead."
        )
    return n


def unit(images: Num[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
    """Bytes from 0 to 255 as floats from 0 to 1; floats as they are.

    Args:
        images: any shape.

    Returns:
        The same shape, in float32 where they were bytes.

    Raises:
        TypeError: other types.

    Example:
        >>> import jax, jaxnet
        >>> jaxnet.training.unit(jax.numpy.array([0, 255], "uint8")).tolist()
        [0.0, 1.0]
    """
    if images.dtype != jnp.uint8 and not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(f"Expected images in uint8 or floats; got {images.dtype} instead.")
    images = jnp.asarray(images)
    return images.astype(jnp.float32) / 255 if images.dtype == jnp.uint8 else images
