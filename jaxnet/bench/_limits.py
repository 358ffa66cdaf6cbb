"""Measures a device's peak memory bandwidth, transfer bandwidth and arithmetic rate."""

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxnet._util.cores import cores
from jaxnet.inference import PRECISIONS
from jaxnet.inference._quantize import times_bytes

Device: TypeAlias = jax.Device  # pyright: ignore[reportInvalidTypeForm]

_LARGE = 2**28  # bytes, larger than any cache
_ROUNDS = 5
_PIECES = 4  # transfers per thread


class Limits(NamedTuple):
    """A device's measured peak rates.

    Attributes:
        device: its kind and number, as from `device_name`.
        memory: memory bandwidth, in bytes per second.
        transfer: bandwidth from host to device, in bytes per second; None if they share memory.
        arithmetic: operations per second in a large matrix product, by precision.
    """

    device: str
    memory: float
    transfer: float | None
    arithmetic: Mapping[str, float]


def measure_limits(device: Device, *, size: int = _LARGE, seconds: float = 0.3) -> Limits:
    """Measures a device's peak rates.

    Each is the fastest of several rounds, since other load can only slow a round down.

    Args:
        device: one of `jax.devices()`.
        size: the number of bytes to copy; choose more than the caches hold.
        seconds: the approximate time to spend on each rate.

    Returns:
        The bandwidths, and the operations per second in each precision. A precision may be computed
        in another type, if that is as exact and faster: in a finer one, or as several products of
        int8 parts, whose values are exact in bfloat16, too.

    Example:
        >>> import jax
        >>> from jaxnet.bench import measure_limits
        >>> limits = measure_limits(jax.devices()[0], size=2**20, seconds=0.001)
        >>> sorted(limits.arithmetic)
        ['bfloat16', 'float32', 'int8']

    Source: Williams, Waterman and Patterson, "Roofline", Communications of the ACM, 2009.
    """
    rates = {dtype: matmul_rate(device, dtype, seconds=seconds) for dtype in PRECISIONS}
    of_bytes = max(rates["bfloat16"], rates["int8"])
    best = (
        max(rates[name], of_bytes / precision.parts if precision.parts else 0)
        for name, precision in PRECISIONS.items()
    )
    arithmetic = dict(zip(PRECISIONS, accumulate(best, max), strict=True))  # finest first
    if device.platform == "cpu":
        memory, transfer = read_bandwidth(size=size, seconds=seconds), None
    else:
        memory = copy_bandwidth(device, size=size, seconds=seconds)
        transfer = transfer_bandwidth(device, size=size, seconds=seconds)
    return Limits(device_name(device), memory, transfer, arithmetic)


def read_bandwidth(*, size: int = _LARGE, seconds: float = 0.3) -> float:
    """Measures the host's memory bandwidth, with all cores summing an array."""
    # Not zeros: untouched pages all map to the same physical page.
    shares = np.array_split(np.ones(size // 8, np.uint64), cores())
    with ThreadPoolExecutor(len(shares)) as pool:
        return size / min(time_calls(lambda: [*pool.map(np.sum, shares)], seconds))


def copy_bandwidth(device: Device, *, size: int = _LARGE, seconds: float = 0.3) -> float:
    """Measures a device's own memory bandwidth, reading and writing."""
    times = 8  # dispatched together, to hide the launch overhead
    array = jnp.ones(size // 4, jnp.uint32, device=device)
    copy = jax.jit(lambda a: a + 1)

    def several() -> None:
        a = array
        for _ in range(times):
            a = copy(a)
        a.block_until_ready()

    return 2 * times * size / min(time_calls(several, seconds))


def transfer_bandwidth(device: Device, *, size: int = _LARGE, seconds: float = 0.3) -> float:
    """Measures the bandwidth from host to device, with one thread per core as in `classify`."""
    # The driver first copies pageable memory into its own buffers, and one core cannot keep up with
    # the bus.
    pieces = np.array_split(np.ones(size, np.uint8), _PIECES * cores())

    def put(piece: NDArray[np.uint8]) -> None:
        jax.device_put(piece, device, may_alias=False).block_until_ready()

    with ThreadPoolExecutor(cores()) as pool:
        return size / min(time_calls(lambda: [*pool.map(put, pieces)], seconds))


def matmul_rate(device: Device, dtype: str, *, seconds: float = 0.3) -> float:
    """Measures operations per second in matrix products, the best of growing square sizes."""
    one, other = ("uint8", "int8") if dtype == "int8" else (dtype, dtype)
    floats = partial(jnp.matmul, precision="highest", preferred_element_type=jnp.float32)
    product = jax.jit(times_bytes if dtype == "int8" else floats)
    best, spent, side = 0.0, 0.0, 256
    while side <= 8192 and spent < seconds / 20:  # larger is no faster
        a, b = (jnp.ones((side, side), t, device=device) for t in (one, other))
        spent = min(time_calls(lambda a=a, b=b: product(a, b).block_until_ready(), seconds / 3))
        best, side = max(best, 2 * side**3 / spent), 2 * side
    return best


def device_name(device: Device) -> str:
    """A device's kind and number, such as "cpu:0"."""
    return f"{device.device_kind}:{device.id}"


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
