"""Measures throughput, where time is spent, and the distance to the roofline."""

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
from numpy.typing import NDArray

from jaxnet.bench._limits import Device, Limits, device_name, measure_limits, time_calls
from jaxnet.inference import PRECISIONS, classify
from jaxnet.inference._images import Images
from jaxnet.network import Params, Squash

BATCH_SIZES = (1, 100, 10_000)


class Work(NamedTuple):
    """The work of classifying one image.

    Attributes:
        bytes: the size of the image, as uint8.
        operations: the number of multiplications and additions.
    """

    bytes: int
    operations: int


class Rate(NamedTuple):
    """The throughput of `jaxnet.classify` on uint8 images in host memory.

    Attributes:
        device: its kind and number.
        precision: one of `jaxnet.inference.PRECISIONS`.
        batch_size: images per call.
        images_per_second: the measured throughput.
        ceiling: the throughput that the device's tightest limit allows, in images per second.
        limit: the name of that limit: memory, transfer or arithmetic.
        share: the measured throughput as a fraction of the ceiling.
    """

    device: str
    precision: str
    batch_size: int
    images_per_second: float
    ceiling: float
    limit: str
    share: float


class Stage(NamedTuple):
    """The time of one stage of classification, measured alone; `classify` overlaps them.

    Attributes:
        device: its kind and number.
        name: "read", from a file in the page cache; "transfer", to the device; "compute", from
            images on the device to answers in NumPy; or "result", the last part of "compute":
            copying the activations back. A CPU has neither "transfer" nor "result".
        precision: for "compute"; None for the others.
        seconds_per_image: the measured time.
    """

    device: str
    name: str
    precision: str | None
    seconds_per_image: float


class Report(NamedTuple):
    """Everything measured so far.

    Attributes:
        work: the work of classifying one image.
        limits: one per device.
        rates: one per device, precision and batch size.
        stages: several per device.
    """

    work: Work
    limits: tuple[Limits, ...] = ()
    rates: tuple[Rate, ...] = ()
    stages: tuple[Stage, ...] = ()


def measure(
    params: Params,
    *,
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
    n_images: int = 200_000,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    devices: Sequence[Device] | None = None,
    seconds: float = 0.3,
) -> Iterator[Report]:
    """Measures the limits, rates and stages of each device.

    Args:
        params: the network.
        squash, last_squash: as in `jaxnet.forward`.
        n_images: the number of images, random bytes; all of them are the largest batch. Images
            that fit the cache may be classified faster than the memory limit allows.
        batch_sizes: the smaller batch sizes.
        devices: the devices to measure; by default, the first of each kind.
        seconds: the approximate time to spend on each number.

    Yields:
        A report after each measurement, with one more entry than the previous one.

    Raises:
        ValueError: `n_images` or a batch size below 1, or `seconds` not above 0.

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
            "Expected n_images and batch_sizes of 1 or more; "
            f"got {n_images} and {batch_sizes} instead."
        )
    if not seconds > 0:
        raise ValueError(f"Expected seconds above 0; got {seconds} instead.")
    report = Report(work_per_image(params))
    images = np.random.default_rng(0).integers(0, 256, (n_images, report.work.bytes), np.uint8)
    sizes = sorted({min(size, n_images) for size in (*batch_sizes, n_images)})
    for device in _one_of_each_kind() if devices is None else devices:
        local = jax.device_put(params, device)  # `classify` runs where the parameters are
        run = partial(classify, local, squash=squash, last_squash=last_squash)
        limits = measure_limits(device, seconds=seconds)
        report = report._replace(limits=(*report.limits, limits))
        yield report
        for precision in PRECISIONS:
            ceiling, limit = roofline_limit(report.work, limits, precision)
            for size in sizes:
                call = _each_batch(partial(run, precision=precision), images, size)
                n = size / median(time_calls(call, seconds))
                rate = Rate(limits.device, precision, size, n, ceiling, limit, n / ceiling)
                report = report._replace(rates=(*report.rates, rate))
                yield report
        for stage in _stages(run, images, params[-1][1].size, device, seconds):
            report = report._replace(stages=(*report.stages, stage))
            yield report


def work_per_image(params: Params) -> Work:
    """The bytes and operations needed to classify one uint8 image."""
    # A neuron multiplies each input by a weight, and adds the products and its bias. The squashing
    # functions are not counted.
    return Work(params[0][0].shape[1], 2 * sum(w.size for w, _ in params))


def roofline_limit(work: Work, limits: Limits, precision: str) -> tuple[float, str]:
    """The highest throughput a device's limits allow, and the name of the tightest limit."""
    # Source: Williams, Waterman and Patterson, "Roofline", Communications of the ACM, 2009.
    ceilings = [
        (limits.memory / work.bytes, "memory"),
        (limits.arithmetic[precision] / work.operations, "arithmetic"),
    ]
    if limits.transfer is not None:
        ceilings.append((limits.transfer / work.bytes, "transfer"))
    return min(ceilings)


def _one_of_each_kind() -> list[Device]:
    first = jax.local_devices()[0]
    if first.platform == "cpu":
        return [first]
    try:
        return [first, jax.local_devices(backend="cpu")[0]]
    except RuntimeError:  # JAX_PLATFORMS excludes the CPU
        return [first]


def _each_batch(
    run: Callable[[Images], object], images: NDArray[np.uint8], size: int
) -> Callable[[], object]:
    """A function that classifies one batch per call: always a different one, to defeat caches."""
    starts = cycle(range(0, len(images) - size + 1, size))

    def next_batch() -> object:
        start = next(starts)
        return run(images[start : start + size])

    return next_batch


def _stages(
    run: Callable[..., object],
    images: NDArray[np.uint8],
    n_outputs: int,
    device: Device,
    seconds: float,
) -> Iterator[Stage]:
    def stage(name: str, call: Callable[[], object], precision: str | None = None) -> Stage:
        spent = median(time_calls(call, seconds)) / len(images)
        return Stage(device_name(device), name, precision, spent)

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
        yield stage("compute", lambda p=precision: run(resident, precision=p), precision)
    if device.platform != "cpu":
        answers = jnp.zeros((len(images), n_outputs), device=device)
        # Copy first: a JAX array caches its NumPy copy.
        yield stage("result", lambda: np.asarray(jnp.copy(answers)))
