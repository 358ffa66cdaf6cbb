"""What a neuron responds to: its inputs' contributions, its gradient, its maximizing image."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key
from numpy.typing import NDArray

from jaxnet._util.pixels import side_of
from jaxnet.data.synthetic import COMPONENTS, N_NUMBERS, drawing
from jaxnet.network import Image, Params, Squash, activations, forward, logits, predict


def contributions(
    params: Params, x: Image, layer: int, neuron: ArrayLike, *, squash: Squash = "sigmoid"
) -> Float[Array, " inputs"]:
    """What each input adds to one neuron's weighted sum: weight × activation.

    Together with the bias they add up to the number that is squashed. A sigmoid neuron is above
    one half when the contributions sum to more than minus the bias.

    Args:
        params: the network.
        x: one image, shape `(784,)`, values 0 to 1.
        layer: the neuron's layer, 1 or more; static under `jit`.
        neuron: its index in the layer, from 0; may be traced.
        squash: the squashing function of the hidden layers, as in `jaxnet.forward`.

    Returns:
        One number per neuron of the previous layer, shape `(inputs,)`, of either sign.

    Raises:
        TypeError, ValueError: no such layer or neuron, or invalid arguments of `jaxnet.forward`.

    Example:
        >>> import jax, jaxnet
        >>> x = jaxnet.data.synthetic.draw(jax.random.key(0), 7)
        >>> jaxnet.analysis.contributions(jaxnet.pretrained(), x, layer=2, neuron=3).shape
        (16,)

    Source: 3Blue1Brown, "But what is a neural network?", 2017: w₁a₁ + w₂a₂ + … before its sum.
    """
    check_neuron(params, layer, neuron)
    a = activations(params[:layer], x, squash=squash)[layer - 1]
    return jnp.asarray(params[layer - 1][0])[neuron] * a


def weighted_sum(
    params: Params, x: Image, layer: int, neuron: ArrayLike, *, squash: Squash = "sigmoid"
) -> Float[Array, ""]:
    """The number one neuron squashes: the sum of its inputs' contributions and its bias.

    Args:
        params, x, layer, neuron, squash: as for `contributions`.

    Returns:
        A scalar.

    Raises:
        TypeError, ValueError: as for `contributions`.

    Example:
        >>> import jax, jaxnet
        >>> x = jaxnet.data.synthetic.draw(jax.random.key(0), 7)
        >>> z = jaxnet.analysis.weighted_sum(jaxnet.pretrained(), x, layer=3, neuron=7)
        >>> bool(jax.nn.sigmoid(z) == jaxnet.forward(jaxnet.pretrained(), x)[7])
        True
    """
    check_neuron(params, layer, neuron)
    return forward(params[:layer], x, squash=squash, last_squash="identity")[neuron]


def saliency(
    params: Params, x: Image, digit: ArrayLike, *, squash: Squash = "sigmoid"
) -> Float[Array, " pixels"]:
    """How much each pixel, made brighter, raises one output's logit: its gradient.

    Args:
        params, x, squash: as for `contributions`.
        digit: the output's index, from 0; may be traced.

    Returns:
        One slope for each pixel, in the shape of `x`.

    Raises:
        TypeError, ValueError: no such output, or as for `jaxnet.forward`.

    Example:
        >>> import jax, jaxnet
        >>> x = jaxnet.data.synthetic.draw(jax.random.key(0), 7)
        >>> jaxnet.analysis.saliency(jaxnet.pretrained(), x, 7).shape
        (784,)

    Source: Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks", 2013.
    """
    check_neuron(params, len(params), digit)
    return jax.grad(lambda x: logits(params, x, squash=squash)[digit])(jnp.asarray(x))


def answering_output(params: Params, x: Image, *, squash: Squash = "sigmoid") -> int:
    """The output that decides the answer: the largest, or the only one."""
    return min(int(predict(params, x, squash=squash)), len(params[-1][1]) - 1)


def maximizing_image(
    params: Params,
    start: Image,
    layer: int,
    neuron: ArrayLike,
    *,
    n_steps: int = 300,
    rate: float = 0.03,
    squash: Squash = "sigmoid",
) -> Float[Array, " pixels"]:
    """Maximizes one neuron's weighted sum over images, by signed gradient ascent.

    Every step moves each pixel by the same amount in the direction that raises the sum and clips
    it to 0 to 1; the amount decays linearly from `rate` to zero. In the first layer the result is
    the global maximum: 1 where the weight is positive, 0 where it is negative. In deeper layers it
    is a local maximum near the start. A black start works well, because no sigmoid is saturated
    yet. Pixels that make no difference keep their values.

    Args:
        params, layer, neuron, squash: as for `contributions`.
        start: the initial image; for a random one, `jax.random.uniform(key, (784,))`.
        n_steps: the number of steps, static; with more than 2 / `rate`, any image can be reached
            from any start.
        rate: the size of the first step, positive.

    Returns:
        An image in the shape of `start`, values 0 to 1.

    Raises:
        TypeError, ValueError: as for `contributions`.

    Example:
        >>> import jax, jaxnet
        >>> params, black = jaxnet.pretrained(), jax.numpy.zeros(784)
        >>> x = jaxnet.analysis.maximizing_image(params, black, layer=3, neuron=7)
        >>> int(jaxnet.predict(params, x))
        7

    Source: Erhan, Bengio, Courville and Vincent, "Visualizing higher-layer features of a deep
    network", 2009. The step is steepest ascent in the maximum norm.
    """
    check_neuron(params, layer, neuron)

    def step(x: Array, amount: Array) -> tuple[Array, None]:
        slope = jax.grad(lambda x: weighted_sum(params, x, layer, neuron, squash=squash))(x)
        return jnp.clip(x + amount * jnp.sign(slope), 0, 1), None

    start = jnp.asarray(start)
    amounts = rate * jnp.linspace(1, 0, n_steps, endpoint=False, dtype=start.dtype)
    return jax.lax.scan(step, jnp.clip(start, 0, 1), amounts)[0]


def maximizing_drawing(
    key: Key[Array, ""],
    params: Params,
    layer: int,
    neuron: ArrayLike,
    *,
    n_drawings: int = 32,
    n_steps: int = 60,
    squash: Squash = "sigmoid",
) -> Float[Array, " pixels"]:
    """Maximizes one neuron's weighted sum over drawn digits and components of digits.

    Where `maximizing_image` may set every pixel, and finds noise that no pen draws, this sets the
    numbers that determine a drawing: where its strokes lie, their slant, the pen. Of random
    drawings of every kind the best 16 are improved by signed gradient ascent.

    Args:
        key: from `jax.random.key`; draws where to start.
        params, layer, neuron, squash: as for `maximizing_image`; of square images.
        n_drawings: how many of each digit and component to start with; static.
        n_steps: the number of steps, static.

    Returns:
        A drawing, shape `(pixels,)`, values 0 to 1.

    Raises:
        TypeError, ValueError: as for `contributions`.

    Example:
        >>> import jax, jaxnet
        >>> params = jaxnet.pretrained()
        >>> x = jaxnet.analysis.maximizing_drawing(jax.random.key(0), params, layer=3, neuron=7)
        >>> int(jaxnet.predict(params, x))
        7
    """
    check_neuron(params, layer, neuron)
    draw = partial(drawing, side=side_of(params[0][0].shape[1], "params"))

    def excitement(numbers: Array, subject: Array) -> Array:
        return weighted_sum(params, draw(numbers, subject), layer, neuron, squash=squash)

    subjects = jnp.tile(jnp.arange(10 + len(COMPONENTS)), n_drawings)
    numbers = jax.random.uniform(key, (subjects.size, N_NUMBERS))
    sums = jax.lax.map(lambda one: excitement(*one), (numbers, subjects), batch_size=16)
    best = jax.lax.top_k(sums, 16)[1]

    def improved(numbers: Array, subject: Array) -> Array:
        def step(numbers: Array, amount: Array) -> tuple[Array, None]:
            slope = jax.grad(excitement)(numbers, subject)
            return jnp.clip(numbers + amount * jnp.sign(slope), 0, 1), None

        return jax.lax.scan(step, numbers, jnp.linspace(0.05, 0, n_steps, endpoint=False))[0]

    found = jax.vmap(improved)(numbers[best], subjects[best])
    sums = jax.vmap(excitement)(found, subjects[best])
    return draw(found[sums.argmax()], subjects[best][sums.argmax()])


def maximizing_images(
    params: Params,
    layer: int,
    neuron: int | None = None,
    *,
    natural: bool = False,
    squash: Squash = "sigmoid",
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The maximizing image of one neuron, or of every neuron in a layer, on the host.

    Compiles `maximizing_image`, from black, or `maximizing_drawing` once, and runs it for each.

    Args:
        params, layer, squash: as for `maximizing_image`.
        neuron: a Python integer; by default, every neuron of the layer.
        natural: search among drawings, by `maximizing_drawing`.

    Returns:
        NumPy arrays: the neurons' indices, shape `(n,)`; their images, `(n, pixels)`; and their
        weighted sums for these images, `(n,)`.

    Raises:
        TypeError, ValueError: no such layer or neuron.

    Example:
        >>> import jaxnet
        >>> indices, images, sums = jaxnet.analysis.maximizing_images(jaxnet.pretrained(), 3)
        >>> images.shape
        (10, 784)
    """
    check_neuron(params, layer, 0 if neuron is None else neuron)
    indices = np.arange(len(params[layer - 1][1])) if neuron is None else np.array([neuron])
    images, sums = _maximizing_images(params, jnp.asarray(indices), layer, natural, squash)
    return indices, np.asarray(images), np.asarray(sums)


@partial(jax.jit, static_argnames=("layer", "natural", "squash"))
def _maximizing_images(
    params: Params, neurons: Array, layer: int, natural: bool, squash: Squash
) -> tuple[Array, Array]:
    black, key = jnp.zeros(params[0][0].shape[1], params[0][0].dtype), jax.random.key(0)

    def maximize(neuron: Array) -> tuple[Array, Array]:
        if natural:
            x = maximizing_drawing(key, params, layer, neuron, squash=squash)
        else:
            x = maximizing_image(params, black, layer, neuron, squash=squash)
        return x, weighted_sum(params, x, layer, neuron, squash=squash)

    return jax.lax.map(maximize, neurons, batch_size=4 if natural else 64)


def check_neuron(params: Params, layer: Any, neuron: Any) -> None:
    """Checks that a network has this layer and neuron; an array or tracer is not checked."""
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
