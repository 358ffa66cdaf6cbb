"""The loss: what training minimizes, a function of params, images, labels and a key."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Num

from jaxnet._util.pixels import unit
from jaxnet._util.sharding import on_own_mesh, sharded_like, whole_last_axis
from jaxnet.network import Image, Layer, Params, Squash, as_function, check, predicted, propagate
from jaxnet.training._costs import Cost, cross_entropy, has_output, narrow, wide

Images = Num[Array | np.ndarray, "n pixels"]
Augment = Callable[[Key[Array, ""], Image], Image]
Network = Callable[[Any], Params]
# Of params, images, labels and a key: a scalar, or a scalar and a pytree of metrics.
Loss = Callable[[Any, Any, Any, Any], Any]


class Ratio(NamedTuple):
    """A metric that is a quotient of two means, such as a weighted accuracy or a precision.

    Over many batches each part is averaged by itself, and then they are divided, so that a batch
    counts by its `whole`.

    Attributes:
        part: a scalar, such as the mean of weight times correctness.
        whole: a scalar, such as the mean weight; if it is 0 everywhere, the quotient is NaN.
    """

    part: Float[Array, ""]
    whole: Float[Array, ""]


@dataclass(frozen=True)
class MeanCost:
    """A loss: the mean cost over the images of a batch, with the accuracy as its metric.

    Two that are built from equal arguments are equal, so that both compile only once.

    Args:
        cost: of one image, from its logits and its label: any optax loss that is a scalar.
        squash: the hidden layers' activation function, or its name.
        augment: transforms an image, given a key, such as `jaxnet.data.augment.affine`. Left out
            where the loss gets no key, as in evaluation.
        network: builds the network from `params`, if you train something else, such as low-rank
            updates or float weights that are quantized on use.
        weighted: whether `labels` is a pair of labels and weights, one weight per image. An image
            of weight 0 is ignored, such as an unlabeled one or padding; one of negative weight is
            unlearned.

    Returns:
        A function `loss(params, images, labels, key=None)` of a batch: images of shape `(n, 784)`,
        uint8 from 0 to 255 or floats from 0 to 1, and their digits, shape `(n,)`, or what `cost`
        takes, one row per image. It returns the sum of weight times cost divided by `n`, and
        `{"accuracy": …}`, which counts images by their weights. There is no accuracy if the labels
        are neither integers, shape `(n,)`, nor the probabilities that `cross_entropy` takes.

    Raises:
        TypeError, ValueError: as `train_epoch`.

    Example:
        >>> import jax, jaxnet
        >>> from jaxnet.training import MeanCost, quadratic_cost
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(1), 100)
        >>> cost, metrics = MeanCost(quadratic_cost)(jaxnet.pretrained(), images, labels)
        >>> bool(cost < 0.2), bool(metrics["accuracy"] > 0.9)
        (True, True)
        >>> MeanCost(squash="relu") == MeanCost(squash=jax.nn.relu)
        True
        >>> labeled = labels != 7  # the sevens are ignored
        >>> _, metrics = MeanCost(weighted=True)(
        ...     jaxnet.pretrained(), images, (labels, labeled.astype("float32"))
        ... )
        >>> bool(metrics["accuracy"].whole == labeled.mean())
        True
    """

    cost: Cost = cross_entropy
    _: KW_ONLY
    squash: Squash = "sigmoid"
    augment: Augment | None = None
    network: Network | None = None
    weighted: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "squash", as_function(self.squash))

    def __call__(
        self, params: Any, images: Images, labels: Any, key: Key[Array, ""] | None = None
    ) -> tuple[Float[Array, ""], dict[str, Any]]:
        """The mean cost of a batch, and its accuracy."""
        return on_own_mesh(self._of_batch)(params, images, labels, key)

    def _of_batch(
        self, params: Any, images: Images, labels: Any, key: Any
    ) -> tuple[Array, dict[str, Any]]:
        """`__call__`, on the images' mesh."""
        z = self._logits(self.built(params), self.augmented(images, key))
        labels, weights = self.split(labels, images.shape[0])
        labels, w = jax.tree.map(
            lambda a: sharded_like(jnp.asarray(a), z), (narrow(labels), weights)
        )
        if self.weighted:  # an ignored image may have any label, such as -1
            kept = w.astype(bool)
            labels = jax.tree.map(
                lambda y: jax.vmap(lambda k, a: jnp.where(k, a, jnp.zeros_like(a)))(kept, y), labels
            )
        costs = wide(jax.vmap(self.cost)(z, labels))
        if costs.ndim != 1:
            raise ValueError(
                "Expected cost to return a scalar for each image; got an array of shape "
                f"{costs.shape[1:]} instead. Sum it, as in "
                "lambda z, y: optax.sigmoid_binary_cross_entropy(z, y).sum()."
            )
        w = w.astype(costs.dtype)
        right = self._right(z, labels)
        metrics: dict[str, Any] = {}
        if right is not None:
            accuracy = Ratio((w * right.astype(w.dtype)).mean(), w.mean())
            metrics = {"accuracy": accuracy if self.weighted else accuracy.part}
        return (w * costs).mean(), metrics

    def augmented(self, images: Images, key: Key[Array, ""] | None) -> Array:
        """The images as floats, each transformed with a key of its own if there is one."""
        x: Array = unit(images)
        if self.augment is None or key is None:
            return x
        keys = sharded_like(jax.random.split(key, x.shape[0]), x)
        return jnp.asarray(jax.vmap(self.augment)(keys, x))

    def built(self, params: Any) -> Params:
        """The network that `network` builds."""
        return params if self.network is None else self.network(params)

    def split(self, labels: Any, n: Any) -> tuple[Any, Any]:
        """The labels and the weights of `n` images."""
        if not self.weighted:
            # NumPy's, whose values are known; traced if their number is symbolic.
            return labels, (np if isinstance(n, int) else jnp).ones(n, np.float32)
        if not isinstance(labels, tuple | list) or len(labels) != 2:
            got = type(labels).__name__
            raise TypeError(f"Expected labels as a pair, (labels, weights); got {got} instead.")
        if jnp.shape(labels[1]) != (n,):
            raise ValueError(
                f"Expected one weight for each of the {n} images; got {jnp.shape(labels[1])} "
                "instead."
            )
        return labels[0], labels[1]

    def _logits(self, params: Params, images: Array) -> Array:
        """The logits of a batch, an image per column: its gradient is faster than by `vmap`."""
        check(params, jax.ShapeDtypeStruct(images.shape[1:], images.dtype))
        columns = tuple(Layer(w, b[:, None]) for w, b in params)
        by_column = jax.vmap(as_function(self.squash), 1, 1)
        return whole_last_axis(propagate(columns, images.T, by_column, "identity")[-1].T)

    def _right(self, z: Array, labels: Any) -> Array | None:
        """1.0 for each image that is classified correctly; None if the labels do not say."""
        if not isinstance(labels, jax.Array):
            return None
        if jnp.issubdtype(labels.dtype, jnp.integer) and labels.ndim == 1:
            known = jax.vmap(has_output)(z, labels)
            right = jax.vmap(predicted)(z) == labels.astype(int)
            return jnp.where(known, right.astype(jnp.float32), jnp.nan)
        if self.cost is not cross_entropy:
            return None
        digits = labels.argmax(1) if z.shape[1] > 1 else (labels.reshape(-1) > 0.5).astype(int)
        right = (jax.vmap(predicted)(z) == digits).astype(jnp.float32)
        return jnp.where(jnp.isnan(labels).reshape(len(z), -1).any(1), jnp.nan, right)


loss = MeanCost()
