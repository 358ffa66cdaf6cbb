"""Batch inference: images are processed in fixed-size chunks, for which little is compiled."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, TypedDict, Unpack, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from numpy.typing import NDArray

from jaxnet._util.arguments import check_choice
from jaxnet._util.cores import cores
from jaxnet._util.pixels import check_range as check_within
from jaxnet.inference._images import ALIGNMENT, Images, aligned, as_array, check_images, lies_well
from jaxnet.inference._program import TILE, classify_chunk
from jaxnet.inference._quantize import PRECISIONS, Bytes, Floats, prepare
from jaxnet.network import Layer, Params, Squash, as_function

Devices = Sequence[jax.Device] | Mesh

_CPU_CHUNK = 16_384  # the largest on a CPU
# On an accelerator: the largest chunk, and chunks in flight, each copied by its own thread.
_ACCELERATOR_CHUNK, _IN_FLIGHT = 65_536, 16


class Answers(NamedTuple):
    """Predictions for `n` images.

    Attributes:
        digits: shape `(n,)`, the index of each image's largest output.
        activations: shape `(n, 10)`, all outputs; or `(n,)`, only the largest.

    Both are NumPy arrays, or JAX arrays from `classify_on_device`.
    """

    digits: Any
    activations: Any


class Options(TypedDict, total=False):
    """The keyword arguments of `classifier`, which describes them."""

    squash: Squash
    last_squash: Squash
    precision: str
    brightest: bool
    devices: Devices | None
    check_range: bool
    batch_size: int


def classify(params: Params, images: Images, **options: Unpack[Options]) -> Answers:
    """Classifies any number of images. Runs on the host; inside `jit`, use `jax.vmap(forward)`.

    Args:
        params: the network.
        images: shape `(n, 784)`: a NumPy array, memory-mapped if it is large, a JAX array, or
            anything NumPy can convert, such as a PyTorch tensor; uint8 from 0 to 255 or floats
            from 0 to 1. uint8 is sent to the device as is, and is fastest.
        options: `squash`, `last_squash`, `precision`, `brightest`, `devices`, `check_range`, as for
            `classifier`.

    Returns:
        NumPy arrays with a digit and ten activations for each image, in order. A network with one
        output predicts 1 if its logit is positive, where its sigmoid exceeds one half.

    Raises:
        TypeError, ValueError: not a network; images of the wrong shape, type or range; or an
            unknown precision.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 1000)
        >>> answers = jaxnet.classify(jaxnet.pretrained(), images)
        >>> bool((answers.digits == labels).mean() > 0.9)
        True
    """
    return classifier(params, **options)(images)


def stream(
    params: Params, batches: Iterable[Images], **options: Unpack[Options]
) -> Iterator[Answers]:
    """Classifies an iterator of batches of any size, lazily, holding one batch at a time.

    Each batch is finished before the next is requested, so its memory may be reused.

    Args:
        params: the network.
        batches: images as for `classify`.
        options: as for `classifier`, which says when it compiles.

    Returns:
        An iterator over the answers to each batch, in order.

    Raises:
        TypeError, ValueError: as `classify`.

    Example:
        >>> import jax, jaxnet
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> batches = (jaxnet.data.synthetic.sample(key, 100)[0] for key in keys)
        >>> [len(answers.digits) for answers in jaxnet.stream(jaxnet.pretrained(), batches)]
        [100, 100, 100]
    """
    # `map` keeps no reference to a batch, so it can be freed before the next is requested.
    return map(classifier(params, **options), batches)


def classifier(
    params: Params,
    *,
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
    precision: str = "float32",
    brightest: bool = False,
    devices: Devices | None = None,
    check_range: bool = True,
    batch_size: int = 1,
) -> Callable[[Images], Answers]:
    """Returns a function that classifies images, for use on many batches.

    It processes images in chunks and compiles once per chunk size and image type; smaller batches
    are padded to the chunk size of the largest so far. Copying one chunk to the device, computing
    another and copying the results of a third back overlap. An error in one batch does not affect
    the next.

    Args:
        params: the network.
        squash, last_squash: as in `forward`.
        precision: of the first layer's product, which is nearly all the work; the rest is computed
            in the network's own type. "float32" keeps 23 bits of a neuron's largest weight,
            regardless of `jax.default_matmul_precision`, and predicts the same digit as float64
            for all 10,000 MNIST test images. "bfloat16" keeps 8 bits of each weight, and of
            floating-point pixels; it changes 2 of the 10,000 answers. "int8" rounds weights to
            255 steps per neuron and needs uint8 images; it changes 43 answers, and the accuracy
            from 97.44 % to 97.31 %.
        brightest: return only the largest activation of each image: faster, and less to store.
        devices: split each batch across these devices of this process, or those of a mesh.
        check_range: reject floats outside 0 to 1. Pass False for a network that was trained on
            other values, such as standardized images.
        batch_size: the largest batch to expect, which sets the chunk size (at most 16,384 images on
            a CPU) from the start. A larger batch may compile again.

    Returns:
        A function from images to `Answers`, both as for `classify`. Call it from one thread at a
        time.

    Raises:
        ValueError: an unknown precision, or devices of another process.

    Example:
        >>> import jax, jaxnet
        >>> classify = jaxnet.inference.classifier(jaxnet.pretrained())
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 1000)
        >>> bool((classify(images).digits == labels).mean() > 0.9)
        True
    """
    check_choice(PRECISIONS, precision, "precision")
    squash, last_squash = as_function(squash), as_function(last_squash)
    mesh = None if devices is None else _mesh(devices)
    on_cpu = _platform(params, mesh) == "cpu"
    n_devices = mesh.size if mesh else 1
    layers: dict[bool, tuple[Floats | Bytes, Params]] = {}  # prepared for floats, for uint8
    # One extra thread, so every core stays busy while results are copied.
    pool = ThreadPoolExecutor(cores() + 1 if on_cpu else min(cores(), _IN_FLIGHT))
    size = n_devices * _share_of(batch_size, n_devices, on_cpu=on_cpu)
    copies: dict[tuple[int, int], NDArray[Any]] = {}  # by thread and number of images

    def one_chunk(images: Images, size: int, copied: bool, start: int, stop: int) -> Answers:
        # Pad a short chunk with its neighbors and discard their answers; fall back to black images,
        # which costs a copy, if there are too few.
        at = max(min(start, len(images) - size), 0)
        chunk = some = images[at : at + size]
        if copied:
            chunk = in_cache(some, size)
            some = chunk[: len(some)]
        elif missing := size - len(chunk):
            pad = jnp.pad if isinstance(chunk, jax.Array) else np.pad
            chunk = pad(chunk, ((0, missing), (0, 0)))
        if mesh:
            chunk = jax.device_put(chunk, NamedSharding(mesh, P(mesh.axis_names)))
        answers = classify_chunk(
            *layers[images.dtype == np.uint8],
            chunk,
            squash=squash,
            last_squash=last_squash,
            brightest=brightest,
            tile=TILE if on_cpu and images.dtype == np.uint8 else None,
            mesh=mesh,
        )
        if check_range:  # while the device computes
            check_within(some, at, "that was trained on other values, pass check_range=False")
        return Answers(*(np.asarray(part)[start - at : stop - at] for part in answers))

    def in_cache(chunk: Any, size: int) -> NDArray[Any]:
        """Copies floats, however they lie in memory, to where they stay in the cache."""
        key = threading.get_ident(), size
        if key not in copies:
            copies[key] = aligned(size, chunk.shape[1], _float_type(params))
        with np.errstate(over="ignore", invalid="ignore"):  # the range says so
            copies[key][: len(chunk)] = chunk
        return copies[key]

    def classify_images(images: Images) -> Answers:
        nonlocal size
        images = as_array(images, on_cpu=on_cpu)
        check_images(params, images)
        is_uint8 = bool(images.dtype == np.uint8)
        if is_uint8 not in layers:
            layers[is_uint8] = _layers(params, precision, mesh, is_uint8, on_cpu=on_cpu)
        size = max(size, n_devices * _share_of(len(images), n_devices, on_cpu=on_cpu))
        whole = len(images) >= size and lies_well(images, _float_type(params))
        copied = on_cpu and not mesh and not is_uint8 and not whole
        each = min(size, TILE) if copied else size
        starts = _starts(images, each)
        stops = [*starts[1:], len(images)]
        classify_one = partial(one_chunk, images, each, copied)
        if len(starts) == 1 and not mesh:
            with jax.transfer_guard_host_to_device("allow"):  # as in the threads
                return concatenate([classify_one(0, len(images))])
        # Even one chunk on a mesh runs in a thread, isolated from the caller's own mesh.
        return concatenate(pool.map(_with_settings(classify_one), starts, stops))

    return classify_images


def _layers(
    params: Params, precision: str, mesh: Mesh | None, is_uint8: bool, *, on_cpu: bool
) -> tuple[Floats | Bytes, Params]:
    """The first layer in its prepared form and the other layers, on the target devices."""
    layer, *rest = (Layer(*pair) for pair in params)
    first = prepare(layer, precision, is_uint8=is_uint8, on_cpu=on_cpu)
    w: Any = params[0][0]
    chosen = isinstance(w, jax.Array) and w.committed and len(w.devices()) == 1
    place = NamedSharding(mesh, P()) if mesh else w.device if chosen else None
    return jax.device_put((first, tuple(rest)), place)


def _float_type(params: Params) -> Any:
    """The type that floats are computed in, as far as NumPy has it."""
    return np.result_type(np.float32, params[0][0].dtype)


def _share_of(n: int, n_devices: int, *, on_cpu: bool) -> int:
    """The chunk size for a batch of `n` images, for each device or CPU thread."""
    most = _CPU_CHUNK if on_cpu else _ACCELERATOR_CHUNK
    at_once = n_devices * (cores() if on_cpu and n > TILE else 1)
    times = -(-n // (most * at_once)) or 1
    each = -(-n // (times * at_once))  # equal chunks need little padding
    # Round up to powers of two, then to whole tiles, to compile few sizes.
    return 1 << max(each - 1, 0).bit_length() if each <= TILE else -(-each // TILE) * TILE


def _with_settings(call: Callable[[int, int], Answers]) -> Callable[[int, int], Answers]:
    """Wraps a call so that another thread runs it under this thread's JAX settings."""
    config: Any = jax.config
    x64, device, nans = config.jax_enable_x64, config.jax_default_device, config.jax_debug_nans

    def same(start: int, stop: int) -> Answers:
        with jax.enable_x64(x64), jax.default_device(device), jax.debug_nans(nans):
            return call(start, stop)

    return same


def concatenate(parts: Iterable[Answers]) -> Answers:
    """The answers to one or more batches as one, in order."""
    return Answers(*map(np.concatenate, zip(*parts, strict=True)))


def share(n: int, index: int | None = None, count: int | None = None) -> slice:
    """The slice of the images that this process classifies, when several share the work.

    Args:
        n: number of images.
        index, count: this process's index, from 0, and the number of processes; by default JAX's,
            after `jax.distributed.initialize`.

    Returns:
        Consecutive images; the slices of all processes cover every image exactly once.

    Raises:
        ValueError: an index outside 0 to `count - 1`, or a negative `n`.

    Example:
        >>> import jaxnet
        >>> [jaxnet.inference.share(10, index, 3) for index in range(3)]
        [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
    """
    index = jax.process_index() if index is None else index
    count = jax.process_count() if count is None else count
    if not 0 <= index < count:
        raise ValueError(f"Expected a process index from 0 to {count - 1}; got {index} instead.")
    if n < 0:
        raise ValueError(f"Expected a non-negative number of images; got {n} instead.")
    return slice(n * index // count, n * (index + 1) // count)


def _starts(images: Images, size: int) -> list[int]:
    """Chunk boundaries; the first chunk may be shorter so that the others are 64-byte aligned."""
    n, lead = len(images), size
    if isinstance(images, np.ndarray) and n > size > ALIGNMENT:
        address, row = images.ctypes.data, images.strides[0]
        lead = next(
            (
                at
                for at in range(size, size - ALIGNMENT, -1)
                if (address + at * row) % ALIGNMENT == 0
            ),
            size,
        )
    return [0, *range(lead, n, size)]


def _mesh(devices: Any) -> Mesh:
    """A one-dimensional mesh of all devices, which must belong to this process."""
    several = devices.devices.flat if isinstance(devices, Mesh) else devices
    flat = [*several] if isinstance(several, Iterable) else [several]
    if not flat or any(device.process_index != jax.process_index() for device in flat):
        raise ValueError(
            f"Expected devices of this process, as jax.local_devices(); got {flat} instead. Each "
            "process classifies its own images: see jaxnet.inference.share."
        )
    return Mesh(np.array(flat), ("batch",))


def _platform(params: Params, mesh: Mesh | None) -> str:
    """The platform that the network runs on."""
    leaves = jax.tree.leaves(params)
    if mesh:
        return mesh.devices.flat[0].platform
    if leaves and isinstance(leaves[0], jax.Array) and not isinstance(leaves[0], Tracer):
        return next(iter(leaves[0].devices())).platform
    default = cast(Any, jax.config).jax_default_device
    return getattr(default, "platform", default) or jax.default_backend()
