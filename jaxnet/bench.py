"""Benchmarks: how fast this machine classifies images, and how close that is to its limits.

Classifying an image takes a certain number of bytes and operations. So two rates limit the
throughput: arithmetic, and the bandwidth of memory (on a CPU) or of transfer (to another device).
Both are measured; none comes from a data sheet. `jaxnet bench` prints the rates.

Source: Williams, Waterman and Patterson, "Roofline", Communications of the ACM, 2009.
"""

import math
import operator
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate, cycle
from statistics import median
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxnet._util.cores import cores
from jaxnet.inference import PRECISIONS, classify
from jaxnet.inference._quantize import times_bytes
from jaxnet.network import Params, Squash, check_params

__all__ = ["Rate", "measure"]

Device: TypeAlias = jax.Device  # pyright: ignore[reportInvalidTypeForm]

_LARGE = 2**28  # bytes, more than any cache holds
_ROUNDS = 5


class Rate(NamedTuple):
    """The throughput of `jaxnet.classify` on uint8 images in host memory.

    Attributes:
        precision: one of `jaxnet.inference.PRECISIONS`.
        batch_size: images per call.
        images_per_second: the measured throughput.
        share: the measured throughput as a fraction of what the tightest limit allows.
        limit: the name of that limit: memory, transfer or arithmetic.
    """

    precision: str
    batch_size: int
    images_per_second: float
    share: float
    limit: str


def measure(
    params: Params,
    *,
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
    n_images: int = 200_000,
    batch_sizes: Sequence[int] = (1, 100, 10_000),
    seconds: float = 0.3,
) -> Iterator[Rate]:
    """Measures the throughput in each precision, on the device where the network is.

    Args:
        params: the network.
        squash, last_squash: as in `jaxnet.forward`.
        n_images: the number of images, random bytes; all of them are the largest batch. Images
            that fit the cache may be classified faster than the memory limit allows.
        batch_sizes: the smaller batch sizes.
        seconds: the approximate time to spend on each number.

    Returns:
        An iterator of the rates of each precision and batch size, as they are measured.

    Raises:
        TypeError, ValueError: not a network, `n_images` or a batch size below 1, or `seconds` not
            above 0 or infinite.

    Example:
        >>> import jaxnet
        >>> rates = jaxnet.bench.measure(
        ...     jaxnet.pretrained(), n_images=50, batch_sizes=[], seconds=0.001
        ... )
        >>> [(rate.precision, rate.batch_size) for rate in rates]
        [('float32', 50), ('bfloat16', 50), ('int8', 50)]
    """
    check_params(params)
    sizes = [operator.index(size) for size in (*batch_sizes, n_images)]
    if min(sizes) < 1:
        raise ValueError(f"Expected n_images and batch_sizes of 1 or more; got {min(sizes)}.")
    if not 0 < seconds < math.inf:
        raise ValueError(f"Expected seconds above 0, and not infinite; got {seconds} instead.")
    run = partial(classify, params, squash=squash, last_squash=last_squash)
    return _rates(run, params, [min(size, n_images) for size in sizes], seconds)


def _rates(
    run: Callable[..., object], params: Params, sizes: Sequence[int], seconds: float
) -> Iterator[Rate]:
    n_images = sizes[-1]
    images = np.random.default_rng(0).integers(0, 256, (n_images, params[0][0].shape[1]), np.uint8)
    device = _device_of(params)
    bandwidth, limit_of_bytes = bandwidth_to_device(device, seconds=seconds)
    for precision, operations in arithmetic_rates(device, seconds=seconds).items():
        ceiling, limit = min(
            (bandwidth / images.shape[1], limit_of_bytes),
            (operations / operations_per_image(params), "arithmetic"),
        )
        for size in sorted({*sizes}):
            # A different batch per call, to defeat caches.
            starts = cycle(range(0, n_images - size + 1, size))

            def call(
                size: int = size, starts: Iterator[int] = starts, precision: str = precision
            ) -> object:
                start = next(starts)
                return run(images[start : start + size], precision=precision)

            rate = size / median(time_calls(call, seconds))
            yield Rate(precision, size, rate, rate / ceiling, limit)


def operations_per_image(params: Params) -> int:
    """Multiplications and additions: of each input by a weight, and of the products and a bias."""
    return 2 * sum(w.size for w, _ in params)


def _device_of(params: Params) -> Device:
    """Where `classify` runs: the network's device, or JAX's default one."""
    return next(iter(jnp.asarray(params[0][0]).devices()))


def bandwidth_to_device(
    device: Device, *, size: int = _LARGE, seconds: float = 0.3
) -> tuple[float, str]:
    """Bytes per second that all cores bring to where they are multiplied, and how."""
    on_cpu = device.platform == "cpu"

    def bring(piece: np.ndarray) -> object:
        if on_cpu:
            return piece.sum()
        return jax.device_put(piece, device, may_alias=False).block_until_ready()

    # Ones, since the untouched pages of zeros all map to the same physical page. In pieces, since
    # a GPU's driver copies each to a buffer of its own first, for which one core is too slow.
    pieces = np.array_split(np.ones(size // 8, np.uint64), 4 * cores())
    with ThreadPoolExecutor(cores()) as pool:
        fastest = min(time_calls(lambda: [*pool.map(bring, pieces)], seconds))
    return size / fastest, "memory" if on_cpu else "transfer"


def arithmetic_rates(device: Device, *, seconds: float = 0.3) -> dict[str, float]:
    """Operations per second by precision; a finer type, or parts in bytes, may be the fastest."""
    rates = {dtype: matmul_rate(device, dtype, seconds=seconds) for dtype in PRECISIONS}
    of_bytes = max(rates["bfloat16"], rates["int8"])  # bfloat16 holds bytes exactly
    best = (
        max(rates[name], of_bytes / precision.parts if precision.parts else 0)
        for name, precision in PRECISIONS.items()
    )
    return dict(zip(PRECISIONS, accumulate(best, max), strict=True))  # finest first


def matmul_rate(device: Device, dtype: str, *, seconds: float = 0.3) -> float:
    """Operations per second in matrix products, the best of growing square sizes."""
    one, other = ("uint8", "int8") if dtype == "int8" else (dtype, dtype)
    floats = partial(jnp.matmul, precision="highest", preferred_element_type=jnp.float32)
    product = jax.jit(times_bytes if dtype == "int8" else floats)
    best, spent, side = 0.0, 0.0, 256
    while side <= 8192 and spent < seconds / 20:  # larger is no faster
        a, b = (jnp.ones((side, side), t, device=device) for t in (one, other))
        spent = min(time_calls(lambda a=a, b=b: product(a, b).block_until_ready(), seconds / 3))
        best, side = max(best, 2 * side**3 / spent), 2 * side
    return best


def time_calls(call: Callable[[], object], seconds: float) -> list[float]:
    """The seconds per call in each of five rounds, which together take about `seconds`."""

    def mean_of(n: int) -> float:
        start = time.perf_counter()
        for _ in range(n):
            call()
        return (time.perf_counter() - start) / n

    call()
    n = max(math.floor(seconds / _ROUNDS / mean_of(1)), 1)
    return [mean_of(n) for _ in range(_ROUNDS)]
