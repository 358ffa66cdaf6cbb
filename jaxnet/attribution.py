"""What a neuron looks at: its inputs' shares, its slope by each pixel, the image it likes best.

A neuron is named by its layer and its place in it, as in `activations(params, x)[layer][neuron]`:
layer 0 is the image, layer 1 the first that has weights. All functions are pure, and obey `jit`,
with layer and squash static, and `vmap` over images, over networks, or over neurons.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import identity, sigmoid
from jax.typing import ArrayLike
from jaxtyping import Array, Float
from numpy.typing import NDArray

from jaxnet.network import Image, Params, Squash, activations, forward, logits


def contributions(
    params: Params, x: Image, layer: int, neuron: ArrayLike, *, squash: Squash = sigmoid
) -> Float[Array, " inputs"]:
    """What each input adds to one neuron's weighted sum: weight × activation.

    With the bias, they add up to the sum that is squashed; minus the bias is the threshold
    that they must beat together for a sigmoid to pass one half.

    Args:
        params: the network.
        x: one image, shape `(784,)`, from 0 to 1.
        layer: the neuron's, 1 or more; static.
        neuron: its place in the layer, from 0; may be traced.
        squash: of the hidden layers, as in `jaxnet.forward`.

    Returns:
        One number for each neuron of the layer before, any real number.

    Raises:
        TypeError, ValueError: no such layer or neuron, or what `jaxnet.forward` refuses.

    Example:
        >>> import jax, jaxnet
        >>> x = jaxnet.data.strokes.draw(jax.random.key(0), 7)
        >>> jaxnet.attribution.contributions(jaxnet.pretrained(), x, layer=2, neuron=3).shape
        (16,)

    Source: 3Blue1Brown, "But what is a neural network?", 2017: w₁a₁ + w₂a₂ + … before its sum.
    """
    check_neuron(params, layer, neuron)
    a = activations(params[:layer], x, squash=squash)[layer - 1]
    return jnp.asarray(params[layer - 1][0])[neuron] * a


def weighted_sum(
    params: Params, x: Image, layer: int, neuron: ArrayLike, *, squash: Squash = sigmoid
) -> Float[Array, ""]:
    """The number that one neuron squashes: its inputs' contributions and its bias, added up.

    Takes and raises what `contributions` does. Returns a scalar.

    Example:
        >>> import jax, jaxnet
        >>> x = jaxnet.data.strokes.draw(jax.random.key(0), 7)
        >>> z = jaxnet.attribution.weighted_sum(jaxnet.pretrained(), x, layer=3, neuron=7)
        >>> bool(jax.nn.sigmoid(z) == jaxnet.forward(jaxnet.pretrained(), x)[7])
        True
    """
    check_neuron(params, layer, neuron)
    return forward(params[:layer], x, squash=squash, last_squash=identity)[neuron]


def saliency(
    params: Params, x: Image, digit: ArrayLike, *, squash: Squash = sigmoid
) -> Float[Array, " pixels"]:
    """How much each pixel, made brighter, raises one output's logit: its gradient.

    Args:
        params, x, squash: as for `contributions`.
        digit: the output's place, from 0; may be traced.

    Returns:
        One slope for each pixel, in the shape of `x`.

    Raises:
        TypeError, ValueError: no such output, or what `jaxnet.forward` refuses.

    Example:
        >>> import jax, jaxnet
        >>> x = jaxnet.data.strokes.draw(jax.random.key(0), 7)
        >>> jaxnet.attribution.saliency(jaxnet.pretrained(), x, 7).shape
        (784,)

    Source: Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks", 2013.
    """
    check_neuron(params, len(params), digit)
    return jax.grad(lambda x: logits(params, x, squash=squash)[digit])(jnp.asarray(x))


def exciting_image(
    params: Params,
    start: Image,
    layer: int,
    neuron: ArrayLike,
    *,
    n_steps: int = 300,
    rate: float = 0.03,
    squash: Squash = sigmoid,
) -> Float[Array, " pixels"]:
    """Changes an image until one neuron's weighted sum is as large as can be, by its gradient.

    Every step moves each pixel by the same amount in the direction that raises the sum, and
    keeps it from 0 to 1; the amount shrinks from `rate` to nothing. In the first layer that is
    the best image there is: 1 where the weight is positive, 0 where it is negative. Deeper, it
    is the best in reach of the start; a black image is a good one, since no sigmoid is yet
    saturated. A pixel that makes no difference stays as it is.

    Args:
        params, layer, neuron, squash: as for `contributions`.
        start: the image to begin with; a random one is `jax.random.uniform(key, (784,))`.
        n_steps: static; more of them than 2 / `rate` lead from any start to any image.
        rate: of the first step, above zero.

    Returns:
        An image in the shape of `start`, from 0 to 1.

    Raises:
        TypeError, ValueError: no such layer or neuron, or what `jaxnet.forward` refuses.

    Example:
        >>> import jax, jaxnet
        >>> params, black = jaxnet.pretrained(), jax.numpy.zeros(784)
        >>> x = jaxnet.attribution.exciting_image(params, black, layer=3, neuron=7)
        >>> int(jaxnet.predict(params, x))
        7

    Source: Erhan, Bengio, Courville and Vincent, "Visualizing higher-layer features of a deep
    network", 2009; the step is that of steepest ascent where no pixel may change by more than
    another.
    """
    check_neuron(params, layer, neuron)

    def step(x: Array, amount: Array) -> tuple[Array, None]:
        slope = jax.grad(lambda x: weighted_sum(params, x, layer, neuron, squash=squash))(x)
        return jnp.clip(x + amount * jnp.sign(slope), 0, 1), None

    start = jnp.asarray(start)
    amounts = rate * jnp.linspace(1, 0, n_steps, endpoint=False, dtype=start.dtype)
    return jax.lax.scan(step, jnp.clip(start, 0, 1), amounts)[0]


def exciting_images(
    params: Params, layer: int, neuron: int | None = None, *, squash: Squash = sigmoid
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The image that excites a neuron most, or those of all in a layer, from black; compiled.

    Args:
        params, layer, squash: as for `exciting_image`.
        neuron: a Python integer; all of the layer, if not given.

    Returns:
        In NumPy, `n` neurons' places, shape `(n,)`; their images, `(n, pixels)`; and their
        weighted sums there, `(n,)`.

    Raises:
        TypeError, ValueError: no such layer or neuron.

    Example:
        >>> import jaxnet
        >>> places, images, sums = jaxnet.attribution.exciting_images(jaxnet.pretrained(), 3)
        >>> images.shape
        (10, 784)
    """
    check_neuron(params, layer, 0 if neuron is None else neuron)
    wanted = np.arange(len(params[layer - 1][1])) if neuron is None else np.array([neuron])
    images, sums = _exciting_images(params, jnp.asarray(wanted), layer, squash)
    return wanted, np.asarray(images), np.asarray(sums)


@partial(jax.jit, static_argnames=("layer", "squash"))
def _exciting_images(
    params: Params, neurons: Array, layer: int, squash: Squash
) -> tuple[Array, Array]:
    black = jnp.zeros(params[0][0].shape[1], params[0][0].dtype)

    def best(neuron: Array) -> tuple[Array, Array]:
        x = exciting_image(params, black, layer, neuron, squash=squash)
        return x, weighted_sum(params, x, layer, neuron, squash=squash)

    return jax.lax.map(best, neurons, batch_size=64)


def check_neuron(params: Params, layer: Any, neuron: Any) -> None:
    """Raises where a network has no such layer, or the layer no such neuron.

    A neuron that is traced, or an array, is not looked into.

    Raises:
        TypeError: the layer is no Python integer.
        ValueError: there is no such layer or neuron.

    Example:
        >>> import jaxnet
        >>> jaxnet.attribution.check_neuron(jaxnet.pretrained(), layer=3, neuron=9)
    """
    if isinstance(layer, bool) or not isinstance(layer, (int, np.integer)):
        got = type(layer).__name__
        raise TypeError(f"Expected layer as an integer, static under jit; got {got} instead.")
    if not 1 <= layer <= len(params):
        raise ValueError(f"Expected layer from 1 to {len(params)}; got {layer} instead.")
    n = len(params[layer - 1][1])
    if isinstance(neuron, (int, np.integer)) and not 0 <= neuron < n:
        raise ValueError(
            f"Expected neuron from 0 to {n - 1} in layer {layer}; got {neuron} instead."
        )
