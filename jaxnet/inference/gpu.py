"""The whole network as one GPU kernel, written in Pallas: for images that are on the GPU already.

XLA computes layer after layer, and writes what lies between them to memory. Here a block of images
is read once, as bytes, and goes through all layers before its answers are written. For the video's
network and a million images per call, that is twice as fast on an H200: 3.1 billion images per
second, at 64 % of its memory bandwidth. It gains nothing in calls of few images, nor for images
from the host, which take a hundred times as long to arrive.

Each weight of the first layer is a sum of four signed bytes, `w = s (q₀ + q₁ / 254 + q₂ / 254² +
q₃ / 254³)`, with one scale `s` for each neuron, as on other devices. The products with the
images' bytes are added up exactly. Triton compiles the kernel, for NVIDIA's GPUs and AMD's; JAX
warns that it will drop Triton.

It repeats the forward pass of `jaxnet.network`: a change there needs one here. Imported only by its
name, since Pallas takes a while to import.
"""

from functools import partial
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jax.nn import identity, sigmoid
from jaxtyping import Array, Float, Int, UInt8

from jaxnet.network import Layer, Params, Squash, check

Images = UInt8[Array | np.ndarray, "n pixels"]

# Tuned on an H200.
_BLOCK = 128  # images that one program of the kernel classifies
_CHUNK = 128  # pixels loaded per iteration
_PARTS = 4  # bytes a weight: a power of two, as Triton wants all sizes
_STEPS = 254  # of a byte's scale, from -127 to 127
_WIDEST = 64  # neurons, whose sums of all parts just fit the registers
_MOST_PIXELS = (2**31 - 1) // (256 * 127)  # whose sums still fit 32 bits


def classify(
    params: Params,
    images: Images,
    *,
    squash: Squash = sigmoid,
    last_squash: Squash = sigmoid,
    interpret: bool = False,
) -> tuple[Int[Array, " n"], Float[Array, "n out"]]:
    """Classifies any number of images in one pass over them. Call it under `jax.jit`, on a GPU.

    Args:
        params: the network, in float32; any number of layers, at most 64 neurons wide. The
            first layer keeps 31 bits of each neuron's largest weight.
        images: shape `(n, 784)`, uint8 from 0 to 255.
        squash: of the hidden layers; elementwise, so not softmax.
        last_squash: as in `forward`; faster if it is elementwise, too.
        interpret: run in Pallas' interpreter (slow; for tests).

    Returns:
        The digit of each image, int32 of shape `(n,)`: its largest output by the logits, the
        first of them if several are equal. All activations, in float32, shape `(n, 10)`. A
        neuron with weights that are not finite gives NaN.

    Raises:
        TypeError, ValueError: not a network, or not in float32, or too wide; images of another
            shape or type; a squash that mixes neurons; no GPU; a derivative is asked for, since
            the kernel has none. All while tracing or compiling.

    Example:
        >>> import jax, jaxnet.inference.gpu
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 100)
        >>> images = (255 * images).astype("uint8")
        >>> classify = jax.jit(jaxnet.inference.gpu.classify, static_argnames="interpret")
        >>> digits, activations = classify(jaxnet.pretrained(), images, interpret=True)
        >>> bool((digits == labels).mean() > 0.9)
        True
    """
    _check(params, images, squash)
    n, n_in = images.shape
    sizes = tuple(b.size for _, b in params)
    if not n:
        return jnp.zeros(0, jnp.int32), jnp.zeros((0, sizes[-1]), jnp.float32)
    (w, b), *rest = params
    padding = (0, _width(sizes[0]) - sizes[0]), (0, -n_in % _CHUNK)
    first = (*_parts(jnp.pad(w, padding)), _pad(b))
    operands = first, [Layer(_pad(w), _pad(b)) for w, b in rest]
    inside = last_squash if _elementwise(last_squash) else identity

    def whole(leaf: Array) -> pl.BlockSpec:
        return pl.BlockSpec(leaf.shape, lambda _: (0,) * leaf.ndim)

    call = pl.pallas_call(
        partial(_kernel, squash=squash, last_squash=inside, n=n, n_in=n_in, sizes=sizes),
        grid=(pl.cdiv(n, _BLOCK),),
        in_specs=[
            pl.BlockSpec((_BLOCK, n_in + padding[1][1]), lambda i: (i, 0)),
            jax.tree.map(whole, operands),
        ],
        out_specs=[
            pl.BlockSpec((_BLOCK,), lambda i: (i,)),
            pl.BlockSpec((_BLOCK, _width(sizes[-1])), lambda i: (i, 0)),
        ],
        out_shape=[
            jax.ShapeDtypeStruct((n,), jnp.int32),
            jax.ShapeDtypeStruct((n, sizes[-1]), jnp.float32),
        ],
        compiler_params=triton.CompilerParams(num_warps=4 if max(sizes) <= 16 else 8),
        interpret=interpret,
    )
    call = jax.custom_jvp(call)
    call.defjvp(_no_gradient)
    digits, a = call(images, operands)
    return digits, a if inside is last_squash else jax.vmap(last_squash)(a)


def _no_gradient(*_: Any) -> NoReturn:
    raise TypeError(
        "Expected no derivative of the kernel, which has none; "
        "take that of jax.vmap(forward, in_axes=(None, 0)) instead."
    )


def _kernel(
    images: Any,
    operands: Any,
    digits: Any,
    activations: Any,
    *,
    squash: Squash,
    last_squash: Squash,
    n: int,
    n_in: int,
    sizes: tuple[int, ...],
) -> None:
    """Classifies one block, given references to its images and answers and to all weights."""
    (parts, sums, scales, biases), rest = operands
    rows = (pl.program_id(0) * _BLOCK + _iota(_BLOCK) < n)[:, None]

    def add_chunk(i: Array, z: Array) -> Array:
        pixels = pl.ds(i * _CHUNK, _CHUNK)
        columns = (i * _CHUNK + _iota(_CHUNK) < n_in)[None, :]
        x = triton.load(images.at[:, pixels], mask=rows & columns, other=0)
        x = (x ^ jnp.uint8(128)).astype(jnp.int8)  # x - 128
        return z + _times(x, parts[:, pixels], "default", jnp.int32)

    # 128 times the weights' sums, for what the loop takes from each pixel.
    z = jnp.broadcast_to(sums[...][None, :], (_BLOCK, sums.size))
    z = jax.lax.fori_loop(jnp.int32(0), jnp.int32(pl.cdiv(n_in, _CHUNK)), add_chunk, z)
    z = z.astype(jnp.float32) * scales[...][None, :]
    z = z.reshape(_BLOCK, _PARTS, biases.size).sum(1) + biases[...][None, :]
    for (w, b), size in zip(rest, sizes, strict=False):
        real = (_iota(z.shape[1]) < size)[None, :]
        z = _times(jnp.where(real, squash(z), 0), w[...], "highest", jnp.float32) + b[...][None, :]
    real = (_iota(z.shape[1]) < sizes[-1])[None, :]
    digit = jax.lax.argmax(jnp.where(real, z, -jnp.inf if sizes[-1] > 1 else 0), 1, jnp.int32)
    if sizes[-1] == 1:  # the first padding is the zero that a single output is compared with
        digit = jnp.where(digit > 0, 0, 1)
    triton.store(digits.at[:], digit, mask=rows[:, 0])
    triton.store(activations.at[...], last_squash(z), mask=rows & real)


def _times(x: Array, w: Array, precision: str, dtype: Any) -> Array:
    """The matrix product of `x` with the transpose of `w`, whatever JAX's default precision."""
    dimensions = (((1,), (1,)), ((), ()))
    return jax.lax.dot_general(x, w, dimensions, precision, preferred_element_type=dtype)


def _parts(w: Array) -> tuple[Array, Array, Array]:
    """All parts of the weights in rows, 128 times the sum of each row, and its scale."""
    largest = abs(w).max(1)
    scales = jnp.where(largest == 0, 1, largest) / 127
    left, parts = w / scales[:, None], []
    for _ in range(_PARTS):
        parts.append(jnp.rint(left))
        left = (left - parts[-1]) * _STEPS
    scales = jnp.where(jnp.isfinite(scales), scales, jnp.nan) / 255
    rows = jnp.concatenate(parts).astype(jnp.int8)
    fine = jnp.concatenate([scales / _STEPS**n for n in range(_PARTS)])
    return rows, 128 * rows.sum(1, dtype=jnp.int32), fine


def _iota(size: int) -> Array:
    return jax.lax.iota(jnp.int32, size)


def _width(size: int) -> int:
    """The smallest power of two that a GPU multiplies by and that holds so many neurons."""
    return max(16, pl.next_power_of_2(size))


def _pad(leaf: Array) -> Array:
    return jnp.pad(leaf, [(0, _width(size) - size) for size in leaf.shape])


def _check(params: Params, images: Images, squash: Squash) -> None:
    if images.ndim != 2 or images.dtype != jnp.uint8:
        raise ValueError(
            "Expected images of shape (n, pixels) in uint8; got "
            f"{images.dtype}{list(images.shape)} instead."
        )
    if images.size >= 2**31:  # Triton counts pixels in 32 bits
        raise ValueError(f"Expected fewer than 2**31 pixels; got {images.shape}; cut them up.")
    check(params, jax.ShapeDtypeStruct(images.shape[1:], jnp.float32))
    if images.shape[1] > _MOST_PIXELS:
        raise ValueError(f"Expected {_MOST_PIXELS} pixels an image at most; got {images.shape}.")
    if others := {str(leaf.dtype) for layer in params for leaf in layer} - {"float32"}:
        raise ValueError(f"Expected params in float32; got {', '.join(sorted(others))} instead.")
    if (widest := max(b.size for _, b in params)) > _WIDEST:
        raise ValueError(
            f"Expected layers of at most {_WIDEST} neurons; got one of {widest}: "
            "use jax.vmap(forward, in_axes=(None, 0))."
        )
    if not _elementwise(squash):
        name = getattr(squash, "__name__", squash)
        raise ValueError(f"Expected squash to be elementwise; got {name}, which mixes neurons.")


def _elementwise(squash: Squash) -> bool:
    """Whether an activation depends on its own weighted sum alone."""
    try:
        with jax.ensure_compile_time_eval():
            one, other = (squash(jnp.array([z, 0.5, 2 * z + 9], "float32")) for z in (-3, 7))
            return one.shape == (3,) and bool(jnp.array_equal(one[1], other[1], equal_nan=True))
    except (TypeError, ValueError, jax.errors.JAXTypeError):  # of shapes, or values not known yet
        return False
