"""Measures a device's peak memory bandwidth, transfer bandwidth and arithmetic rate.

The fastest of several rounds counts, since whatever else a machine does only slows it down.

Source: Williams, Waterman and Patterson, "Roofline", Communications of the ACM, 2009.
"""

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxnet.cores import cores
from jaxnet.program import PRECISIONS, times_bytes

Device: TypeAlias = jax.Device  # pyright: ignore[reportInvalidTypeForm]

_LARGE = 2**28  # bytes, more than caches hold
_ROUNDS = 5
_PARTS = 3  # int8 or bfloat16 numbers that add up to a float32
_PIECES = 4  # transfers per thread


class Limits(NamedTuple):
    """A device's measured peak rates.

    Attributes:
        device: its kind and number.
        memory: memory bandwidth, in bytes per second.
        transfer: bandwidth from the host's memory, in bytes per second; None if it is the
            device's own.
        arithmetic: operations per second in a large matrix product, by precision.
    """

    device: str
    memory: float
    transfer: float | None
    arithmetic: Mapping[str, float]


def measure_limits(device: Device, *, size: int = _LARGE, seconds: float = 0.3) -> Limits:
    """Measures a device's peak rates.

    Args:
        device: one of `jax.devices()`.
        size: bytes to copy each time; more than its caches hold.
        seconds: time to spend on each number, approximately.

    Returns:
        Bandwidths, and operations per second for each precision. If products of another type are
        faster, even counting the several that are needed for the precision, their rate is given.

    Example:
        >>> import jax
        >>> from jaxnet.limits import measure_limits
        >>> limits = measure_limits(jax.devices()[0], size=2**20, seconds=0.001)
        >>> sorted(limits.arithmetic)
        ['bfloat16', 'float32', 'int8']
    """
    products = {dtype: product_rate(device, dtype, seconds=seconds) for dtype in PRECISIONS}
    of_parts = max(products["bfloat16"], products["int8"]) / _PARTS
    float32 = max(products["float32"], of_parts)
    bfloat16 = max(products["bfloat16"], float32)
    int8 = max(products["int8"], bfloat16)
    arithmetic = {"float32": float32, "bfloat16": bfloat16, "int8": int8}
    if device.platform == "cpu":
        memory, transfer = read_bandwidth(size=size, seconds=seconds), None
    else:
        memory = copy_bandwidth(device, size=size, seconds=seconds)
        transfer = transfer_bandwidth(device, size=size, seconds=seconds)
    return Limits(name_of(device), memory, transfer, arithmetic)


def read_bandwidth(*, size: int = _LARGE, seconds: float = 0.3) -> float:
    """Measures how fast all cores together read the host's memory, in a sum.

    Args:
        size, seconds: as for `measure_limits`.

    Returns:
        Bytes per second.

    Example:
        >>> from jaxnet.limits import read_bandwidth
        >>> read_bandwidth(size=2**20, seconds=0.001) > 0
        True
    """
    # Not zeros: all pages that were never written to are one and the same page of memory.
    shares = np.array_split(np.ones(size // 8, np.uint64), cores())
    with ThreadPoolExecutor(len(shares)) as pool:
        return size / min(rounds(lambda: [*pool.map(np.sum, shares)], seconds))


def copy_bandwidth(device: Device, *, size: int = _LARGE, seconds: float = 0.3) -> float:
    """Measures how fast a device reads and writes its own memory, in a copy.

    Args:
        device, size, seconds: as for `measure_limits`.

    Returns:
        Bytes read and bytes written, per second.

    Example:
        >>> import jax
        >>> from jaxnet.limits import copy_bandwidth
        >>> copy_bandwidth(jax.devices()[0], size=2**20, seconds=0.001) > 0
        True
    """
    times = 8  # dispatched at once, so that launches overlap with the work
    array = jnp.ones(size // 4, jnp.uint32, device=device)
    copy = jax.jit(lambda a: a + 1)

    def several() -> None:
        a = array
        for _ in range(times):
            a = copy(a)
        a.block_until_ready()

    return 2 * times * size / min(rounds(several, seconds))


def transfer_bandwidth(device: Device, *, size: int = _LARGE, seconds: float = 0.3) -> float:
    """Measures how fast bytes get from the host's memory into a device's.

    A driver copies ordinary, pageable memory into memory of its own first, which takes several
    cores to keep up with the bus. So there is a thread for each core, as in `jaxnet.classify`.

    Args:
        device, size, seconds: as for `measure_limits`.

    Returns:
        Bytes per second; on a CPU, those of a copy.

    Example:
        >>> import jax
        >>> from jaxnet.limits import transfer_bandwidth
        >>> transfer_bandwidth(jax.devices()[0], size=2**20, seconds=0.001) > 0
        True
    """
    pieces = np.array_split(np.ones(size, np.uint8), _PIECES * cores())

    def put(piece: NDArray[np.uint8]) -> None:
        jax.device_put(piece, device, may_alias=False).block_until_ready()

    with ThreadPoolExecutor(cores()) as pool:
        return size / min(rounds(lambda: [*pool.map(put, pieces)], seconds))


def product_rate(device: Device, dtype: str, *, seconds: float = 0.3) -> float:
    """Measures the rate of arithmetic in matrix products: the best of ever larger squares.

    Args:
        device, seconds: as for `measure_limits`.
        dtype: one of `jaxnet.inference.PRECISIONS`; for int8, uint8 images times int8 weights.

    Returns:
        Multiplications and additions per second.

    Example:
        >>> import jax
        >>> from jaxnet.limits import product_rate
        >>> product_rate(jax.devices()[0], "int8", seconds=0.001) > 0
        True
    """
    one, other = ("uint8", "int8") if dtype == "int8" else (dtype, dtype)
    floats = partial(jnp.matmul, precision="highest", preferred_element_type=jnp.float32)
    product = jax.jit(times_bytes if dtype == "int8" else floats)
    best, spent, side = 0.0, 0.0, 256
    while side <= 8192 and spent < seconds / 20:  # then the product is large enough to be fast
        a, b = (jnp.ones((side, side), t, device=device) for t in (one, other))
        spent = min(rounds(lambda a=a, b=b: product(a, b).block_until_ready(), seconds / 3))
        best, side = max(best, 2 * side**3 / spent), 2 * side
    return best


def name_of(device: Device) -> str:
    """A device's kind and number.

    Example:
        >>> import jax
        >>> from jaxnet.limits import name_of
        >>> name_of(jax.devices("cpu")[0])
        'cpu:0'
    """
    return f"{device.device_kind}:{device.id}"


def rounds(call: Callable[[], object], seconds: float) -> list[float]:
    """Times a call in five rounds, each the mean over as many calls as there is time for.

    Args:
        call: must wait for its own result. It is called twice first, to compile and to warm up.
        seconds: time to spend, approximately; each round has at least one call.

    Returns:
        Five times, in seconds.

    Example:
        >>> import time
        >>> from jaxnet.limits import rounds
        >>> min(rounds(lambda: time.sleep(0.001), 0.01)) >= 0.001
        True
    """

    def mean_of(n: int) -> float:
        began = time.perf_counter()
        for _ in range(n):
            call()
        return (time.perf_counter() - began) / n

    call()
    n = max(math.floor(seconds / _ROUNDS / mean_of(1)), 1)
    return [mean_of(n) for _ in range(_ROUNDS)]
