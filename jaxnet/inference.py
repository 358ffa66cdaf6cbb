"""Many images: read in pieces that overlap, with few compilations for all."""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import sigmoid
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array
from numpy.typing import NDArray

from jaxnet.network import Layer, Params, Squash, check
from jaxnet.program import PRECISIONS, Bytes, Floats, first, read

Images = NDArray[Any] | Array
Devices = Sequence[jax.Device] | Mesh

# On a CPU: images a thread takes at a time, and those whose copies fit its cache together.
_PIECE, _TILE = 16_384, 1_024
_OF_AN_ACCELERATOR = 65_536  # both; not measured
_AHEAD = 3  # pieces on their way to an accelerator, through it, and back
_ALIGNED = 64  # bytes; an array that begins at a multiple of it is read by a CPU where it lies


class Answers(NamedTuple):
    """What the network reads in each of `n` images.

    Attributes:
        digits: shape `(n,)`, the brightest output of each.
        activations: shape `(n, 10)`, all outputs of each; or `(n,)`, the brightest alone.
    """

    digits: NDArray[Any]
    activations: NDArray[Any]


def classify(
    params: Params,
    images: Images,
    *,
    squash: Squash = sigmoid,
    last_squash: Squash = sigmoid,
    precision: str = "float32",
    brightest: bool = False,
    devices: Devices | None = None,
) -> Answers:
    """Reads any number of images. Runs on the host; inside `jit`, use `jax.vmap(forward)`.

    Args:
        params: the network.
        images: shape `(n, 784)`, in NumPy (memory-mapped, if they are many) or JAX; uint8
            from 0 to 255, or floats from 0 to 1. Bytes reach the device as bytes.
        squash, last_squash: as in `forward`.
        precision: of the product with the image, where nearly all the work is; the rest is
            computed in the network's own type. "float32" is as near to the exact answer as the
            network's type allows; "bfloat16" rounds the weights to 8 bits; "int8" rounds them
            to the 255 steps of a scale for each neuron, and wants images in bytes.
        brightest: give the activation of the brightest output alone; less to write, and faster.
        devices: divide each batch among these devices of this process, or those of a mesh.

    Returns:
        A digit and ten activations for each image, in order, in NumPy.

    Raises:
        TypeError, ValueError: no network, or images of another shape or type than it reads, or
            another precision.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(0), 1000)
        >>> answers = jaxnet.classify(jaxnet.pretrained(), images)
        >>> bool((answers.digits == labels).mean() > 0.9)
        True
    """
    (answers,) = stream(
        params,
        [images],
        squash=squash,
        last_squash=last_squash,
        precision=precision,
        brightest=brightest,
        devices=devices,
    )
    return answers


def stream(
    params: Params,
    batches: Iterable[Images],
    *,
    squash: Squash = sigmoid,
    last_squash: Squash = sigmoid,
    precision: str = "float32",
    brightest: bool = False,
    devices: Devices | None = None,
) -> Iterator[Answers]:
    """Reads batch after batch, each of any number of images, holding one at a time.

    A batch is done with before the next is asked for, so its memory may be used again. Within
    a batch, the transfer of one piece, the work on another and the return of a third overlap.

    Args:
        params, squash, last_squash, precision, brightest, devices: as for `classify`.
        batches: images as `classify` takes them. Pieces of the first one's size, at most
            16,384 images on a CPU, are compiled for, once; all others are cut and padded.

    Yields:
        The answers to each batch, in order.

    Raises:
        TypeError, ValueError: as `classify` does.

    Example:
        >>> import jax, jaxnet
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> batches = (jaxnet.data.strokes.sample(key, 100)[0] for key in keys)
        >>> [len(a.digits) for a in jaxnet.inference.stream(jaxnet.pretrained(), batches)]
        [100, 100, 100]
    """
    if precision not in PRECISIONS:
        raise ValueError(f"Expected a precision of {', '.join(PRECISIONS)}; got {precision!r}.")
    mesh = None if devices is None else _mesh(devices)
    n_devices = mesh.size if mesh else 1
    on_cpu = _platform(params, mesh) == "cpu"
    most, tile = (_PIECE, _TILE) if on_cpu else (_OF_AN_ACCELERATOR, _OF_AN_ACCELERATOR)
    program = partial(
        read, squash=squash, last_squash=last_squash, brightest=brightest, tile=tile, mesh=mesh
    )
    size = 0

    @cache
    def network(in_bytes: bool) -> tuple[Floats | Bytes, Params]:
        layer, *rest = (Layer(*pair) for pair in params)
        split = on_cpu and size >= tile
        made = first(layer, precision, in_bytes=in_bytes, split=split), tuple(rest)
        return jax.device_put(made, NamedSharding(mesh, P())) if mesh else made

    def read_piece(images: Images, start: int, stop: int) -> Answers:
        piece = images[start:stop]
        if missing := size - len(piece):
            pad = jnp.pad if isinstance(piece, jax.Array) else np.pad
            piece = pad(piece, ((0, missing), (0, 0)))
        if mesh:
            piece = jax.device_put(piece, NamedSharding(mesh, P(mesh.axis_names)))
        answers = program(*network(images.dtype == np.uint8), piece)
        return Answers(*(np.asarray(part)[: stop - start] for part in answers))

    with ThreadPoolExecutor(_cores() if on_cpu else _AHEAD) as pool:
        for images in batches:
            check_images(params, images)
            if on_cpu:
                images = np.asarray(images)
            if not size:
                # A power of two, so that a few compilations serve first batches of every size.
                each = max(len(images) / n_devices, 1)
                size = n_devices * min(2 ** math.ceil(math.log2(each)), most)
            starts = _starts(images, size)
            stops = [*starts[1:], len(images)]
            network(images.dtype == np.uint8)  # once, not in each thread
            run = pool.map if len(starts) > 1 else map
            yield concatenate(run(partial(read_piece, images), starts, stops))


def check_images(params: Params, images: Any) -> None:
    """Raises what `classify` does of a network and of images that it does not read.

    Example:
        >>> import numpy, jaxnet
        >>> jaxnet.inference.check_images(jaxnet.pretrained(), numpy.zeros((5, 784), "uint8"))
    """
    if not hasattr(images, "ndim") or images.ndim != 2:
        got = images.shape if hasattr(images, "shape") else type(images).__name__
        raise ValueError(f"Expected images of shape (n, pixels); got {got} instead.")
    if images.dtype != np.uint8 and not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"Expected images in uint8 or floats; got {images.dtype} instead.")
    check(params, jax.ShapeDtypeStruct(images.shape[1:], jnp.float32))


def concatenate(parts: Iterable[Answers]) -> Answers:
    """Puts the answers to several batches, one at least, into one.

    Args:
        parts: answers of the same kind.

    Returns:
        All of them, in order.

    Example:
        >>> import numpy, jaxnet
        >>> one = jaxnet.Answers(numpy.array([7]), numpy.array([[0.1] * 10]))
        >>> jaxnet.inference.concatenate([one, one]).digits
        array([7, 7])
    """
    first, *others = parts
    return Answers(*map(np.concatenate, zip(first, *others, strict=True))) if others else first


def share(n: int, index: int | None = None, count: int | None = None) -> slice:
    """The images that one of several processes reads, when they divide them among themselves.

    Args:
        n: images in all.
        index, count: which process this is, from 0, and of how many; what JAX says, if it is
            not given, once `jax.distributed.initialize` has been called.

    Returns:
        A slice of consecutive images; those of all processes are all images, each once.

    Raises:
        ValueError: no such process.

    Example:
        >>> import jaxnet
        >>> [jaxnet.inference.share(10, index, 3) for index in range(3)]
        [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
    """
    index = jax.process_index() if index is None else index
    count = jax.process_count() if count is None else count
    if not 0 <= index < count:
        raise ValueError(f"Expected a process from 0 to {count - 1}; got {index} instead.")
    return slice(n * index // count, n * (index + 1) // count)


def _starts(images: Images, size: int) -> list[int]:
    """Where the pieces begin; after a shorter first one, where JAX need not copy them."""
    n, lead = len(images), size
    if isinstance(images, np.ndarray) and n > size > _ALIGNED:
        address, row = images.ctypes.data, images.strides[0]
        lead = next(
            (at for at in range(size, size - _ALIGNED, -1) if (address + at * row) % _ALIGNED == 0),
            size,
        )
    return [0, *range(lead, n, size)]


def _mesh(devices: Devices) -> Mesh:
    """All devices in a row; they must be this process's own, as NumPy's arrays are."""
    flat = [*(devices.devices.flat if isinstance(devices, Mesh) else devices)]
    if not flat or any(device.process_index != jax.process_index() for device in flat):
        raise ValueError(
            f"Expected devices of this process, as jax.local_devices(); got {flat} instead. Each "
            "process reads its own images: see jaxnet.inference.share."
        )
    return Mesh(np.array(flat), ("batch",))


def _platform(params: Params, mesh: Mesh | None) -> str:
    """Where the network lies, and so is run."""
    leaves = jax.tree.leaves(params)
    if mesh:
        return mesh.devices.flat[0].platform
    if leaves and isinstance(leaves[0], jax.Array):
        return next(iter(leaves[0].devices())).platform
    return jax.default_backend()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
