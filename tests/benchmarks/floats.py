"""Floats in memory, from NumPy to ten activations: as NumPy allocates them, aligned, in doubles.

The peers of `peers` take the same float32 array, each in its best batches, found before. NumPy's
memory begins 16 bytes after a multiple of 64, which JAX can only copy. All take turns; the second
of two calls counts.
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
from jaxnet.inference._images import aligned
from tests.benchmarks.inference import seconds
from tests.benchmarks.report import report

N, ROUNDS = 200_000, 9
BATCHES = (1_000, 4_000, 20_000, 200_000)


def in_batches(read, images, size, pool=None):
    batches = (images[at : at + size] for at in range(0, len(images), size))
    return np.concatenate([*(pool.map if pool else map)(read, batches)])


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


def peers(params, pool):
    for name, make in (("onnx runtime", onnx_reader), ("pytorch", torch_reader)):
        for threads, n, outside in (("its own threads", 2, None), ("two outside", 1, pool)):
            read = make(params, n_threads=n)
            yield (
                f"{name}, {threads}",
                [partial(in_batches, read, size=size, pool=outside) for size in BATCHES],
            )
    forward = jax.jit(jax.vmap(jaxnet.forward, in_axes=(None, 0)))
    plain = lambda images: np.asarray(forward(params, images))  # noqa: E731
    yield "jit(vmap(forward))", [partial(in_batches, plain, size=size) for size in BATCHES]


def main() -> None:
    params = jaxnet.pretrained()
    some = load_mnist("train").images / np.float32(255)
    floats = np.empty((N, 784), np.float32)  # as NumPy allocates
    floats[:] = np.tile(some, (-(-N // len(some)), 1))[:N]
    lying = {"float32": floats, "float64": floats.astype(np.float64)}
    lying["float32, aligned"] = aligned(N, 784, np.dtype(np.float32))
    lying["float32, aligned"][:] = floats
    lying["float32, every second row"] = np.repeat(floats, 2, 0)[::2]
    ours = {
        name: partial(lambda images: jaxnet.classify(params, images).activations, images)
        for name, images in lying.items()
    }
    calls, expected = dict(ours), ours["float32"]()
    with ThreadPoolExecutor(2) as pool:
        for name, settings in peers(params, pool):
            for call in settings:
                call(floats)  # compiles
            best = min(settings, key=lambda call: min(seconds(call, floats) for _ in range(3)))
            calls[name] = partial(best, floats)
            assert abs(calls[name]() - expected).max() < 1e-4, name
        times, order = {name: [] for name in calls}, random.Random(0)
        for _ in range(ROUNDS):
            for name in order.sample([*calls], len(calls)):
                calls[name]()
                times[name].append(seconds(calls[name]))
    rates = {name: N / statistics.median(spent) / 1e6 for name, spent in times.items()}
    show = partial(report, unit="million images/s", rounds=ROUNDS)
    for name in calls:
        if name not in ours:
            show("float32", rates["float32"], rates[name], peer_name=name)
    best = max((name for name in calls if name not in ours), key=rates.__getitem__)
    for name in ours:
        show(name, rates[name], rates[best], peer_name=f"the best of them, {best}, with float32")
