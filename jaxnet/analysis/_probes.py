"""Which components and digits neurons detect, and what it costs to silence them."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import sigmoid
from jaxtyping import Array, Bool, Float, Integer, Key

from jaxnet._util.pixels import side_of, unit
from jaxnet.analysis._edges import EdgeFit, edge_fit
from jaxnet.data import synthetic
from jaxnet.network import Layer, Params, Squash, activations, as_function, logits
from jaxnet.training import MeanCost, evaluate
from jaxnet.training._checks import check_examples, check_pixels
from jaxnet.training._loss import Images

Labels = Integer[Array | np.ndarray, " n"]
# The least R² of an edge, and the least area under the ROC curve of a detector.
EDGE, DETECTS = 0.9, 0.95


class ComponentFit(NamedTuple):
    """How well each neuron detects each of `jaxnet.data.synthetic.COMPONENTS`.

    Attributes:
        alone: on drawings of components alone, for each layer an array of shape `(neurons, 16)`.
        within: the same within drawn digits, which are made of components.
    """

    alone: tuple[Float[Array, "neurons 16"], ...]
    within: tuple[Float[Array, "neurons 16"], ...]


class Probe(NamedTuple):
    """What each neuron of a network detects, and what it costs to silence it.

    Attributes:
        edges: the best-fitting edges of the first layer's neurons, arrays of shape `(neurons,)`;
            each pixel counts by its variance in the images, those always black not at all.
        explained: R² if all pixels count alike.
        components: how well each neuron detects each component.
        digits: how well each neuron detects each digit, for each layer of shape `(neurons, 10)`.
        silence: the accuracy lost if a neuron is silent, for each layer of shape `(neurons,)`.
        accuracy: of the whole network on the images.
    """

    edges: EdgeFit
    explained: Float[Array, " neurons"]
    components: ComponentFit
    digits: tuple[Float[Array, "neurons 10"], ...]
    silence: tuple[Float[Array, " neurons"], ...]
    accuracy: Float[Array, ""]

    def component(self, layer: int) -> Array:
        """The component that each neuron of a layer, from 1, detects best, shape `(neurons,)`."""
        return _both(self.components, layer).argmax(1)

    def detects(self, layer: int) -> Array:
        """How well it detects that one: the lower of alone and within digits."""
        return _both(self.components, layer).max(1)

    def n_components(self) -> int:
        """How many different components the last hidden layer detects."""
        layer = max(1, len(self.digits) - 1)
        told = np.asarray(self.component(layer))[np.asarray(self.detects(layer)) >= DETECTS]
        return len({*told.tolist()})

    def summary(self) -> str:
        """How many neurons detect edges and components, as the video hopes, in a sentence."""
        r2 = self.edges.explained
        return (
            f"{(r2 >= EDGE).sum()} of {len(r2)} neurons of layer 1 are edges (R² {EDGE} or more; "
            f"the mean is {r2.mean():.2f}); layer {max(1, len(self.digits) - 1)} detects "
            f"{self.n_components()} of {len(synthetic.COMPONENTS)} components (area under the ROC "
            f"curve {DETECTS} or more)."
        )


def auc(scores: Float[Array, " n"], truth: Bool[Array, " n"]) -> Float[Array, ""]:
    """The area under the ROC curve: how well scores separate items with a property from others.

    It is the probability that an item with the property scores higher than one without; a tie
    counts half. 1 is perfect, 0.5 is chance, 0 is perfect with the sign turned.

    Args:
        scores: shape `(n,)`.
        truth: whether each item has the property, shape `(n,)`.

    Returns:
        A scalar from 0 to 1; NaN if all items have the property, or none.

    Example:
        >>> import jax.numpy as jnp, jaxnet
        >>> scores, truth = jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([False, False, True, True])
        >>> jaxnet.analysis.auc(scores, truth).item()
        0.75

    Source: Hanley and McNeil, "The meaning and use of the area under a receiver operating
    characteristic (ROC) curve", 1982.
    """
    scores = jnp.asarray(scores)
    scores = scores if scores.dtype == jnp.float64 else scores.astype(jnp.float32)
    has = jnp.asarray(truth).astype(scores.dtype)
    ordered = jnp.sort(scores)
    below, up_to = (jnp.searchsorted(ordered, scores, side) for side in ("left", "right"))
    rank = (below + up_to).astype(scores.dtype) / (2 * scores.size)  # among all, from 0 to 1
    share = has.mean()
    area = ((rank * has).mean() / share - share / 2) / (1 - share)
    return jnp.where((share > 0) & (share < 1), area, jnp.nan)


def selectivity(
    params: Params, images: Images, truth: Bool[Array, "n k"], *, squash: Squash = "sigmoid"
) -> tuple[Float[Array, "neurons k"], ...]:
    """How well each neuron's activation detects each of `k` properties of images.

    Args:
        params: the network.
        images: shape `(n, 784)`, uint8 or floats from 0 to 1.
        truth: shape `(n, k)`; for digits, `jax.nn.one_hot(labels, 10, dtype=bool)`.
        squash: the hidden layers' activation function.

    Returns:
        For each layer, the first hidden one first, `auc` of each neuron for each property, shape
        `(neurons, k)`.

    Raises:
        TypeError, ValueError: what `jaxnet.activations` refuses.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 500)
        >>> digits = jax.nn.one_hot(labels, 10, dtype=bool)
        >>> *_, last = jaxnet.analysis.selectivity(jaxnet.pretrained(), images, digits)
        >>> bool(last.diagonal().min() > 0.99)  # each output detects its digit
        True
    """

    def ordered(x: Array) -> list[Array]:
        # In float32 saturated activations would tie; what they squash does not.
        if as_function(squash) in (sigmoid, jnp.tanh):
            ends = range(1, len(params) + 1)
            return [logits(params[:end], x, squash=squash) for end in ends]
        return [*activations(params, x, squash=squash, last_squash="identity")[1:]]

    layers = jax.vmap(ordered)(unit(images))
    of_one = jax.vmap(auc, in_axes=(None, 1))
    return tuple(jax.vmap(of_one, in_axes=(1, None))(a, jnp.asarray(truth)) for a in layers)


def component_fit(
    key: Key[Array, ""], params: Params, *, n: int = 4_000, squash: Squash = "sigmoid"
) -> ComponentFit:
    """How well each neuron detects each component of digits, alone and within digits.

    Args:
        key: from `jax.random.key`; draws the images.
        params: the network, of square images.
        n: how many of each kind to draw; static.
        squash: the hidden layers' activation function.

    Returns:
        Areas under the ROC curve, as of `selectivity`.

    Raises:
        TypeError, ValueError: what `jaxnet.activations` refuses.

    Example:
        >>> import jax, jaxnet
        >>> fit = jaxnet.analysis.component_fit(jax.random.key(0), jaxnet.pretrained(), n=500)
        >>> [layer.shape for layer in fit.alone]
        [(16, 16), (16, 16), (10, 16)]
    """
    side = side_of(params[0][0].shape[1], "params")
    key_alone, key_within = jax.random.split(key)
    alone, which = synthetic.sample_components(key_alone, n, side=side)
    one = jax.nn.one_hot(which, len(synthetic.COMPONENTS), dtype=bool)
    within, _, has = synthetic.sample_with_components(key_within, n, side=side)
    return ComponentFit(
        selectivity(params, alone, one, squash=squash),
        selectivity(params, within, has, squash=squash),
    )


def silence_cost(
    params: Params, images: Images, labels: Labels, *, squash: Squash = "sigmoid"
) -> tuple[Float[Array, " neurons"], ...]:
    """The accuracy lost if a neuron is silent, its activation 0, for each neuron by itself.

    A silent output never wins. Negative where the network does better without the neuron.

    Args:
        params, images, labels: as for `jaxnet.evaluate`.
        squash: the hidden layers' activation function.

    Returns:
        For each layer, the first hidden one first, shape `(neurons,)`: accuracies from -1 to 1.

    Raises:
        TypeError, ValueError: as for `jaxnet.evaluate`.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 500)
        >>> costs = jaxnet.analysis.silence_cost(jaxnet.pretrained(), images, labels)
        >>> [layer.shape for layer in costs]
        [(16,), (16,), (10,)]
    """

    def accuracy(params: Params) -> Array:
        return evaluate(params, images, labels, loss=MeanCost(squash=squash)).accuracy

    def silent(layer: int, neuron: Array) -> Params:
        w, b = params[layer]
        if layer == len(params) - 1:
            floor = jnp.finfo(b.dtype).min
            altered = Layer(w, jnp.where(jnp.arange(len(b)) == neuron, floor, b))
            return (*params[:-1], altered)
        w, b = params[layer + 1]  # which then ignores the neuron
        altered = Layer(jnp.where(jnp.arange(w.shape[1]) == neuron, 0, w), b)
        return (*params[: layer + 1], altered, *params[layer + 2 :])

    whole = accuracy(params)
    return tuple(
        whole - jax.vmap(lambda neuron, n=n: accuracy(silent(n, neuron)))(jnp.arange(len(b)))
        for n, (_, b) in enumerate(params)
    )


def probe(
    key: Key[Array, ""],
    params: Params,
    images: Images,
    labels: Labels,
    *,
    squash: Squash = "sigmoid",
) -> Probe:
    """Asks whether a network works as the video hopes: edges, then components, then digits.

    Args:
        key: from `jax.random.key`; draws components, alone and within digits.
        params: the network, of square images.
        images, labels: of digits, as for `jaxnet.evaluate`, such as synthetic ones or MNIST's.
        squash: the hidden layers' activation function.

    Returns:
        A report on every neuron. Use it outside `jit`: `summary()` says it in a sentence.

    Raises:
        TypeError, ValueError: as for `jaxnet.evaluate` and `edge_fit`.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 500)
        >>> report = jaxnet.analysis.probe(
        ...     jax.random.key(1), jaxnet.pretrained("components"), images, labels
        ... )
        >>> report.summary()  # doctest: +ELLIPSIS
        '16 of 16 neurons of layer 1 are edges ... detects 16 of 16 components ...'

    Source: 3Blue1Brown, "But what is a neural network?", 2017, which hopes for this; Morcos et al.,
    "On the importance of single directions for generalization", 2018, for silenced neurons.
    """
    check_examples(images, labels)
    check_pixels(images)
    return _probe(key, params, images, labels, squash)


@partial(jax.jit, static_argnames="squash")
def _probe(key: Array, params: Params, images: Images, labels: Labels, squash: Squash) -> Probe:
    weights = params[0][0]
    importance = unit(images).var(0)
    digits = jax.nn.one_hot(labels, max(len(params[-1][1]), 2), dtype=bool)
    # Fit under both importances in one program: compiling takes longer than running.
    both = jnp.stack([importance, jnp.ones_like(importance)])
    fits = jax.vmap(jax.vmap(edge_fit, in_axes=(0, None)), in_axes=(None, 0))(weights, both)
    return Probe(
        jax.tree.map(lambda a: a[0], fits),
        fits.explained[1],
        component_fit(key, params, squash=squash),
        selectivity(params, images, digits, squash=squash),
        silence_cost(params, images, labels, squash=squash),
        evaluate(params, images, labels, loss=MeanCost(squash=squash)).accuracy,
    )


def _both(fit: ComponentFit, layer: int) -> Array:
    """The lesser of both areas, alone and within digits, shape `(neurons, 16)`."""
    return jnp.minimum(fit.alone[layer - 1], fit.within[layer - 1])
