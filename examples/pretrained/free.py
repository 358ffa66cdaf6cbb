"""Trains `network.safetensors`, free of any constraint: `make pretrained`.

Eight random starts are trained side by side on 55,000 of MNIST's training images, warped
differently every epoch; the warps fade out over the last fifth of training. The hidden layers
use tanh, whose activations are centered on zero. Afterwards they are rewritten with sigmoid, which
is tanh scaled and shifted, so the weights can be converted exactly. Adam sees the first layer's
weights along the principal directions of the images instead of pixel by pixel. The start that
classifies the other 5,000 images best is kept, and its outputs are calibrated; none of these
conversions changes an answer. MNIST's test images are used once, at the very end.

Sources: LeCun, Bottou, Orr and Müller, "Efficient BackProp", 1998, 4.4, for tanh; Vyas et al.,
"SOAP: improving and stabilizing Shampoo using Adam", 2024, for the directions.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from finish import N_VALIDATION, WEIGHTS, best_first, in_terms_of_sigmoid, keep, run
from jaxtyping import Array

from jaxnet.data.augment import both
from jaxnet.data.mnist import load_mnist
from jaxnet.network import Layer, Params, init
from jaxnet.training import MeanCost, TrainState, train_epoch

SEED, STARTS, EPOCHS, BATCH_SIZE, RATE = 0, 8, 2000, 1024, 0.006
UNCHANGED = 0.8  # share of the epochs after which the warps begin to fade


def train(images: Array, labels: Array, *, starts: int, epochs: int) -> Params:
    """Trains an ensemble on the same batches."""
    n_steps = epochs * (len(images) // BATCH_SIZE)
    adam = optax.adam(optax.cosine_decay_schedule(RATE, n_steps))
    optimizer = along(principal_directions(images), adam)
    key_starts, key_epochs = jax.random.split(jax.random.key(SEED))
    params = jax.vmap(init)(jax.random.split(key_starts, starts))
    state = TrainState(params, jax.vmap(optimizer.init)(params))

    @partial(jax.jit, donate_argnums=1)
    def epoch(key: Array, state: TrainState, amount: Array, images: Array, labels: Array) -> Any:
        one = partial(
            train_epoch,
            optimizer=optimizer,
            batch_size=BATCH_SIZE,
            loss=MeanCost(squash="tanh", augment=partial(both, amount=amount)),
        )
        return jax.vmap(one, in_axes=(None, 0, None, None))(key, state, images, labels)

    def warped(key: Array, state: TrainState, done: Array) -> Any:
        amount = jnp.minimum(1, (1 - done) / (1 - UNCHANGED))
        return epoch(key, state, amount, images, labels)

    return jax.vmap(in_terms_of_sigmoid)(run(warped, key_epochs, state, epochs).params)


def principal_directions(images: Array) -> Array:
    """An orthonormal basis in columns: the images' eigenvectors, smallest eigenvalue first."""
    x = images[:20_000].astype(jnp.float32) / 255
    return jnp.linalg.eigh(x.T @ x / len(x))[1]


def along(
    directions: Array, optimizer: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Wraps an optimizer to work on the first layer's weights in an orthonormal basis."""

    def turned(params: Any, basis: Array) -> Params:
        (w, b), *rest = params
        return (Layer(w @ basis, b), *rest)

    def start(params: Any) -> optax.OptState:
        return optimizer.init(turned(params, directions))

    def update(
        updates: Any, state: optax.OptState, params: Any = None
    ) -> tuple[Params, optax.OptState]:
        updates, state = optimizer.update(turned(updates, directions), state)
        return turned(updates, directions.T), state

    return optax.GradientTransformation(start, update)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", help="folder with MNIST's files")
    parser.add_argument("--starts", type=int, default=STARTS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--output", type=Path, default=WEIGHTS / "network.safetensors")
    args = parser.parse_args()

    images, labels = map(jnp.asarray, load_mnist("train", args.mnist))
    ensemble = train(
        images[:-N_VALIDATION], labels[:-N_VALIDATION], starts=args.starts, epochs=args.epochs
    )
    order, accuracies = best_first(ensemble, images, labels)
    best = jax.tree.map(lambda leaf: leaf[order[0]], ensemble)
    notes = {
        "trained on": f"MNIST's training images but the last {N_VALIDATION:,}, warped anew each "
        "epoch",
        "trained by": f"Adam, {RATE} falling to 0 by a cosine, {args.epochs} epochs, batches of "
        f"{BATCH_SIZE}, along the principal directions, softmax cross-entropy, tanh written as "
        f"sigmoid, seed {SEED}",
        "chosen by": f"the best of {args.starts} random starts on the {N_VALIDATION:,} images left "
        "out",
        "validation accuracy": f"{100 * accuracies[0]:.2f} %",
    }
    keep(args.output, best, (images, labels), load_mnist("test", args.mnist), notes)


if __name__ == "__main__":
    main()
