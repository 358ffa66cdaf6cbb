"""How fast this machine reads images, where the time goes, and how near that is to its limits.

An image asks for some bytes and for some operations. So the bytes that memory gives in a second,
those that reach the device, and the operations that a large product does in a second are each a
ceiling on the images read in a second. All of these are measured, none is looked up.

Source: Williams, Waterman and Patterson, "Roofline", Communications of the ACM, 2009.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import sigmoid
from numpy.typing import NDArray

from jaxnet.inference import PRECISIONS, Images, classify
from jaxnet.limits import Device, Limits, measure_limits, name_of, rounds
from jaxnet.network import Params, Squash

BATCH_SIZES = (1, 100, 10_000)


class Work(NamedTuple):
    """What the network asks for to read one image.

    Attributes:
        bytes: of the image.
        operations: multiplications and additions.
    """

    bytes: int
    operations: int


class Rate(NamedTuple):
    """How fast `jaxnet.classify` reads bytes from the host's memory.

    Attributes:
        device: its kind and number.
        precision: one of `jaxnet.inference.PRECISIONS`.
        batch_size: images a call.
        images_per_second: measured.
        ceiling: the images a second that the tightest of the device's limits allows.
        limit: the name of that limit: memory, transfer or arithmetic.
        share: of the ceiling that is reached.
    """

    device: str
    precision: str
    batch_size: int
    images_per_second: float
    ceiling: float
    limit: str
    share: float


class Stage(NamedTuple):
    """What one step on the way of an image costs by itself; `classify` lets them overlap.

    Attributes:
        device: its kind and number.
        name: "read" from a file that the system holds in memory, "transfer" to the device,
            "compute", from images on the device to answers in NumPy, or "result", the last part
            of that, the activations' way back. Where the device's memory is the host's, nothing
            is transferred.
        precision: of "compute"; None for the others.
        seconds_per_image: measured.
    """

    device: str
    name: str
    precision: str | None
    seconds_per_image: float


class Report(NamedTuple):
    """All that was measured so far.

    Attributes:
        work: what one image asks for.
        limits: of each device.
        rates: by device, precision and batch size.
        stages: by device.
    """

    work: Work
    limits: tuple[Limits, ...] = ()
    rates: tuple[Rate, ...] = ()
    stages: tuple[Stage, ...] = ()


def measure(
    params: Params,
    *,
    squash: Squash = sigmoid,
    last_squash: Squash = sigmoid,
    n_images: int = 200_000,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    devices: Sequence[Device] | None = None,
    seconds: float = 0.3,
) -> Iterator[Report]:
    """Measures limits, rates and stages, one after the other.

    Args:
        params: the network.
        squash, last_squash: as in `forward`.
        n_images: how many to draw, of random bytes; all at once is the largest batch. Few that
            fit a cache may be read faster than memory allows.
        batch_sizes: of the smaller batches.
        devices: on which to measure; the first of each kind, if not given.
        seconds: to spend on each number, about.

    Yields:
        What is known, each time that there is more of it.

    Raises:
        ValueError: no images, a batch of none, or no time.

    Example:
        >>> import jaxnet
        >>> from jaxnet.bench import measure
        >>> *_, report = measure(
        ...     jaxnet.pretrained(), n_images=50, batch_sizes=[], seconds=0.001
        ... )
        >>> report.work
        Work(bytes=784, operations=25920)
        >>> {rate.batch_size for rate in report.rates}
        {50}
    """
    if min(n_images, *batch_sizes, 1) < 1:
        raise ValueError(
            f"Expected images and batch sizes of one or more; got {n_images} and {batch_sizes}."
        )
    if not seconds > 0:
        raise ValueError(f"Expected more than 0 seconds; got {seconds} instead.")
    report = Report(work_of(params))
    drawn = np.random.default_rng(0).integers(0, 256, (n_images, report.work.bytes), np.uint8)
    sizes = sorted({min(size, n_images) for size in (*batch_sizes, n_images)})
    for device in _of_each_kind() if devices is None else devices:
        there = jax.device_put(params, device)  # where `classify` then reads, as any caller's does
        read = partial(classify, there, squash=squash, last_squash=last_squash)
        limits = measure_limits(device, seconds=seconds)
        report = report._replace(limits=(*report.limits, limits))
        yield report
        for precision in PRECISIONS:
            most, limit = ceiling(report.work, limits, precision)
            for size in sizes:
                call = _each_batch(partial(read, precision=precision), drawn, size)
                n = size / median(rounds(call, seconds))
                rate = Rate(limits.device, precision, size, n, most, limit, n / most)
                report = report._replace(rates=(*report.rates, rate))
                yield report
        for stage in _stages(read, drawn, params[-1][1].size, device, seconds):
            report = report._replace(stages=(*report.stages, stage))
            yield report


def work_of(params: Params) -> Work:
    """What the network asks for to read one image, given in bytes.

    A neuron multiplies each of its inputs by a weight and adds all of these and its bias. The
    squashing functions are not counted.

    Args:
        params: the network.

    Returns:
        A byte for each pixel, and two operations for each weight.

    Example:
        >>> import jaxnet
        >>> from jaxnet.bench import work_of
        >>> work_of(jaxnet.pretrained())
        Work(bytes=784, operations=25920)
    """
    return Work(params[0][0].shape[1], 2 * sum(w.size for w, _ in params))


def ceiling(work: Work, limits: Limits, precision: str) -> tuple[float, str]:
    """The images a second that the least of a device's limits allows, and which that is.

    Args:
        work: what one image asks for.
        limits: the device's.
        precision: a name in `limits.arithmetic`.

    Returns:
        The ceiling, and `memory`, `transfer` or `arithmetic`.

    Example:
        >>> from jaxnet.bench import Limits, Work, ceiling
        >>> limits = Limits("abacus", memory=784e6, transfer=None, arithmetic={"int8": 1e12})
        >>> ceiling(Work(bytes=784, operations=25_920), limits, "int8")
        (1000000.0, 'memory')
    """
    ceilings = [
        (limits.memory / work.bytes, "memory"),
        (limits.arithmetic[precision] / work.operations, "arithmetic"),
    ]
    if limits.transfer is not None:
        ceilings.append((limits.transfer / work.bytes, "transfer"))
    return min(ceilings)


def _of_each_kind() -> list[Device]:
    first = jax.local_devices()[0]
    if first.platform == "cpu":
        return [first]
    try:
        return [first, jax.local_devices(backend="cpu")[0]]
    except RuntimeError:  # JAX was told to start no other
        return [first]


def _each_batch(
    read: Callable[[Images], object], images: NDArray[np.uint8], size: int
) -> Callable[[], object]:
    """Reads one batch a call, and with each call other images, which no cache holds."""
    starts = cycle(range(0, len(images) - size + 1, size))

    def one() -> object:
        start = next(starts)
        return read(images[start : start + size])

    return one


def _stages(
    read: Callable[..., object],
    images: NDArray[np.uint8],
    n_outputs: int,
    device: Device,
    seconds: float,
) -> Iterator[Stage]:
    def stage(name: str, call: Callable[[], object], precision: str | None = None) -> Stage:
        spent = median(rounds(call, seconds)) / len(images)
        return Stage(name_of(device), name, precision, spent)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "images.npy")
        np.save(path, images)
        reading = stage("read", lambda: np.load(path))
    yield reading
    resident = images
    if device.platform != "cpu":
        yield stage("transfer", lambda: jax.device_put(images, device).block_until_ready())
        resident = jax.device_put(images, device)
    for precision in PRECISIONS:
        yield stage("compute", lambda p=precision: read(resident, precision=p), precision)
    if device.platform != "cpu":
        answers = jnp.zeros((len(images), n_outputs), device=device)
        # A copy each time, as an array keeps what NumPy once got of it.
        yield stage("result", lambda: np.asarray(jnp.copy(answers)))
