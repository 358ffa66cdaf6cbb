"""Floats in memory, from NumPy to ten activations: aligned, 16 bytes off, in doubles, strided.

NumPy's large arrays begin 16 bytes after a multiple of 64; JAX copies them, but uses aligned ones
as they lie. The peers have their best pieces, found before for each array. Plain JAX from two
threads is measured for both arrays, without a check of the range and with NumPy's check of each
piece; ours without and with ours. All take turns; the second of two calls counts.
"""

import random
import statistics
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import numpy as np
import onnxruntime
import torch

import jaxnet
from jaxnet.data import load_mnist
from tests.benchmarks.inference import seconds
from tests.benchmarks.readers import in_batches
from tests.benchmarks.report import report

N, ROUNDS = 200_000, 9
PIECES = (1_000, 2_000, 4_000, 20_000, 100_000, 200_000)
OFF, ALIGNED = "float32, 16 bytes off", "float32, aligned"


def onnx_reader(params, *, n_threads):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = n_threads
    session = onnxruntime.InferenceSession(jaxnet.formats.onnx.export(params), options)
    name = session.get_inputs()[0].name
    return lambda images: session.run(["activations"], {name: images})[0]


def torch_reader(params, *, n_threads):
    model = jaxnet.formats.to_torch(params).eval()

    def read(images):
        torch.set_num_threads(n_threads)
        with torch.inference_mode():
            return model(torch.from_numpy(images)).numpy()

    return read


def plain_reader(params, *, check):
    forward = jax.jit(jax.vmap(jaxnet.forward, in_axes=(None, 0)))

    def read(images):
        if check and not (images.min() >= 0 and images.max() <= 1):
            raise ValueError("out of range")
        return np.asarray(forward(params, images))

    return read


def ours(params, *, check):
    return lambda images: jaxnet.classify(params, images, check_range=check).activations


def peers(params, pool):
    """Each peer's name, whether it checks the range, its reader, and the threads outside of it."""
    for name, make in (("onnx runtime", onnx_reader), ("pytorch", torch_reader)):
        yield f"{name}, its own threads", False, make(params, n_threads=2), None
        yield f"{name}, two outside", False, make(params, n_threads=1), pool
    for check in (False, True):
        name = "jit(vmap(forward))" + (", checked" if check else "")
        yield name, check, plain_reader(params, check=check), None
        yield f"{name}, two outside", check, plain_reader(params, check=check), pool


def at(images, n_bytes):
    """A copy that begins so many bytes after a multiple of 64."""
    space = np.zeros(images.nbytes + 128, np.uint8)
    lead = -space.ctypes.data % 64 + n_bytes
    copy = space[lead : lead + images.nbytes].view(images.dtype).reshape(images.shape)
    copy[:] = images
    return copy


def tuned(read, images, pool):
    """The call in the best pieces, and their size."""
    sizes = {size: partial(in_batches, read, size=size, pool=pool) for size in PIECES}
    for call in sizes.values():
        call(images)  # compiles
    tried = {size: min(seconds(call, images) for _ in range(3)) for size, call in sizes.items()}
    best = min(tried, key=tried.__getitem__)
    return partial(sizes[best], images), best


def main() -> None:
    params = jaxnet.pretrained()
    some = load_mnist("train").images / np.float32(255)
    floats = np.tile(some, (-(-N // len(some)), 1))[:N]
    lying = {OFF: at(floats, 16), ALIGNED: at(floats, 0), "float64": floats.astype(np.float64)}
    lying["float32, every second row"] = np.repeat(floats, 2, 0)[::2]
    # A call's name: that of the array, whose it is, and whether the range is checked.
    calls = {
        (kind, "ours", check): partial(ours(params, check=check), images)
        for kind, images in lying.items()
        for check in (True, False)
    }
    expected, sizes = calls[OFF, "ours", True](), {}
    with ThreadPoolExecutor(2) as pool:
        for name, check, read, outside in peers(params, pool):
            for kind in (OFF, ALIGNED):
                key = kind, name, check
                calls[key], sizes[key] = tuned(read, lying[kind], outside)
                assert abs(calls[key]() - expected).max() < 1e-4, key
        times, order = {key: [] for key in calls}, random.Random(0)
        for _ in range(ROUNDS):
            for key in order.sample([*calls], len(calls)):
                calls[key]()
                times[key].append(seconds(calls[key]))
    rates = {key: N / statistics.median(spent) / 1e6 for key, spent in times.items()}
    show = partial(report, unit="million images/s", rounds=ROUNDS)
    for (kind, name, check), size in sizes.items():
        for checked in (True, False) if not check else (True,):
            show(
                kind + ("" if checked else ", check_range=False"),
                rates[kind, "ours", checked], rates[kind, name, check],
                peer_name=name, pieces=size,
            )  # fmt: skip
    best = max((key for key in sizes if key[0] == OFF), key=rates.__getitem__)
    for kind, _, check in [key for key in calls if key[1] == "ours"]:
        show(
            kind + ("" if check else ", check_range=False"),
            rates[kind, "ours", check], rates[best],
            peer_name=f"the best of them, {best[1]}, with {OFF}", pieces=sizes[best],
        )  # fmt: skip
