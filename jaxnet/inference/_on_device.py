"""Inference of images that are on a device already, as a function that works under `jit`."""

from collections.abc import Callable
from typing import Any, NoReturn

import jax
import jax.numpy as jnp

from jaxnet.inference._classify import Answers
from jaxnet.inference._images import Images, check_shapes
from jaxnet.inference._program import TILE, classify_chunk
from jaxnet.inference._quantize import MAX_PIXELS, Bytes, Floats, in_bytes, multiplies_bytes
from jaxnet.network import Layer, Params, Squash

_PARTS = 4  # bytes per weight: enough even where one weight of a neuron exceeds all others
_CPU_TILE = 16_384  # images multiplied as bytes at a time


def classify_on_device(
    params: Params,
    images: Images,
    *,
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
) -> Answers:
    """Classifies images that are on a device already. Works under `jit`, `vmap` and on meshes.

    Uses XLA's fastest product on each platform. For uint8 images, each first-layer weight becomes
    four int8 parts, which keep 31 bits of a neuron's largest weight. Floats are multiplied as
    floats, and so are uint8 images on a CPU without int8 dot products.

    Args:
        params: the network.
        images: shape `(n, 784)`; uint8 from 0 to 255, or floats from 0 to 1, which are not checked.
        squash, last_squash: as in `forward`; static under `jit`.

    Returns:
        JAX arrays on the same device: the digit of each image, int32 of shape `(n,)`, and all
        activations, shape `(n, 10)`.

    Raises:
        TypeError, ValueError: not a network, or images of the wrong shape or type, at trace time;
            or a derivative of uint8 images, whose weights are rounded on some devices.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 1000)
        >>> images = (255 * images).astype("uint8")
        >>> classify = jax.jit(jaxnet.inference.classify_on_device)
        >>> digits, activations = classify(jaxnet.pretrained(), images)
        >>> bool((digits == labels).mean() > 0.9)
        True
    """
    check_shapes(params, images)
    images = jnp.asarray(images)
    first, *rest = jax.tree.map(jnp.asarray, tuple(Layer(*pair) for pair in params))
    is_uint8 = images.dtype == jnp.uint8

    def as_floats(layer: Layer) -> Floats:
        return Floats(layer.weights.T / (255 if is_uint8 else 1), layer.biases)

    def by(prepare: Callable[[Layer], Floats | Bytes], tile: int | None) -> Callable[..., Any]:
        return lambda first, rest, images: classify_chunk(
            prepare(first),
            rest,
            images,
            squash=squash,
            last_squash=last_squash,
            brightest=False,
            tile=tile,
        )

    exact = jnp.finfo(first.weights.dtype).bits <= 32 and images.shape[1] <= MAX_PIXELS
    if not (is_uint8 and exact):
        return Answers(*by(as_floats, None)(first, tuple(rest), images))
    on_cpu = by(_as_bytes, _CPU_TILE) if multiplies_bytes() else by(as_floats, TILE)
    arguments = _without_derivative(first), tuple(rest), images
    return Answers(*jax.lax.platform_dependent(*arguments, cpu=on_cpu, default=by(_as_bytes, None)))


def _as_bytes(layer: Layer) -> Bytes:
    return in_bytes(layer.weights.astype(jnp.float32), layer.biases, _PARTS)


@jax.custom_jvp
def _without_derivative(layer: Layer) -> Layer:
    """The layer; its derivative is an error, also where its weights are not rounded."""
    return layer


@_without_derivative.defjvp
def _no_derivative(*_: Any) -> NoReturn:
    raise TypeError(
        "Expected no derivative of classify_on_device, which rounds weights to bytes; take that of "
        "jax.vmap(forward, in_axes=(None, 0)) instead."
    )
