"""Trains `edges.safetensors`, whose second layer is edges: `make edges`.

Each of the sixteen neurons of the second layer is exactly `jaxnet.design.edge(...)` times a gain,
less a threshold; what is learned of it are seven numbers rather than 785, its place, angle, size,
gain and threshold. The other two layers are free. 112 + 272 + 170 = 554 numbers are learned.

Many random starts are trained side by side on 55,000 of MNIST's training images, unchanged. Those
with the lowest cost are trained for longer, and of these the one with the lowest cost is kept. With
so few parameters and so many images there is no overfitting, and ranking by training cost on 55,000
images is less noisy than on the other 5,000. They are trained with tanh and rewritten with sigmoid,
as in `free.py`. MNIST's test images are used once, at the very end.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from finish import N_VALIDATION, WEIGHTS, in_terms_of_sigmoid, keep, run
from jaxtyping import Array

from jaxnet.data.mnist import load_mnist
from jaxnet.design import Edges, edge_layer
from jaxnet.network import Params, init
from jaxnet.training import MeanCost, TrainState, evaluate, train_epoch

SEED, BATCH_SIZE, RATE = 0, 500, 0.06
SCOUTS, SCOUT_EPOCHS = 96, 100
FINALISTS, EPOCHS = 12, 1600


class Free(NamedTuple):
    """What is learned: unbounded numbers for the edges, and the other layers.

    Attributes:
        edges: as in `jaxnet.design.Edges`, but before `within`.
        rest: the layers after the first.
    """

    edges: Edges
    rest: Params


def start(key: Array) -> Free:
    """Edges of a stroke's width at random places and angles."""
    *keys, key_rest = jax.random.split(key, 8)
    low = Edges(-1.0, -1.2, 0.0, -1.7, -2.0, 3.0, -0.1)  # pyright: ignore[reportArgumentType]
    high = Edges(1.0, 1.2, jnp.pi, -0.7, -1.0, 3.0, 0.1)  # pyright: ignore[reportArgumentType]
    numbers = [
        jax.random.uniform(key, (16,), minval=a, maxval=b)
        for key, a, b in zip(keys, low, high, strict=True)
    ]
    _, *rest = init(key_rest)
    return Free(Edges(*numbers), tuple(rest))


def network(free: Free) -> Params:
    """The network of edges within the image, of lengths and widths that `edge` allows."""
    x, y, angle, length, width, gain, threshold = free.edges
    edges = Edges(
        within(0, 27, x), within(0, 27, y), angle, within(1, 36, length), within(2, 14, width),
        gain, threshold,
    )  # fmt: skip
    return edge_layer(edges), *free.rest


def within(low: float, high: float, free: Array) -> Array:
    """An unbounded number as one from `low` to `high`."""
    return low + (high - low) * jax.nn.sigmoid(free)


def train(key: Array, starts: Any, epochs: int, images: Array, labels: Array) -> Any:
    """Trains an ensemble on the same batches."""
    n_steps = epochs * (len(images) // BATCH_SIZE)
    optimizer = optax.adam(optax.cosine_decay_schedule(RATE, n_steps))

    @partial(jax.jit, donate_argnums=1)
    def epoch(key: Array, state: TrainState, images: Array, labels: Array) -> Any:
        one = partial(
            train_epoch,
            optimizer=optimizer,
            batch_size=BATCH_SIZE,
            loss=MeanCost(squash="tanh", network=network),
        )
        return jax.vmap(one, in_axes=(None, 0, None, None))(key, state, images, labels)

    state = TrainState(starts, jax.vmap(optimizer.init)(starts))
    return run(lambda key, state, _: epoch(key, state, images, labels), key, state, epochs).params


def lowest_cost_first(ensemble: Params, images: Array, labels: Array) -> Array:
    """The members in the order of their cost."""
    costs = jax.jit(jax.vmap(lambda params: evaluate(params, images, labels).cost))(ensemble)
    print("cost of each start:", *(f"{cost:.4f}" for cost in jnp.sort(costs)))
    return jnp.argsort(costs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", help="folder with MNIST's files")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the finalists")
    parser.add_argument("--output", type=Path, default=WEIGHTS / "edges.safetensors")
    args = parser.parse_args()

    images, labels = map(jnp.asarray, load_mnist("train", args.mnist))
    learned = images[:-N_VALIDATION], labels[:-N_VALIDATION]
    finish = jax.jit(jax.vmap(lambda free: in_terms_of_sigmoid(network(free))))

    key_starts, key_scouts, key_finals = jax.random.split(jax.random.key(SEED), 3)
    scouts = jax.vmap(start)(jax.random.split(key_starts, SCOUTS))
    scouts = train(key_scouts, scouts, min(SCOUT_EPOCHS, args.epochs), *learned)
    order = lowest_cost_first(finish(scouts), *learned)
    finalists = jax.tree.map(lambda a: a[order[:FINALISTS]], scouts)
    finalists = train(key_finals, finalists, args.epochs, *learned)
    ensemble = finish(finalists)
    order = lowest_cost_first(ensemble, *learned)
    best = jax.tree.map(lambda a: a[order[0]], ensemble)
    accuracy = evaluate(best, images[-N_VALIDATION:], labels[-N_VALIDATION:]).accuracy
    notes = {
        "second layer": "sixteen edges: jaxnet.design.edge times a gain, less a threshold; 554 "
        "learned numbers",
        "trained on": f"MNIST's training images but the last {N_VALIDATION:,}",
        "trained by": f"Adam, {RATE} falling to 0 by a cosine, {args.epochs} epochs, batches of "
        f"{BATCH_SIZE}, softmax cross-entropy, tanh written as sigmoid, seed {SEED}",
        "chosen by": f"of {SCOUTS} random starts the {FINALISTS} of the lowest cost after "
        f"{SCOUT_EPOCHS} epochs, and of these the one of the lowest cost, on the images trained on",
        "validation accuracy": f"{100 * accuracy:.2f} %",
    }
    keep(args.output, best, (images, labels), load_mnist("test", args.mnist), notes)


if __name__ == "__main__":
    main()
