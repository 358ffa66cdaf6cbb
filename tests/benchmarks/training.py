"""One network learning: an epoch of MNIST's 60,000 images, Adam, in batches of 10, 100 and 1,000.

Peers are written as their own users write a fast loop: PyTorch over shuffled indices of a
tensor of floats, Flax NNX and Equinox with a compiled step and batches sliced from NumPy. None
of them keeps an account of accuracy; ours does. Compilation is outside of the clock, and is
reported apart, for different numbers of epochs, images and members.
"""

import os
import statistics
import time
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from flax import nnx

import jaxnet
from jaxnet.data import load_mnist
from jaxnet.training import TrainState, fit, train_epoch
from tests.benchmarks.report import report

RATE = 0.01


def ours(images, labels, batch_size):
    optimizer = optax.adam(RATE)
    params = jaxnet.init(jax.random.key(0))
    state = TrainState(params, optimizer.init(params))
    run = partial(train_epoch, optimizer=optimizer, batch_size=batch_size)
    run = (
        jax.jit(run).lower(jax.random.key(0), state, *map(jnp.asarray, (images, labels))).compile()
    )
    data = jnp.asarray(images), jnp.asarray(labels)

    def epoch():
        nonlocal state
        state, _ = jax.block_until_ready(run(jax.random.key(1), state, *data))

    return epoch


def pytorch(images, labels, batch_size, *, n_threads=None):
    """With as many threads as it chooses itself, or as told: small steps may be faster with one."""
    n_threads = n_threads or os.cpu_count()
    images = torch.tensor(images).float() / 255
    labels = torch.tensor(labels.astype(np.int64))
    model = torch.nn.Sequential(
        *(torch.nn.Linear(784, 16), torch.nn.Sigmoid(), torch.nn.Linear(16, 16)),
        *(torch.nn.Sigmoid(), torch.nn.Linear(16, 10)),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    cost = torch.nn.CrossEntropyLoss()

    def epoch():
        torch.set_num_threads(n_threads)
        for i in torch.randperm(len(images)).split(batch_size):
            optimizer.zero_grad()
            cost(model(images[i]), labels[i]).backward()
            optimizer.step()

    return epoch


def batches(images, labels, batch_size):
    order = np.random.default_rng(0).permutation(len(images))
    for i in order.reshape(-1, batch_size):
        yield images[i], labels[i]


def flax(images, labels, batch_size):
    images, labels = images.astype(np.float32) / 255, labels.astype(np.int32)

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.one = nnx.Linear(784, 16, rngs=rngs)
            self.two = nnx.Linear(16, 16, rngs=rngs)
            self.three = nnx.Linear(16, 10, rngs=rngs)

        def __call__(self, x):
            return self.three(nnx.sigmoid(self.two(nnx.sigmoid(self.one(x)))))

    model = Net(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(RATE), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer, x, y):
        def cost(model):
            return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()

        optimizer.update(model, nnx.grad(cost)(model))

    def epoch():
        for x, y in batches(images, labels, batch_size):
            step(model, optimizer, x, y)
        jax.block_until_ready(nnx.state(model))

    return epoch


def equinox(images, labels, batch_size):
    images, labels = images.astype(np.float32) / 255, labels.astype(np.int32)
    model = eqx.nn.MLP(784, 10, 16, 2, jax.nn.sigmoid, key=jax.random.key(0))
    optimizer = optax.adam(RATE)
    state = optimizer.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit
    def step(model, state, x, y):
        def cost(model):
            z = jax.vmap(model)(x)
            return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()

        updates, state = optimizer.update(eqx.filter_grad(cost)(model), state)
        return eqx.apply_updates(model, updates), state

    def epoch():
        nonlocal model, state
        for x, y in batches(images, labels, batch_size):
            model, state = step(model, state, x, y)
        jax.block_until_ready(eqx.filter(model, eqx.is_array))

    return epoch


def seconds(epoch):
    began = time.perf_counter()
    epoch()
    return time.perf_counter() - began


def compile_seconds(images, labels, *, epochs=1, members=1, n=60_000):
    starts = jax.vmap(jaxnet.init)(jax.random.split(jax.random.key(0), members))

    def run(params, images, labels):
        return fit(
            jax.random.key(0), images, labels, optax.adam(RATE), params=params,
            epochs=epochs, batch_size=100,
        )  # fmt: skip

    lowered = jax.jit(jax.vmap(run, in_axes=(0, None, None))).lower(starts, images[:n], labels[:n])
    return seconds(lowered.compile)


def main() -> None:
    images, labels = load_mnist("train")
    peers = {
        "pytorch": pytorch,
        "pytorch, one thread": partial(pytorch, n_threads=1),
        "flax nnx": flax,
        "equinox": equinox,
    }
    for batch_size, runs in ((10, 3), (100, 7), (1000, 9)):
        loops = {name: make(images, labels, batch_size) for name, make in peers.items()}
        loops["ours"] = ours(images, labels, batch_size)
        for epoch in loops.values():
            epoch()  # compiles, and fills the caches
        times = {name: [] for name in loops}
        for _ in range(runs):
            for name, epoch in loops.items():  # in turn, so that all meet the same moods
                times[name].append(seconds(epoch))
        for name in peers:
            a, b = (statistics.median(times[which]) for which in ("ours", name))
            report(
                f"epoch, batch {batch_size}", a, b, "s", peer_name=name,
                times_faster=round(b / a, 2), runs=runs,
            )  # fmt: skip
    for change in ({}, {"epochs": 1000}, {"n": 6_000}, {"members": 64}):
        base, other = (
            statistics.median(compile_seconds(images, labels, **c) for _ in range(3))
            for c in ({}, change)
        )
        report(f"compile fit, {change or 'again'}", other, base, "s", peer_name="1 epoch, 1 member")
