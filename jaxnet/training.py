"""Learning: the cost of a network's answers, and the steps that lower it.

Every function is pure; optax supplies the optimiser. One network is trained by these as
they stand, many at once by `jax.vmap` over the state: with `in_axes=None` for the key, the
images and the labels, all of them read the same batches, and each batch is made only once.
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

from jaxnet.network import Image, Params, Squash, forward, logits, predict

Cost = Callable[[Params, Image, Any], Float[Array, ""]]
Augment = Callable[[Key[Array, ""], Image], Image]


class TrainState(NamedTuple):
    """What a training step takes and gives back.

    Attributes:
        params: the network so far.
        opt_state: what the optimiser remembers, from `optimizer.init(params)`.
    """

    params: Params
    opt_state: optax.OptState


def quadratic_cost(
    params: Params, x: Image, y: ArrayLike, *, squash: Squash = sigmoid
) -> Float[Array, ""]:
    """The video's cost of one image: squared differences from the right outputs, summed.

    The right outputs are 1 for the digit shown and 0 for the nine others.

    Args:
        params: the network.
        x: one image, shape `(784,)`, from 0 to 1.
        y: the digit it shows.
        squash: of the hidden layers, as in `forward`.

    Returns:
        A scalar, 0 for a perfect answer.

    Example:
        >>> import jax, jaxnet
        >>> params, x = jaxnet.init(jax.random.key(0)), jax.numpy.zeros(784)
        >>> jaxnet.training.quadratic_cost(params, x, 3).shape
        ()

    Source: 3Blue1Brown, "Gradient descent, how neural networks learn", 2017.
    """
    a = forward(params, x, squash=squash)
    return optax.squared_error(a, jax.nn.one_hot(y, a.size, dtype=a.dtype)).sum()


def cross_entropy(
    params: Params, x: Image, y: ArrayLike, *, squash: Squash = sigmoid
) -> Float[Array, ""]:
    """The surprise of one image's label, in nats: cross-entropy of the softmaxed logits.

    Learns faster than `quadratic_cost`, which stalls where a sigmoid is saturated. Takes
    what `quadratic_cost` takes.

    Returns:
        A scalar, 0 for a perfect answer, ln 10 for a guess.

    Example:
        >>> import jax, jaxnet
        >>> params, x = jaxnet.init(jax.random.key(0)), jax.numpy.zeros(784)
        >>> jaxnet.training.cross_entropy(params, x, 3).shape
        ()

    Source: Bridle, "Probabilistic interpretation of feedforward classification network
    outputs", 1990.
    """
    return optax.softmax_cross_entropy_with_integer_labels(logits(params, x, squash=squash), y)


def train_step(
    state: TrainState,
    images: Num[Array | np.ndarray, "batch pixels"],
    labels: Int[Array | np.ndarray, " batch"],
    *,
    optimizer: optax.GradientTransformation,
    cost: Cost = cross_entropy,
) -> tuple[TrainState, Float[Array, ""]]:
    """Moves the network one step down the mean cost of a batch.

    Args:
        state: the network and the optimiser's memory.
        images: shape `(batch, 784)`; floats from 0 to 1, or uint8 from 0 to 255.
        labels: the digits they show, shape `(batch,)`.
        optimizer: any optax transformation; static under `jit`, as is `cost`.
        cost: of one image.

    Returns:
        The new state, and the mean cost before the step.

    Example:
        >>> import jax, jaxnet, optax
        >>> optimizer = optax.adam(0.01)
        >>> params = jaxnet.init(jax.random.key(0))
        >>> state = jaxnet.training.TrainState(params, optimizer.init(params))
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(1), 100)
        >>> state, cost = jaxnet.training.train_step(state, images, labels, optimizer=optimizer)
        >>> cost.shape
        ()
    """

    def mean_cost(params: Params) -> Float[Array, ""]:
        return jax.vmap(cost, in_axes=(None, 0, 0))(params, _unit(images), labels).mean()

    value, gradient = jax.value_and_grad(mean_cost)(state.params)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    params = cast(Params, optax.apply_updates(state.params, updates))
    return TrainState(params, opt_state), value


def train_epoch(
    key: Key[Array, ""],
    state: TrainState,
    images: Num[Array | np.ndarray, "n pixels"],
    labels: Int[Array | np.ndarray, " n"],
    *,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    cost: Cost = cross_entropy,
    augment: Augment | None = None,
) -> tuple[TrainState, Float[Array, ""]]:
    """Takes a step for each batch of the shuffled images, as one `jax.lax.scan`.

    The images left over when `n` is no multiple of `batch_size` sit this epoch out; each
    epoch's key chooses others.

    Args:
        key: from `jax.random.key`; shuffles and augments.
        state, images, labels, optimizer, cost: as for `train_step`.
        batch_size: images a step, at most `n`.
        augment: changes an image under a key, such as `jaxnet.data.warp.affine`.

    Returns:
        The new state, and the mean cost over the epoch.

    Raises:
        ValueError: `batch_size` is not between 1 and `n`.

    Example: see `examples/learn.py`.
    """
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    n = len(images)
    if not 1 <= batch_size <= n:
        raise ValueError(f"Expected batch_size from 1 to the {n} images; got {batch_size} instead.")
    n_steps = n // batch_size
    key_order, key_augment = jax.random.split(key)
    order = jax.random.permutation(key_order, n)[: n_steps * batch_size]

    def step(
        state: TrainState, batch: tuple[Key[Array, ""], Int[Array | np.ndarray, " batch"]]
    ) -> tuple[TrainState, Float[Array, ""]]:
        k, i = batch
        x = _unit(images[i])
        if augment is not None:
            x = jax.vmap(augment)(jax.random.split(k, batch_size), x)
        return train_step(state, x, labels[i], optimizer=optimizer, cost=cost)

    batches = jax.random.split(key_augment, n_steps), order.reshape(n_steps, batch_size)
    state, costs = jax.lax.scan(step, state, batches)
    return state, costs.mean()


def evaluate(
    params: Params,
    images: Num[Array | np.ndarray, "n pixels"],
    labels: Int[Array | np.ndarray, " n"],
    *,
    squash: Squash = sigmoid,
) -> Float[Array, ""]:
    """The share of images that the network reads rightly.

    Args:
        params: the network.
        images, labels: as for `train_step`; any number, read a tile at a time.
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
        return predict(params, _unit(x), squash=squash) == y.astype(int)

    return jax.lax.map(right, (images, labels), batch_size=1024).mean()


def _unit(images: Num[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
    """Bytes from 0 to 255 as floats from 0 to 1; floats as they are."""
    if images.dtype != jnp.uint8 and not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(f"Expected images in uint8 or floats; got {images.dtype} instead.")
    images = jnp.asarray(images)
    return images.astype(jnp.float32) / 255 if images.dtype == jnp.uint8 else images
