"""A million images in bytes: from NumPy, from files, on the device; one at a time; ten million.

The peers of `readers` have their best batch size and number of threads, found before in a shorter
run over the same images. Then all take turns. Beside them is what the machine could do at most,
measured in the same run: bytes read from memory, and operations in large products.
"""

import random
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import jax
import numpy as np

import jaxnet
from jaxnet.batch import _jobs as jobs
from jaxnet.batch import _shards as shards
from jaxnet.batch._files import open_job
from jaxnet.batch._tables import ENDINGS
from jaxnet.bench import measure
from jaxnet.data import load_mnist, open_inputs
from jaxnet.inference import classify_on_device
from tests.benchmarks import readers
from tests.benchmarks.readers import in_batches
from tests.benchmarks.report import report

N, N_TRIED, ROUNDS = 1_000_000, 200_000, 9
BATCHES = (200, 1_000, 4_000, 20_000, 100_000)  # that leave no rest, to be compiled again
CALLS, IN_A_ROW = 20_000, 200


def seconds(call, *arguments):
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


def peers(params, pool):
    """Each peer with its settings: batch sizes, and threads of its own or outside of it."""
    for name, make in (
        ("onnx runtime", readers.onnx_reader),
        ("onnx runtime, int8", partial(readers.onnx_reader, in_bytes=True)),
        ("pytorch, eager", readers.torch_reader),
        ("pytorch, compiled", partial(readers.torch_reader, compiled=True)),
        ("numpy", readers.numpy_reader),
    ):
        for threads, n, outside in (("its own threads", 2, None), ("two outside", 1, pool)):
            read = make(params, n_threads=n)
            yield (
                f"{name}, {threads}",
                {size: partial(in_batches, read, size=size, pool=outside) for size in BATCHES},
            )
    yield "jit(vmap(forward)), all at once", {None: readers.plain_jit(params)}


def million(params):
    some = load_mnist("train").images
    images = np.tile(some, (-(-N // len(some)), 1))[:N]
    ours = {
        "float32": readers.ours(params, brightest=True),
        "float32, ten activations": readers.ours(params),
        "bfloat16": readers.ours(params, brightest=True, precision="bfloat16"),
        "int8": readers.ours(params, brightest=True, precision="int8"),
    }
    calls, sizes, expected = dict(ours), {}, ours["float32"](images)
    with ThreadPoolExecutor(2) as pool:
        for name, settings in peers(params, pool):
            tried = {}
            for size, call in settings.items():
                call(images[:N_TRIED])  # compiles
                tried[size] = min(seconds(call, images[:N_TRIED]) for _ in range(3))
            sizes[name] = min(tried, key=tried.__getitem__)
            calls[name] = settings[sizes[name]]
            same = (calls[name](images) == expected).mean()
            assert same > (0.99 if "int8" in name else 0.9999), (name, same)
        times, order = {name: [] for name in calls}, random.Random(0)
        for _ in range(ROUNDS):
            # In turn, so that all meet the same moods. The second of two calls counts, as the
            # first begins with the caches, threads and memory that another has left.
            for name in order.sample([*calls], len(calls)):
                calls[name](images)
                times[name].append(seconds(calls[name], images))
    rates = {name: N / statistics.median(spent) / 1e6 for name, spent in times.items()}
    show = partial(report, unit="million images/s", rounds=ROUNDS)
    for name, size in sizes.items():
        mine = "int8" if "int8" in name else "float32"
        show(f"a million, {mine}", rates[mine], rates[name], peer_name=name, batch_size=size)
    for name in ours:
        show(f"a million, {name}", rates[name], rates["float32"], peer_name="ours, float32")
    for rate in measure(params, n_images=N_TRIED, batch_sizes=()):
        name, most = rate.precision, rate.images_per_second / rate.share / 1e6
        show(f"a million, {name}", rates[name], most, peer_name=f"the machine's {rate.limit}")


def on_device(params):
    """Bytes that are on the device already, to digits and ten activations there."""
    some = load_mnist("train").images
    images = jax.device_put(np.tile(some, (-(-N_TRIED // len(some)), 1))[:N_TRIED])

    @jax.jit
    def plain(params, images):
        x = images.astype(np.float32) / 255
        z = jax.vmap(jaxnet.logits, in_axes=(None, 0))(params, x)
        return z.argmax(1), jax.nn.sigmoid(z)

    @jax.jit
    def plain_forward(params, images):
        x = images.astype(np.float32) / 255
        a = jax.vmap(jaxnet.forward, in_axes=(None, 0))(params, x)
        return a.argmax(1), a

    programs = {
        "classify_on_device": jax.jit(classify_on_device),
        "jit(vmap(forward))": plain_forward,
        "jit(vmap(logits))": plain,
    }
    calls = {
        name: partial(lambda program: jax.block_until_ready(program(params, images)), program)
        for name, program in programs.items()
    }
    digits, activations = calls["classify_on_device"]()  # and all compile
    for name, call in calls.items():
        given = call()
        assert (given[0] == digits).mean() > 0.9999, name
        assert abs(given[1] - activations).max() < 1e-4, name
    times, order = {name: [] for name in calls}, random.Random(0)
    for _ in range(ROUNDS):
        for name in order.sample([*calls], len(calls)):
            calls[name]()
            times[name].append(seconds(calls[name]))
    rates = {name: N_TRIED / statistics.median(spent) / 1e6 for name, spent in times.items()}
    ours = rates.pop("classify_on_device")
    for name, rate in rates.items():
        report("on the device", ours, rate, "million images/s", peer_name=name, rounds=ROUNDS)


def one_at_a_time(params):
    """From an image in NumPy to its digit in Python."""
    images = load_mnist("test").images
    floats = images / np.float32(255)
    onnx, predict = readers.onnx_reader(params, n_threads=1), jax.jit(jaxnet.predict)
    calls = {
        "ours": lambda n: predict(params, floats[n]).item(),
        "onnx runtime": lambda n: onnx(images[n : n + 1]).item(),
    }
    times = {name: [] for name in calls}
    for start in range(0, CALLS, IN_A_ROW):
        for name, call in calls.items():  # in turn, so that all meet the same moods
            for n in range(start, start + IN_A_ROW):
                times[name].append(1e6 * seconds(call, n % len(images)))
    for label, q in (("median", 0.5), ("99th percentile", 0.99)):
        ours, peer = (np.quantile(times[name][100:], q) for name in calls)
        report(f"one image, {label}", ours, peer, "µs", peer_name="onnx runtime", calls=CALLS)


def started(*arguments):
    command = [sys.executable, "-m", "tests.benchmarks.worker", *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def memory():
    """The peak of a stream's memory, for ten times the images."""
    few, many = (float(started("stream", n).communicate()[0]) for n in (N, 10 * N))
    report("stream of ten million, peak", many, few, "MiB", peer_name="of one million")


def together(*all_arguments):
    """What processes read in a second together, each ready before any begins."""
    workers = [started("rate", *arguments) for arguments in all_arguments]
    for worker in workers:
        worker.stdout.readline()
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    return sum(float(worker.communicate()[0]) for worker in workers) / 1e6


def several():
    """Two processes of a core each, and two devices of one process, against one core."""
    ways = {
        "one": lambda: together(("0", 1)),
        "two processes": lambda: together(("0", 1), ("1", 1)),
        "two devices": lambda: together(("0,1", 2)),
    }
    rates = {name: [] for name in ways}
    for _ in range(3):
        for name, way in ways.items():
            rates[name].append(way())
    one = statistics.median(rates.pop("one"))
    for name, measured in rates.items():
        report(
            name, statistics.median(measured), one, "million images/s", peer_name="one, on a core"
        )


def from_files(params):
    """A million images from a file into shards, in each format."""
    images = np.random.default_rng(0).integers(0, 256, (N, 784), np.uint8)
    read = partial(jaxnet.classify, params, images, brightest=True)
    in_memory = N / min(seconds(read) for _ in range(3))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "many.npy", images)
        inputs = open_inputs([folder / "many.npy"])
        job = open_job(*jaxnet.load(), inputs, brightest=True)
        jobs.warm(job)
        for ending in ENDINGS:
            options = {"ending": ending, "size": N // 2, "resume": False}
            spent = seconds(
                lambda e=ending, o=options: [*shards.write_shards(job, folder / e[1:], **o)]
            )
            report(
                f"a million, .npy to {ending}", N / spent / 1e6, in_memory / 1e6,
                "million images/s", peer_name="in memory",
            )  # fmt: skip


def main() -> None:
    params = jaxnet.pretrained()
    million(params)
    on_device(params)
    from_files(params)
    one_at_a_time(params)
    memory()
    several()
