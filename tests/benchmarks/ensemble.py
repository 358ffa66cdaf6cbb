"""Many networks learning side by side: what an epoch of MNIST costs each, batch 100, Adam.

Peers: PyTorch training them one by one, `torch.func.vmap` with its functional Adam written
out, and `equinox.filter_vmap` over a compiled step; all members share each batch, as ours do.
The floor beside our figure is a wide matrix product of this machine, measured in the run.
Writes a picture of the cost by the number of members and by batch size, if told where.
"""

import os
import statistics
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

import jaxnet
from jaxnet.data import load_mnist
from jaxnet.training import TrainState, train_epoch
from tests.benchmarks import training
from tests.benchmarks.report import report

RATE, BATCH_SIZE = 0.01, 100
# Three products a layer, but for the first, whose input needs no gradient; a multiplication
# and an addition each.
FLOP = 2 * (2 * 784 * 16 + 3 * (16 * 16 + 16 * 10))


def ours(images, labels, members, batch_size=BATCH_SIZE, *, share=True):
    optimizer = optax.adam(RATE)
    params = jax.vmap(jaxnet.init)(jax.random.split(jax.random.key(0), members))
    state = TrainState(params, jax.vmap(optimizer.init)(params))
    one = partial(train_epoch, optimizer=optimizer, batch_size=batch_size)
    run = jax.jit(jax.vmap(one, in_axes=(None if share else 0, 0, None, None)), donate_argnums=1)
    key = jax.random.key(1) if share else jax.random.split(jax.random.key(1), members)
    data = jnp.asarray(images), jnp.asarray(labels)

    def epoch():
        nonlocal state
        state, _ = jax.block_until_ready(run(key, state, *data))

    return epoch


def torch_vmap(images, labels, members):
    """Adam by hand over stacked parameters, as torch.optim cannot be mapped."""
    images = torch.tensor(images).float() / 255
    labels = torch.tensor(labels.astype(np.int64))
    models = [
        torch.nn.Sequential(
            *(torch.nn.Linear(784, 16), torch.nn.Sigmoid(), torch.nn.Linear(16, 16)),
            *(torch.nn.Sigmoid(), torch.nn.Linear(16, 10)),
        )
        for _ in range(members)
    ]
    params, buffers = torch.func.stack_module_state(models)
    params = {name: p.detach() for name, p in params.items()}

    def cost(params, x, y):
        z = torch.func.functional_call(models[0], (params, buffers), (x,))
        return torch.nn.functional.cross_entropy(z, y)

    gradient = torch.func.vmap(torch.func.grad(cost), in_dims=(0, None, None))
    # Adam works element by element, so that stacked parameters are as good as any.
    leaves = {name: p.requires_grad_() for name, p in params.items()}
    optimizer = torch.optim.Adam(leaves.values(), lr=RATE)

    def epoch():
        torch.set_num_threads(os.cpu_count())
        for i in torch.randperm(len(images)).split(BATCH_SIZE):
            held = {name: p.detach() for name, p in leaves.items()}
            for name, g in gradient(held, images[i], labels[i]).items():
                leaves[name].grad = g
            optimizer.step()

    return epoch


def equinox_vmap(images, labels, members):
    images, labels = images.astype(np.float32) / 255, labels.astype(np.int32)
    optimizer = optax.adam(RATE)

    @eqx.filter_vmap
    def make(key):
        return eqx.nn.MLP(784, 10, 16, 2, jax.nn.sigmoid, key=key)

    model = make(jax.random.split(jax.random.key(0), members))
    state = optimizer.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit
    def step(model, state, x, y):
        def cost(model):
            z = jax.vmap(model)(x)
            return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()

        gradient = eqx.filter_vmap(eqx.filter_grad(cost))(model)
        updates, state = optimizer.update(gradient, state)
        return eqx.apply_updates(model, updates), state

    def epoch():
        nonlocal model, state
        for x, y in training.batches(images, labels, BATCH_SIZE):
            model, state = step(model, state, x, y)
        jax.block_until_ready(eqx.filter(model, eqx.is_array))

    return epoch


def wide_product_gflops():
    a, b = (jax.random.normal(jax.random.key(n), (2048, 2048)) for n in range(2))
    product = jax.jit(jnp.matmul)
    product(a, b).block_until_ready()
    times = [training.seconds(lambda: product(a, b).block_until_ready()) for _ in range(9)]
    return 2 * 2048**3 / statistics.median(times) / 1e9


def picture(path, by_members, by_batch):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = zip(figure.subplots(1, 2), (by_members, by_batch), strict=True)
    for (ax, points), what in zip(panels, ("members", "images a batch (64 members)"), strict=True):
        ax.plot(*zip(*points.items(), strict=True), "o-", color="#1b6ca8")
        ax.set(xscale="log", yscale="log", xlabel=what, ylabel="ms an epoch, each member")
        ax.grid(alpha=0.25, which="both")
    figure.savefig(path, dpi=120)


def main() -> None:
    images, labels = load_mnist("train")
    members, runs = 64, 3
    gflops = wide_product_gflops()
    loops = {
        "pytorch, one by one": training.pytorch(images, labels, BATCH_SIZE),
        "pytorch, one by one, one thread": training.pytorch(
            images, labels, BATCH_SIZE, n_threads=1
        ),
        "torch.func.vmap": torch_vmap(images, labels, members),
        "equinox.filter_vmap": equinox_vmap(images, labels, members),
        "ours": ours(images, labels, members),
    }
    for epoch in loops.values():
        epoch()
    times = {name: [] for name in loops}
    for _ in range(runs):
        for name, epoch in loops.items():
            times[name].append(training.seconds(epoch))
    each = {
        name: statistics.median(t) / (1 if "one by one" in name else members)
        for name, t in times.items()
    }
    achieved = len(images) * FLOP / each["ours"] / 1e9
    for name in loops.keys() - {"ours"}:
        report(
            f"epoch a member, {members} members, batch {BATCH_SIZE}", 1e3 * each["ours"],
            1e3 * each[name], "ms", peer_name=name,
            times_faster=round(each[name] / each["ours"], 2),
            gflops=round(achieved), wide_product_gflops=round(gflops), runs=runs,
        )  # fmt: skip

    def alone(n, batch_size=BATCH_SIZE, *, share=True):
        epoch = ours(images, labels, n, batch_size, share=share)
        epoch()
        return (
            1e3 * statistics.median(training.seconds(epoch) for _ in range(3 if n < 256 else 1)) / n
        )

    by_members = {n: alone(n) for n in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)}
    for n, ms in by_members.items():
        report(f"epoch a member, {n} members", ms, by_members[1], "ms", peer_name="1 member")
    by_batch = {b: alone(64, b) for b in (10, 30, 100, 300, 1000)}
    for b, ms in by_batch.items():
        report(f"epoch a member, batch {b}", ms, by_batch[100], "ms", peer_name="batch 100")
    own = alone(16, share=False)
    report("each its own order, 16 members", own, by_members[16], "ms", peer_name="shared order")
    if path := os.environ.get("JAXNET_PICTURE"):
        picture(path, by_members, by_batch)
