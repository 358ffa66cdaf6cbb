"""Many images: read in pieces that overlap, with few compilations for all."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.nn import sigmoid
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array
from numpy.typing import NDArray

from jaxnet.cores import cores
from jaxnet.network import Layer, Params, Squash, check
from jaxnet.program import PRECISIONS, Bytes, Floats, prepare, read

Images = NDArray[Any] | Array
Devices = Sequence[jax.Device] | Mesh

# On a CPU: images a thread takes at a time, and those whose copies fit its cache together.
_PIECE, _TILE = 16_384, 2_048
# On an accelerator: images a call, and calls at a time, as each thread copies images on its own.
_OF_AN_ACCELERATOR, _AHEAD = 65_536, 16
_ROUNDING = 1e-3  # beyond 0 and 1, as resizing a picture or half precision leaves it
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
    check_range: bool = True,
) -> Answers:
    """Reads any number of images. Runs on the host; inside `jit`, use `jax.vmap(forward)`.

    Args:
        params: the network.
        images: shape `(n, 784)`, in NumPy (memory-mapped, if they are many), JAX or whatever
            NumPy can read, such as a PyTorch tensor; uint8 from 0 to 255, or floats from 0 to 1.
            Bytes reach the device as bytes.
        squash, last_squash: as in `forward`.
        precision: of the product with the image, where nearly all the work is; the rest is
            computed in the network's own type. "float32" keeps 23 bits of a neuron's largest
            weight, whatever `jax.default_matmul_precision` allows: all of MNIST's 10,000 test
            images are read as float64 reads them. "bfloat16" keeps 8 bits of each weight, and
            of pixels in floats: 2 of these are read otherwise. "int8" rounds weights to 255
            steps of a scale for each neuron, and wants images in bytes: 43 are, and 97.31 % are
            read rightly instead of 97.44 %.
        brightest: give the activation of the brightest output alone; less to write, and faster.
        devices: divide each batch among these devices of this process, or those of a mesh.
        check_range: refuse floats that are not from 0 to 1. False for a network that was trained
            on others, such as standardized ones.

    Returns:
        A digit and ten activations for each image, in order, in NumPy. A network with one output
        answers 1 where its logit is above 0, which is where its sigmoid is above one half.

    Raises:
        TypeError, ValueError: no network; images of another shape, type or range than it reads;
            or another precision.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(0), 1000)
        >>> answers = jaxnet.classify(jaxnet.pretrained(), images)
        >>> bool((answers.digits == labels).mean() > 0.9)
        True
    """
    classify_images = classifier(
        params,
        squash=squash,
        last_squash=last_squash,
        precision=precision,
        brightest=brightest,
        devices=devices,
        check_range=check_range,
    )
    return classify_images(images)


def stream(
    params: Params,
    batches: Iterable[Images],
    *,
    squash: Squash = sigmoid,
    last_squash: Squash = sigmoid,
    precision: str = "float32",
    brightest: bool = False,
    devices: Devices | None = None,
    check_range: bool = True,
) -> Iterator[Answers]:
    """Reads batch after batch, each of any number of images, holding one at a time.

    A batch is done with before the next is asked for, so its memory may be used again.

    Args:
        params, squash, last_squash, precision, brightest, devices, check_range: as for `classify`.
        batches: images as `classify` takes them; see `classifier` for what is compiled when.

    Returns:
        An iterator of the answers to each batch, in order.

    Raises:
        TypeError, ValueError: as `classify` does.

    Example:
        >>> import jax, jaxnet
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> batches = (jaxnet.data.strokes.sample(key, 100)[0] for key in keys)
        >>> [len(a.digits) for a in jaxnet.inference.stream(jaxnet.pretrained(), batches)]
        [100, 100, 100]
    """
    classify_images = classifier(
        params,
        squash=squash,
        last_squash=last_squash,
        precision=precision,
        brightest=brightest,
        devices=devices,
        check_range=check_range,
    )
    # `map` holds no batch while it asks for the next, whose memory may be the same.
    return map(classify_images, batches)


def classifier(
    params: Params,
    *,
    squash: Squash = sigmoid,
    last_squash: Squash = sigmoid,
    precision: str = "float32",
    brightest: bool = False,
    devices: Devices | None = None,
    check_range: bool = True,
    batch_size: int = 1,
) -> Callable[[Images], Answers]:
    """Makes a function that classifies any number of images, for use on many batches.

    It processes images in chunks of one size, and compiles once for each type of images and each
    chunk size: a later batch is padded to the size of the largest so far. A batch that raises
    leaves it usable. Within a batch, the transfer of one chunk, the computation of another and the
    return of a third overlap.

    Args:
        params, squash, last_squash, precision, brightest, devices, check_range: as for `classify`.
        batch_size: the largest batch to expect. Chunks have its size from the start, at most
            16,384 images on a CPU; a batch larger than this may compile once more.

    Returns:
        A function from images to their `Answers`, both as for `classify`; for one thread at a time.

    Raises:
        ValueError: another precision, or devices of another process.

    Example:
        >>> import jax, jaxnet
        >>> classify = jaxnet.inference.classifier(jaxnet.pretrained())
        >>> images, labels = jaxnet.data.strokes.sample(jax.random.key(0), 1000)
        >>> bool((classify(images).digits == labels).mean() > 0.9)
        True
    """
    if precision not in PRECISIONS:
        raise ValueError(f"Expected a precision of {', '.join(PRECISIONS)}; got {precision!r}.")
    mesh = None if devices is None else _mesh(devices)
    on_cpu = _platform(params, mesh) == "cpu"
    n_devices = mesh.size if mesh else 1
    layers: dict[bool, tuple[Floats | Bytes, Params]] = {}  # for floats and for bytes
    # One thread more than cores, so that none of these waits while answers are copied.
    pool = ThreadPoolExecutor(cores() + 1 if on_cpu else min(cores(), _AHEAD))
    size = n_devices * _share_of(batch_size, n_devices, on_cpu=on_cpu)

    def classify_chunk(images: Images, start: int, stop: int) -> Answers:
        # Pad a short chunk with its neighbors, and discard their answers; with black images, which
        # takes a copy, only where there are too few.
        at = max(min(start, len(images) - size), 0)
        chunk = images[at : at + size]
        if check_range and images.dtype != np.uint8:
            _check_range(chunk, at)
        if missing := size - len(chunk):
            pad = jnp.pad if isinstance(chunk, jax.Array) else np.pad
            chunk = pad(chunk, ((0, missing), (0, 0)))
        if mesh:
            chunk = jax.device_put(chunk, NamedSharding(mesh, P(mesh.axis_names)))
        answers = read(
            *layers[images.dtype == np.uint8],
            chunk,
            squash=squash,
            last_squash=last_squash,
            brightest=brightest,
            tile=_TILE if on_cpu else None,
            mesh=mesh,
        )
        return Answers(*(np.asarray(part)[start - at : stop - at] for part in answers))

    def classify_images(images: Images) -> Answers:
        nonlocal size
        images = _as_array(images, on_cpu=on_cpu)
        check_images(params, images)
        in_bytes = bool(images.dtype == np.uint8)
        if in_bytes not in layers:
            layers[in_bytes] = _layers(params, precision, mesh, in_bytes, on_cpu=on_cpu)
        size = max(size, n_devices * _share_of(len(images), n_devices, on_cpu=on_cpu))
        starts = _starts(images, size)
        stops = [*starts[1:], len(images)]
        classify_one = partial(classify_chunk, images)
        if len(starts) == 1 and not mesh:
            return concatenate([classify_one(0, len(images))])
        # A mesh has threads of its own even for one chunk, so that the caller's is not theirs.
        return concatenate(pool.map(_with_settings(classify_one), starts, stops))

    return classify_images


def _layers(
    params: Params, precision: str, mesh: Mesh | None, in_bytes: bool, *, on_cpu: bool
) -> tuple[Floats | Bytes, Params]:
    """The network as the program wants it, on the devices where it is run."""
    layer, *rest = (Layer(*pair) for pair in params)
    first = prepare(layer, precision, in_bytes=in_bytes, on_cpu=on_cpu)
    w: Any = params[0][0]
    chosen = isinstance(w, jax.Array) and w.committed and len(w.devices()) == 1
    place = NamedSharding(mesh, P()) if mesh else w.device if chosen else None
    made = first, tuple(rest)
    return made if on_cpu and place is None else jax.device_put(made, place)


def _share_of(n: int, n_devices: int, *, on_cpu: bool) -> int:
    """How many of a batch's images a device takes at a time, by each of a CPU's threads."""
    most = _PIECE if on_cpu else _OF_AN_ACCELERATOR
    at_once = n_devices * (cores() if on_cpu and n > _TILE else 1)
    times = -(-n // (most * at_once)) or 1
    each = -(-n // (times * at_once))  # all alike, so that little is padded
    # Powers of two, then whole tiles: so that few compilations serve every number.
    return 1 << max(each - 1, 0).bit_length() if each <= _TILE else -(-each // _TILE) * _TILE


def _with_settings(call: Callable[[int, int], Answers]) -> Callable[[int, int], Answers]:
    """A call under the settings of JAX that hold in this thread, for use in another."""
    config: Any = jax.config
    x64, device, nans = config.jax_enable_x64, config.jax_default_device, config.jax_debug_nans

    def same(start: int, stop: int) -> Answers:
        with jax.enable_x64(x64), jax.default_device(device), jax.debug_nans(nans):
            return call(start, stop)

    return same


def _as_array(images: Any, *, on_cpu: bool) -> Any:
    """In NumPy what NumPy can read; a JAX array only where a CPU computes, which shares it."""
    if isinstance(images, jax.Array):
        return np.asarray(images) if on_cpu and not isinstance(images, Tracer) else images
    if isinstance(images, np.ma.MaskedArray):
        raise ValueError("Expected images without a mask; got some. Fill them: images.filled(0).")
    if not (hasattr(images, "__array__") and hasattr(images, "shape")):
        return images
    try:
        return np.asarray(images)
    except Exception as error:  # of another package, such as PyTorch's for tensors with gradients
        got = type(images).__name__
        raise ValueError(
            f"Expected images that NumPy can read; got {got} ({error!s:.200})"
        ) from error


def _check_range(images: Images, start: int) -> None:
    """Raises for floats that are not from 0 to 1, but for rounding."""
    if isinstance(images, np.ndarray):
        if not images.size or _is_within(images):
            return
        low, high = float(np.min(images)), float(np.max(images))
    else:
        low, high = (float(extreme) for extreme in _extremes(images))
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
        found = f"{low + 0:.4g} to {high + 0:.4g}"
        raise ValueError(
            f"Expected images as floats from 0 (black) to 1 (white); got {found}, in images "
            f"{start} to {start + len(images) - 1}. For floats from 0 to 255, divide by 255; for a "
            "network that was trained on other numbers, pass check_range=False."
        )


def _is_within(images: NDArray[Any]) -> bool:
    """Whether all are from 0 to 1, in one fast pass; there may be others for which it is False."""
    if images.dtype != np.float32 or not images.flags.c_contiguous:
        return False
    # As integers, positive floats are in the same order, and negative ones and NaN come after.
    numbers, one = images.view(np.uint32), np.float32(1).view(np.uint32)
    # From the end, so that the program finds the images that it begins with in the cache.
    blocks = reversed(range(0, len(numbers), _TILE))
    return all(numbers[at : at + _TILE].max() <= one for at in blocks)


@jax.jit
def _extremes(images: Array) -> tuple[Array, Array]:
    return images.min(initial=0), images.max(initial=0)


def check_images(params: Params, images: Any) -> None:
    """Raises what `classify` does of a network and of images that it does not read.

    Example:
        >>> import numpy, jaxnet
        >>> jaxnet.inference.check_images(jaxnet.pretrained(), numpy.zeros((5, 784), "uint8"))
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((params, images))):
        raise TypeError(
            "Expected arrays on the host; inside a transformation such as jax.jit, use "
            "jax.vmap(jaxnet.forward, in_axes=(None, 0))."
        )
    if not isinstance(images, np.ndarray | jax.Array) or images.ndim != 2:
        got = images.shape if hasattr(images, "shape") else type(images).__name__
        raise ValueError(f"Expected an array of images, shape (n, pixels); got {got} instead.")
    floats = jnp.issubdtype(images.dtype, jnp.floating) and images.dtype.itemsize <= 8
    if images.dtype != np.uint8 and not (floats and images.dtype.isnative):
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
    return Answers(*map(np.concatenate, zip(*parts, strict=True)))


def share(n: int, index: int | None = None, count: int | None = None) -> slice:
    """The images that one of several processes reads, when they divide them among themselves.

    Args:
        n: images in all.
        index, count: which process this is, from 0, and of how many; what JAX says, if it is
            not given, once `jax.distributed.initialize` has been called.

    Returns:
        A slice of consecutive images; those of all processes are all images, each once.

    Raises:
        ValueError: no such process, or fewer than no images.

    Example:
        >>> import jaxnet
        >>> [jaxnet.inference.share(10, index, 3) for index in range(3)]
        [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
    """
    index = jax.process_index() if index is None else index
    count = jax.process_count() if count is None else count
    if not 0 <= index < count:
        raise ValueError(f"Expected a process from 0 to {count - 1}; got {index} instead.")
    if n < 0:
        raise ValueError(f"Expected a number of images, 0 or more; got {n} instead.")
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


def _mesh(devices: Any) -> Mesh:
    """All devices in a row; they must be this process's own, as NumPy's arrays are."""
    several = devices.devices.flat if isinstance(devices, Mesh) else devices
    flat = [*several] if isinstance(several, Iterable) else [several]
    if not flat or any(device.process_index != jax.process_index() for device in flat):
        raise ValueError(
            f"Expected devices of this process, as jax.local_devices(); got {flat} instead. Each "
            "process reads its own images: see jaxnet.inference.share."
        )
    return Mesh(np.array(flat), ("batch",))


def _platform(params: Params, mesh: Mesh | None) -> str:
    """What kind of device the network is run on."""
    leaves = jax.tree.leaves(params)
    if mesh:
        return mesh.devices.flat[0].platform
    if leaves and isinstance(leaves[0], jax.Array) and not isinstance(leaves[0], Tracer):
        return next(iter(leaves[0].devices())).platform
    default = cast(Any, jax.config).jax_default_device
    return getattr(default, "platform", default) or jax.default_backend()
