"""Many images on a GPU in one pass: the whole network as one kernel, written in Pallas.

A product needs floats, and XLA makes a float copy of the images for it: for each byte read, four
are written, and read again. Here a block of images is read once, as bytes, and carried through
all layers before anything is written; the rate of the memory is then the limit.

The sums are those of float32 products, whatever `jax.default_matmul_precision` allows: a bfloat16
holds a byte exactly, and three of them hold a weight, so a GPU's fastest units serve. Triton
compiles it, for NVIDIA's GPUs and AMD's. Not part of `import jaxnet`, since Pallas takes a while
to import.
"""

from functools import partial
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jax.nn import sigmoid
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from jaxnet.network import Layer, Params, Squash, check

Images = NDArray[Any] | Array

_CHUNK = 64  # pixels of each image that are in hand at a time
_LARGEST = 256  # images of a block, whose sums then still fit a GPU's registers
_WIDEST = 128  # neurons; weights between two such layers just fit an A100's shared memory


def available() -> bool:
    """Whether the kernel can run here: JAX computes on a GPU unless told otherwise.

    Example:
        >>> import jax, jaxnet.kernel
        >>> jaxnet.kernel.available() == (jax.default_backend() == "gpu")
        True
    """
    return jax.default_backend() == "gpu"


def read(
    params: Params,
    images: Images,
    *,
    squash: Squash = sigmoid,
    last_squash: Squash = sigmoid,
    block: int = 128,
    interpret: bool = False,
) -> tuple[Int[Array, " n"], Float[Array, "n out"]]:
    """Reads any number of images in one pass over them. Call it under `jax.jit`, on a GPU.

    Args:
        params: the network, in float32; of any number of layers, none wider than 128 neurons.
            Beyond 64, it takes an A100 or H100: others have too little shared memory.
        images: shape `(n, 784)`; uint8 from 0 to 255, or floats from 0 to 1.
        squash: of the hidden layers, taking each neuron by itself: not softmax.
        last_squash: as in `forward`; applied after the kernel, to one image at a time.
        block: images that one program of the kernel reads; a power of two, from 16 to 256.
        interpret: do without a GPU, slowly, as tests do.

    Returns:
        The digit of each image, int32 of shape `(n,)`: its brightest output, by the weighted
        sums, the first of them where several are as bright. All outputs of each, in float32,
        shape `(n, 10)`. They have no derivative.

    Raises:
        TypeError, ValueError: no network, or one of other floats or too wide; images of another
            shape or type than it reads; another block; a squash that mixes neurons; no GPU; a
            derivative. All while tracing or compiling.

    Example:
        >>> import jax, jaxnet.kernel
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(0), 100)
        >>> read = jax.jit(jaxnet.kernel.read, static_argnames="interpret")
        >>> digits, activations = read(jaxnet.pretrained(), images, interpret=True)
        >>> bool((digits == labels).mean() > 0.9)
        True

    Source: Henry, Tang and Heinecke, "Leveraging the bfloat16 artificial intelligence datatype
    for higher-precision computations", 2019: a product of float32 by parts.
    """
    _check(params, images, squash, block)
    n, n_in = images.shape
    sizes = tuple(b.size for _, b in params)
    if not n:
        return jnp.zeros(0, jnp.int32), jnp.zeros((0, sizes[-1]), jnp.float32)
    (w, b), *rest = params
    w = _split(w / 255) if images.dtype == jnp.uint8 else w[None]
    w = jnp.pad(w, ((0, 0), (0, _width(sizes[0]) - sizes[0]), (0, -n_in % _CHUNK)))
    layers = (Layer(w, _pad(b)), *(Layer(_pad(w), _pad(b)) for w, b in rest))

    def whole(leaf: Array) -> pl.BlockSpec:
        return pl.BlockSpec(leaf.shape, lambda _: (0,) * leaf.ndim)

    call = pl.pallas_call(
        partial(_kernel, squash=squash, n=n, sizes=sizes),
        grid=(pl.cdiv(n, block),),
        in_specs=[pl.BlockSpec((block, n_in), lambda i: (i, 0)), jax.tree.map(whole, layers)],
        out_specs=[
            pl.BlockSpec((block,), lambda i: (i,)),
            pl.BlockSpec((block, sizes[-1]), lambda i: (i, 0)),
        ],
        out_shape=[
            jax.ShapeDtypeStruct((n,), jnp.int32),
            jax.ShapeDtypeStruct((n, sizes[-1]), jnp.float32),
        ],
        compiler_params=triton.CompilerParams(num_warps=4 if max(sizes) <= 32 else 8),
        interpret=interpret,
    )
    call = jax.custom_jvp(call)
    call.defjvp(_no_gradient)
    digits, z = call(images, layers)
    return digits, jax.vmap(last_squash)(z)


def _no_gradient(*_: Any) -> NoReturn:
    raise TypeError(
        "Expected no derivative of the kernel, which has none; "
        "take that of jax.vmap(forward, in_axes=(None, 0)) instead."
    )


def _kernel(
    images: Any,
    layers: Any,
    digits: Any,
    logits: Any,
    *,
    squash: Squash,
    n: int,
    sizes: tuple[int, ...],
) -> None:
    """One program's work, by references to its block of images and answers and to all weights."""
    block, n_in = images.shape
    (w, b), *rest = layers
    rows = (pl.program_id(0) * block + _iota(block) < n)[:, None]

    def add_chunk(i: Array, z: Array) -> Array:
        pixels = pl.ds(i * _CHUNK, _CHUNK)
        columns = (i * _CHUNK + _iota(_CHUNK) < n_in)[None, :]
        x = triton.load(images.at[:, pixels], mask=rows & columns, other=0).astype(w.dtype)
        for part in range(w.shape[0]):
            z += _times(x, w[part, :, pixels])
        return z

    z = jnp.zeros((block, b.size), jnp.float32)
    z = jax.lax.fori_loop(jnp.int32(0), jnp.int32(pl.cdiv(n_in, _CHUNK)), add_chunk, z)
    z += b[...][None, :]
    for (w_next, b_next), size in zip(rest, sizes, strict=False):
        real = (_iota(z.shape[1]) < size)[None, :]
        z = _times(jnp.where(real, squash(z), 0), w_next[...]) + b_next[...][None, :]
    real = (_iota(z.shape[1]) < sizes[-1])[None, :]
    digit = jax.lax.argmax(jnp.where(real, z, -jnp.inf), 1, jnp.int32)
    triton.store(digits.at[:], digit, mask=rows[:, 0])
    triton.store(logits.at[:, pl.ds(0, z.shape[1])], z, mask=rows & real)


def _times(x: Array, w: Array) -> Array:
    """Each row of `x` times each row of `w`, added up in float32."""
    return jax.lax.dot_general(
        x, w, (((1,), (1,)), ((), ())), precision="highest", preferred_element_type=jnp.float32
    )


def _split(w: Array) -> Array:
    """Three bfloat16 numbers for each float32, which add up to it: 8 bits, 8 bits and 8 bits."""
    parts: list[Array] = []
    for _ in range(3):
        # A cast there and back would do, but for a GPU, XLA removes such pairs.
        part = jax.lax.reduce_precision(w, exponent_bits=8, mantissa_bits=7)
        parts.append(part.astype(jnp.bfloat16))
        w = jnp.where(jnp.isfinite(part), w - part, 0)  # infinity less infinity would be NaN
    return jnp.stack(parts)


def _iota(size: int) -> Array:
    return jax.lax.iota(jnp.int32, size)


def _width(size: int) -> int:
    """The smallest power of two that a GPU multiplies by and that holds so many neurons."""
    return max(16, pl.next_power_of_2(size))


def _pad(leaf: Array) -> Array:
    return jnp.pad(leaf, [(0, _width(size) - size) for size in leaf.shape])


def _check(params: Params, images: Images, squash: Squash, block: int) -> None:
    if images.ndim != 2 or not (
        images.dtype == jnp.uint8 or jnp.issubdtype(images.dtype, jnp.floating)
    ):
        raise ValueError(
            "Expected images of shape (n, pixels) in uint8 or floats; got "
            f"{images.dtype}{list(images.shape)} instead."
        )
    if images.size >= 2**31:  # Triton counts pixels in 32 bits
        raise ValueError(f"Expected fewer than 2**31 pixels; got {images.shape}; cut them up.")
    check(params, jax.ShapeDtypeStruct(images.shape[1:], jnp.float32))
    if others := {str(leaf.dtype) for layer in params for leaf in layer} - {"float32"}:
        raise ValueError(f"Expected params in float32; got {', '.join(sorted(others))} instead.")
    if (widest := max(b.size for _, b in params)) > _WIDEST:
        raise ValueError(
            f"Expected layers of {_WIDEST} neurons at most; got one of {widest}, which "
            "jax.vmap(forward, in_axes=(None, 0)) reads."
        )
    if not 16 <= block <= _LARGEST or block & (block - 1):
        raise ValueError(
            f"Expected block as a power of two from 16 to {_LARGEST}; got {block} instead."
        )
    if not _takes_each_by_itself(squash):
        name = getattr(squash, "__name__", squash)
        raise ValueError(f"Expected squash to take each neuron by itself; got {name}.")


def _takes_each_by_itself(squash: Squash) -> bool:
    """Whether a sum's activation stays as it is where the sums around it change."""
    try:
        with jax.ensure_compile_time_eval():
            one, other = (squash(jnp.array([z, 0.5, 2 * z + 9], "float32")) for z in (-3, 7))
            return one.shape == (3,) and bool(jnp.array_equal(one[1], other[1], equal_nan=True))
    except (TypeError, ValueError, jax.errors.JAXTypeError):  # of shapes, or values not known yet
        return False
