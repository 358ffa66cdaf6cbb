"""One GPU: images classified from its own memory and from the host's, and networks trained.

It needs nothing but jaxnet's core dependencies. It uses MNIST if it finds it without a download,
and synthetic digits otherwise. Answers are compared with float64's before they are timed, and a
table of all figures comes last. On a CPU the sizes are small: a test of the benchmark itself.
"""

import json
import statistics
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.nn import sigmoid
from jax.sharding import SingleDeviceSharding

import jaxnet
from jaxnet._util.cores import cores
from jaxnet._util.files import FileError
from jaxnet.bench import bandwidth_to_device, time_calls
from jaxnet.data import load_mnist
from jaxnet.inference import classify_on_device
from jaxnet.inference._program import classify_chunk
from jaxnet.inference._quantize import Floats, prepare
from jaxnet.training import TrainState, evaluate, fit, train_epoch
from tests.benchmarks.report import report
from tests.benchmarks.roofline import copy_bandwidth
from tests.inference.test_gpu import gpu_kernel

DEVICE = jax.devices()[0]
SMALL = DEVICE.platform == "cpu"
N = 2**12 if SMALL else 2**20  # images in a batch: more than a GPU's cache holds
N_CHECKED, N_TRAIN, N_VALIDATION = (500, 2_000, 500) if SMALL else (10_000, 60_000, 10_000)
IN_FLIGHT = 4 if SMALL else 32  # batches dispatched at once, so that launches overlap with the work
SECONDS = 0.01 if SMALL else 0.3  # to spend on each figure
RATE, BATCH_SIZE, EPOCHS, GOAL = 0.02, 100, 4, 0.94
NETWORKS = (1, 4) if SMALL else (1, 16, 256, 4_096)

table, failed = [], []


def show(name, ours, peer, unit, *, peer_name, **more):
    report(name, ours, peer, unit, peer_name=peer_name, device=DEVICE.device_kind, **more)
    table.append((name, f"{ours:,.4g}", unit, f"{ours / peer:.3g} of {peer_name}"))


def synthetic(seed, n):
    """Drawn digits in uint8, and their labels."""
    images, labels = jaxnet.data.synthetic.sample(jax.random.key(seed), n)
    return np.asarray(255 * images).astype(np.uint8), np.asarray(labels)


def digits():
    """Training images, validation images, and where they are from."""
    try:
        train, test = (load_mnist(split, mirrors=()) for split in ("train", "test"))
    except FileError:
        return synthetic(1, N_TRAIN), synthetic(2, N_VALIDATION), "synthetic digits"
    return [part[:N_TRAIN] for part in train], [part[:N_VALIDATION] for part in test], "MNIST"


def float64(params, images):
    a = images / 255
    for w, b in params:
        z = a @ np.asarray(w, np.float64).T + np.asarray(b, np.float64)
        a = 1 / (1 + np.exp(-z))
    return z.argmax(1), a


# Inference


def by_vmap(params, images):
    """The first thing one would write."""
    x = images.astype(jnp.float32) / 255
    z = jax.vmap(jaxnet.logits, in_axes=(None, 0))(params, x)
    return z.argmax(1), sigmoid(z)


def by_vmap_in_float32(params, images):
    with jax.default_matmul_precision("highest"):
        return by_vmap(params, images)


def programs(params):
    """By name: a function, all its arguments but the images, and what its answers must satisfy.

    That is the largest error of an activation, and the share of digits that are float64's. In
    float32, a logit of some tens is off by some 1e-6. bfloat16 keeps 8 bits of the first layer's
    weights; a GPU's default is TF32, which keeps 11 bits of all. "int8" rounds weights to 255
    steps, which changes answers.
    """
    first, *rest = params
    rest = tuple(rest)
    classify = partial(classify_chunk, squash=sigmoid, last_squash=sigmoid, brightest=False)
    form = partial(prepare, first, is_uint8=True, on_cpu=SMALL)
    floats = Floats(np.asarray(first.weights).T / np.float32(255), np.asarray(first.biases))
    return {
        "float32": (classify, (form("float32"), rest), 1e-5, 1),
        "classify_on_device": (classify_on_device, (params,), 1e-5, 1),
        "one kernel": (partial(gpu_kernel.classify, interpret=SMALL), (params,), 1e-5, 1),
        "float32, weights as floats": (classify, (floats, rest), 1e-5, 1),
        "bfloat16": (classify, (form("bfloat16"), rest), 0.02, 0.999),
        "int8": (classify, (form("int8"), rest), 1, 0.99),
        "jit(vmap(logits)), default": (by_vmap, (params,), 0.02, 0.999),
        "jit(vmap(logits)), float32": (by_vmap_in_float32, (params,), 1e-5, 1),
    }


def check(name, answers, expected, tolerance, share):
    given, activations = (np.asarray(part)[: len(expected[0])] for part in answers)
    same, error = (given == expected[0]).mean(), abs(activations - expected[1]).max()
    holds = bool(same >= share and error <= tolerance)
    failed.extend([] if holds else [name])
    line = {"name": f"agreement with float64, {name}", "images": len(given), "holds": holds}
    line |= {"same_digits": float(same), "largest_error": float(error), "tolerance": tolerance}
    print(json.dumps(line | {"device": DEVICE.device_kind}), flush=True)


def from_device_memory(params):
    """Two batches in turn, of random bytes but for the digits to check."""
    checked = synthetic(0, N_CHECKED)[0]
    expected = float64(params, checked)
    draw = jax.jit(partial(jax.random.bits, shape=(N, 784), dtype="uint8"))
    batches = [draw(jax.random.key(seed)) for seed in range(2)]
    batches[0] = batches[0].at[: len(checked)].set(checked)
    bandwidth = copy_bandwidth(size=2**20 if SMALL else 2**30, seconds=SECONDS)
    for name, (program, arguments, tolerance, share) in programs(params).items():
        run = jax.jit(program).lower(*arguments, batches[0]).compile()
        run_on = partial(run, *jax.device_put(arguments, DEVICE))
        check(name, run_on(batches[0]), expected, tolerance, share)

        def several(run_on=run_on):
            for n in range(IN_FLIGHT):
                answers = run_on(batches[n % 2])
            jax.block_until_ready(answers)

        seconds = statistics.median(time_calls(several, SECONDS)) / IN_FLIGHT
        accessed = (run.cost_analysis() or {}).get("bytes accessed", 0) / N  # 0 for a kernel
        show(
            f"from device memory, {name}", N / seconds / 1e6, bandwidth / (784 + 44) / 1e6,
            "million images/s", peer_name=f"a copy's {bandwidth / 1e9:,.0f} GB/s",
            bytes_per_image=round(max(accessed, 784 + 44)),
        )  # fmt: skip


def from_host_memory(params):
    """`classify` of a NumPy array, and the rates at which its bytes can reach the device."""
    images = np.random.default_rng(0).integers(0, 256, (N, 784), np.uint8)
    pinned = jax.device_put(images, SingleDeviceSharding(DEVICE, memory_kind="pinned_host"))
    threads = bandwidth_to_device(DEVICE, size=images.nbytes, seconds=SECONDS)[0] / 784e6

    def rate(call):
        return N / statistics.median(time_calls(call, SECONDS)) / 1e6

    def put(array):
        return jax.device_put(array, DEVICE, may_alias=False).block_until_ready()

    show_rate = partial(show, unit="million images/s")
    one = rate(partial(put, images))
    show_rate(f"host to device, {cores()} threads", threads, one, peer_name="one thread's")
    show_rate("host to device, pinned memory", rate(partial(put, pinned)), one,
              peer_name="one thread's from pageable memory")  # fmt: skip
    for name, brightest in (("ten activations", False), ("the largest activation", True)):
        classify = partial(jaxnet.classify, params, brightest=brightest)
        show_rate(f"classify from host memory, {name}", rate(lambda c=classify: c(images)), threads,
                  peer_name=f"the transfer's by {cores()} threads")  # fmt: skip


# Training


def training():
    """Adam with batches of 100, all networks under one `vmap`; compilation is not counted."""
    (images, labels), unseen, source = digits()
    data = jnp.asarray(images), jnp.asarray(labels)
    optimizer = optax.adam(RATE)
    epoch = partial(train_epoch, optimizer=optimizer, batch_size=BATCH_SIZE)
    epoch = jax.jit(jax.vmap(epoch, in_axes=(None, 0, None, None)), donate_argnums=1)
    each = {}
    for n in NETWORKS:
        params = networks(n, seed=0)
        state, spent = TrainState(params, jax.vmap(optimizer.init)(params)), []
        for seed in range(4):
            began = time.perf_counter()
            state, _ = jax.block_until_ready(epoch(jax.random.key(seed), state, *data))
            spent.append(time.perf_counter() - began)
        each[n] = statistics.median(spent[1:]) / n  # the first compiles
        show(
            f"an epoch of {source}, per network, {n:,} networks", 1e3 * each[n], 1e3 * each[1],
            "ms", peer_name="one network's", seconds_to_compile=round(spent[0] - spent[1], 2),
        )  # fmt: skip
    until_good(data, jax.tree.map(jnp.asarray, unseen), source, EPOCHS * each[1])


def until_good(data, unseen, source, seconds_alone):
    """How many networks a second reach the goal; trained and evaluated in one call."""
    steps = EPOCHS * (len(data[0]) // BATCH_SIZE)
    optimizer = optax.adam(optax.cosine_decay_schedule(RATE, steps))

    def learn(params):
        key, sizes = jax.random.key(1), {"epochs": EPOCHS, "batch_size": BATCH_SIZE}
        state, _ = fit(key, *data, optimizer, params=params, **sizes)
        return evaluate(state.params, *unseen).accuracy

    run = jax.jit(jax.vmap(learn)).lower(networks(NETWORKS[-1], seed=2)).compile()
    params = jax.block_until_ready(networks(NETWORKS[-1], seed=3))
    began = time.perf_counter()
    accuracy = np.asarray(run(params))
    spent, good = time.perf_counter() - began, int((accuracy >= GOAL).sum())
    show(
        f"networks with {GOAL:.0%}, {source}", good / spent, 1 / seconds_alone,
        "networks/s", peer_name="one after the other", trained=len(accuracy), good=good,
        epochs=EPOCHS, seconds=round(spent, 3), mean_accuracy=float(accuracy.mean()),
    )  # fmt: skip


def networks(n, seed):
    return jax.vmap(jaxnet.init)(jax.random.split(jax.random.key(seed), n))


def main() -> None:
    params = jaxnet.pretrained()
    from_device_memory(params)
    from_host_memory(params)
    training()
    print(f"\n{DEVICE.device_kind}, JAX {jax.__version__}")
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
    if failed:
        sys.exit(f"Expected float64's answers; got others from {', '.join(failed)}.")
