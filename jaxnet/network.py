"""The network of the video, as pure functions of plain arrays.

Every neuron holds an activation between 0 and 1, and each layer is computed from the previous one
by `a = sigmoid(w @ a + b)`. Functions take one image; JAX's transformations do the rest:

- a batch of images: `jax.vmap(forward, in_axes=(None, 0))(params, images)`
- many networks: `jax.vmap(forward, in_axes=(0, None))(ensemble, x)`
- compiled, with ReLU: `jax.jit(functools.partial(forward, squash="relu"))`

`propagate` is the only loop over the layers: training, evaluation and batch inference use it too.

Source: 3Blue1Brown, "But what is a neural network?", 2017.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax.nn.initializers import glorot_uniform
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Key

__all__ = [
    "SIDE",
    "SIZES",
    "SQUASHES",
    "Layer",
    "Params",
    "Squash",
    "activations",
    "count",
    "forward",
    "init",
    "logits",
    "predict",
]

SIDE = 28  # pixels along each side of one of MNIST's images
SIZES = (SIDE**2, 16, 16, 10)


class Layer(NamedTuple):
    """One layer of neurons: the weights of its incoming connections, and its biases.

    Attributes:
        weights: shape `(out, in)`; row `n` holds the connections into neuron `n`.
        biases: shape `(out,)`; neuron `n` exceeds one half where its inputs add up to more than
            `-biases[n]`.
    """

    weights: Float[Array, "out in"]
    biases: Float[Array, " out"]


with suppress(ValueError):  # the name is taken if this module is reloaded
    jax.export.register_namedtuple_serialization(Layer, serialized_name="jaxnet.Layer")

Params = tuple[Layer, ...]
Image = Float[Array | np.ndarray, " pixels"]
Function = Callable[[Array], Array]
Squash = str | Function
# Every squashing function by the name that files and the command line use.
SQUASHES: Mapping[str, Function] = {
    "sigmoid": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "tanh": jax.nn.tanh,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "softmax": jax.nn.softmax,
    "identity": jax.nn.identity,
}
Initializer = Callable[[Key[Array, ""], tuple[int, int], DTypeLike], Array]


def _glorot(key: Array, shape: tuple[int, int], dtype: DTypeLike) -> Array:
    """Glorot-uniform weights of shape `(in, out)`, drawn as `(out, in)`."""
    return glorot_uniform()(key, shape[::-1], dtype).T


def init(
    key: Key[Array, ""],
    sizes: Sequence[int] = SIZES,
    *,
    initializer: Initializer = _glorot,
    dtype: DTypeLike = jnp.float32,
) -> Params:
    """Initializes a random network: Glorot-uniform weights, zero biases.

    Args:
        key: from `jax.random.key`; do not use it again.
        sizes: layer sizes, input first; at least two, all positive.
        initializer: draws the weights; by default uniformly in ±sqrt(6 / (in + out)). For ReLU,
            use `jax.nn.initializers.he_normal()`. It is called with JAX's shape `(in, out)`, and
            its result is transposed.
        dtype: floating-point type of all arrays.

    Returns:
        A `Layer` for each size after the first.

    Raises:
        ValueError: fewer than two sizes, or one that is not positive.

    Example:
        >>> import jax, jaxnet
        >>> [layer.weights.shape for layer in jaxnet.init(jax.random.key(0))]
        [(16, 784), (16, 16), (10, 16)]
        >>> he = jax.nn.initializers.he_normal()
        >>> first, *_ = jaxnet.init(jax.random.key(0), initializer=he)
        >>> float((first.weights.std() * (784 / 2) ** 0.5).round(1))  # a variance of 2 / in
        1.0

    Source: Glorot and Bengio, AISTATS 2010, equation 16.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"Expected at least two positive sizes, such as {SIZES}; got {sizes}.")
    keys = jax.random.split(key, len(sizes) - 1)
    return tuple(
        Layer(initializer(k, (n_in, n_out), dtype).T, jnp.zeros(n_out, dtype))
        for k, n_in, n_out in zip(keys, sizes[:-1], sizes[1:], strict=True)
    )


def forward(
    params: Params, x: Image, *, squash: Squash = "sigmoid", last_squash: Squash = "sigmoid"
) -> Float[Array, " out"]:
    """Runs one image through the network: the video's a¹ = σ(W a⁰ + b), layer by layer.

    Args:
        params: the layers; each takes as many inputs as the previous one has neurons.
        x: one image, shape `(784,)`, values from 0 (black) to 1 (white).
        squash: the hidden layers' activation function, or its name in `SQUASHES`; static under
            `jit`.
        last_squash: the last layer's.

    Returns:
        The activations of the last layer, shape `(10,)`; each in [0, 1] under sigmoid.

    Raises:
        TypeError, ValueError: wrong dtypes or shapes, at trace time; the message shows the
            right call.

    Example:
        >>> import jax, jaxnet
        >>> params, x = jaxnet.init(jax.random.key(0)), jax.numpy.zeros(784)
        >>> jaxnet.forward(params, x).shape
        (10,)
    """
    return activations(params, x, squash=squash, last_squash=last_squash)[-1]


def logits(params: Params, x: Image, *, squash: Squash = "sigmoid") -> Float[Array, " out"]:
    """The last layer's weighted sums: `forward` without the last squash.

    Takes and raises what `forward` does. Returns shape `(10,)`, unbounded.

    Example:
        >>> import jax, jaxnet
        >>> params, x = jaxnet.init(jax.random.key(0)), jax.numpy.zeros(784)
        >>> jaxnet.logits(params, x).shape
        (10,)
    """
    return forward(params, x, squash=squash, last_squash="identity")


def activations(
    params: Params, x: Image, *, squash: Squash = "sigmoid", last_squash: Squash = "sigmoid"
) -> tuple[Float[Array, " neurons"], ...]:
    """The activations of every layer, starting with the image itself.

    Takes and raises what `forward` does. Returns a tuple with one array per layer.

    Example:
        >>> import jax, jaxnet
        >>> params, x = jaxnet.init(jax.random.key(0)), jax.numpy.zeros(784)
        >>> [a.shape for a in jaxnet.activations(params, x)]
        [(784,), (16,), (16,), (10,)]
    """
    check(params, x)
    return tuple(propagate(params, jnp.asarray(x), squash, last_squash))


def propagate(params: Params, a: Array, squash: Squash, last_squash: Squash) -> list[Array]:
    """The forward pass, the network's only loop over its layers: `a` and all that follows it."""
    squashes = [as_function(squash)] * (len(params) - 1) + [as_function(last_squash)]
    all_a = [a]
    for (w, b), f in zip(params, squashes, strict=True):
        a = f(w @ a + b)
        all_a.append(a)
    return all_a


def predict(params: Params, x: Image, *, squash: Squash = "sigmoid") -> Int[Array, ""]:
    """The predicted digit: the index of the largest output.

    Takes and raises what `forward` does. Returns a scalar integer, 0 to 9. Compares the logits,
    since in float32 two saturated sigmoids tie at 1.0. A network with a single output predicts 1 if
    that exceeds one half, otherwise 0.

    Example:
        >>> import jax, jaxnet
        >>> x = jaxnet.data.synthetic.draw(jax.random.key(0), 7)
        >>> int(jaxnet.predict(jaxnet.pretrained(), x))
        7
    """
    return predicted(logits(params, x, squash=squash))


def predicted(z: Float[Array, " out"]) -> Int[Array, ""]:
    """The digit that logits predict: the largest's index, or 1 if a single one is positive."""
    return jnp.argmax(z) if z.size != 1 else (z[0] > 0).astype(int)


def count(params: Params) -> int:
    """The number of weights and biases.

    Args:
        params: the network, or any pytree of arrays.

    Returns:
        An int; 13,002 for the video's network.

    Example:
        >>> import jax, jaxnet
        >>> jaxnet.count(jaxnet.init(jax.random.key(0)))
        13002
    """
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def as_function(squash: Squash) -> Function:
    """The squashing function itself, given it or its name."""
    if callable(squash):
        return squash
    if squash not in [*SQUASHES]:  # a list also takes what has no hash
        raise ValueError(
            f"Expected a squash as a function or one of {', '.join(SQUASHES)}; "
            f"got {squash!r:.60} instead."
        )
    return SQUASHES[squash]


def check_params(params: Any) -> None:
    """Validates a network, of arrays or their shapes; runs at trace time only."""
    if not isinstance(params, (tuple, list)) or not params or not all(map(_is_layer, params)):
        raise TypeError(
            "Expected params as a tuple of Layer(weights, biases), arrays of floating-point "
            f"numbers; got another {type(params).__name__} instead. For a layer without biases, "
            "use zeros: Layer(w, jax.numpy.zeros(len(w)))."
        )
    for n, (w, b) in enumerate(params):
        if min(w.dtype.itemsize, b.dtype.itemsize) < 2:  # float8
            raise TypeError(
                f"Expected params of 16 bits or more; got {w.dtype} and {b.dtype} in params[{n}]. "
                "Compute in a wider type: jax.tree.map(lambda a: a.astype('float32'), params)."
            )
        if w.ndim != 2 or b.shape != w.shape[:1] or (n and w.shape[1] != params[n - 1][1].size):
            raise ValueError(
                f"Expected params[{n}] of shapes (out, in) and (out,), `in` the neurons of the "
                f"layer before; got {w.shape} and {b.shape} instead. {_remedy(w, b)}"
            )


def _remedy(w: Any, b: Any) -> str:
    """Suggests the likely fix for a layer whose shapes do not match."""
    if w.ndim == b.ndim == 2 and 1 in b.shape and b.size in w.shape:
        return "Flatten the biases with .reshape(-1)."
    if w.ndim == 2 and b.shape == w.shape[1:] != w.shape[:1]:
        return "Transpose the weights with .T."
    return (
        "For a batch of images use jax.vmap(forward, in_axes=(None, 0)), for many networks "
        "in_axes=(0, None)."
    )


def check(params: Any, x: Any) -> None:
    """Validates params and x, arrays or their shapes; runs at trace time only."""
    check_params(params)
    n_in = params[0][0].shape[1]
    if not _is_float(x) or x.shape != (n_in,):
        got = f"{x.dtype}{list(x.shape)}" if hasattr(x, "shape") else type(x).__name__
        raise ValueError(
            f"Expected x as one image, an array of shape ({n_in},) of floats from 0 (black) to 1 "
            f"(white); got {got} instead. For bytes use x / 255, for a picture x.reshape({n_in}), "
            "for another package's array jax.numpy.asarray(x), for a batch "
            "jax.vmap(forward, in_axes=(None, 0))(params, x)."
        )


def _is_layer(pair: Any) -> bool:
    return isinstance(pair, (tuple, list)) and len(pair) == 2 and all(map(_is_float, pair))


def _is_float(a: Any) -> bool:
    try:
        return hasattr(a, "shape") and jnp.issubdtype(a.dtype, jnp.floating)
    except TypeError:  # another package's type, such as torch.float32
        return False
