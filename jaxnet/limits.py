"""What a device can do at most: bytes from memory, bytes on their way, operations; all measured.

The fastest of several rounds counts, as whatever else a machine does only slows it down.

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

from jaxnet.cores import cores
from jaxnet.program import PRECISIONS, times_bytes

Device: TypeAlias = jax.Device  # pyright: ignore[reportInvalidTypeForm]

_LARGE = 2**28  # bytes, more than caches hold
_ROUNDS = 5
_PARTS = 3  # bytes, or bfloat16 numbers, that a float32 can be written in


class Limits(NamedTuple):
    """What a device can do at most.

    Attributes:
        device: its kind and number.
        memory: bytes a second from its memory.
        transfer: bytes a second on their way to it; None where its memory is the host's.
        arithmetic: operations a second by precision, in a large product.
    """

    device: str
    memory: float
    transfer: float | None
    arithmetic: Mapping[str, float]


def measure_limits(device: Device, *, size: int = _LARGE, seconds: float = 0.3) -> Limits:
    """What a device can do at most.

    Args:
        device: one of `jax.devices()`.
        size: bytes that go through its memory each time; more than its caches hold.
        seconds: to spend on each number, about.

    Returns:
        Bandwidths, and a rate of operations for each precision. Where a product in another type
        is faster, also if several are needed to be as precise, that one counts.

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
    """Bytes a second that all cores together read from the host's memory, adding them up.

    Args:
        size, seconds: as for `measure_limits`.

    Returns:
        Bytes a second.

    Example:
        >>> from jaxnet.limits import read_bandwidth
        >>> read_bandwidth(size=2**20, seconds=0.001) > 0
        True
    """
    # Ones, not zeros: memory that nobody wrote to is one page of zeros, again and again.
    shares = np.array_split(np.ones(size // 8, np.uint64), cores())
    with ThreadPoolExecutor(len(shares)) as pool:
        return size / min(rounds(lambda: [*pool.map(np.sum, shares)], seconds))


def copy_bandwidth(device: Device, *, size: int = _LARGE, seconds: float = 0.3) -> float:
    """Bytes a second that a device reads from and writes to its own memory.

    Args:
        device, size, seconds: as for `measure_limits`.

    Returns:
        Bytes a second, those read and those written.

    Example:
        >>> import jax
        >>> from jaxnet.limits import copy_bandwidth
        >>> copy_bandwidth(jax.devices()[0], size=2**20, seconds=0.001) > 0
        True
    """
    times = 8  # handed over at once, so that starting one does not count
    array = jnp.ones(size // 4, jnp.uint32, device=device)
    copy = jax.jit(lambda a: a + 1)

    def several() -> None:
        a = array
        for _ in range(times):
            a = copy(a)
        a.block_until_ready()

    return 2 * times * size / min(rounds(several, seconds))


def transfer_bandwidth(device: Device, *, size: int = _LARGE, seconds: float = 0.3) -> float:
    """Bytes a second on their way from the host's memory into a device's.

    Args:
        device, size, seconds: as for `measure_limits`.

    Returns:
        Bytes a second; on a CPU, of a copy.

    Example:
        >>> import jax
        >>> from jaxnet.limits import transfer_bandwidth
        >>> transfer_bandwidth(jax.devices()[0], size=2**20, seconds=0.001) > 0
        True
    """
    array = np.ones(size, np.uint8)
    put = partial(jax.device_put, array, device, may_alias=False)
    return size / min(rounds(lambda: put().block_until_ready(), seconds))


def product_rate(device: Device, dtype: str, *, seconds: float = 0.3) -> float:
    """Operations a second in products of ever larger square matrices, the best of them.

    Args:
        device, seconds: as for `measure_limits`.
        dtype: one of `jaxnet.inference.PRECISIONS`; int8 stands for bytes times signed bytes, as
            images are multiplied by weights.

    Returns:
        Multiplications and additions a second.

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
    while side <= 8192 and spent < seconds / 20:  # then it is large enough to be fast
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
    """How long a call takes, in five rounds: of each, the mean of as many calls as there is time.

    Args:
        call: waits for its own result. It is called twice before, to compile and to warm up.
        seconds: to spend, about; each round has one call at least.

    Returns:
        Five times in seconds.

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
