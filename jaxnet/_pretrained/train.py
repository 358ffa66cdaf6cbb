"""Trains the network that comes with jaxnet: `python -m jaxnet._pretrained.train`.

Eight random starts learn side by side from 55,000 of MNIST's training images, turned and bent
anew each epoch; over the last fifth of the epochs ever less, to end with the images as they
are. They learn in the terms of tanh, whose activations are centered on zero, and are then
written in the terms of sigmoid, which is the same curve moved and stretched. Adam measures the
first weights along the principal directions of the images, rather than pixel by pixel. The
start that reads the other 5,000 images best is kept, and its outputs are calibrated; none of
these conversions changes an answer. MNIST's test images are used once, at the very end.

Sources: LeCun, Bottou, Orr and Müller, "Efficient BackProp", 1998, 4.4, for tanh; Vyas et al.,
"SOAP: improving and stabilizing Shampoo using Adam", 2024, for the directions.
"""

import argparse
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from jaxnet.data.augment import both
from jaxnet.data.mnist import load_mnist
from jaxnet.formats import save
from jaxnet.network import Layer, Params, activations, init
from jaxnet.training import TrainState, evaluate, train_epoch

SEED, STARTS, EPOCHS, BATCH_SIZE, RATE, HELD_OUT = 0, 8, 2000, 1024, 0.006, 5_000
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
            squash=jnp.tanh,
            augment=partial(both, amount=amount),
        )
        return jax.vmap(one, in_axes=(None, 0, None, None))(key, state, images, labels)

    began = time.monotonic()
    for n, key in enumerate(jax.random.split(key_epochs, epochs)):
        amount = jnp.float32(min(1, (1 - n / epochs) / (1 - UNCHANGED)))
        state, score = epoch(key, state, amount, images, labels)
        if (n + 1) % 10 == 0 or n + 1 == epochs:
            took = time.monotonic() - began
            print(
                f"epoch {n + 1} of {epochs}: cost {score.cost.mean():.4f}, {took:.0f} s", flush=True
            )
    return jax.vmap(in_terms_of_sigmoid)(state.params)


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


def in_terms_of_sigmoid(params: Params) -> Params:
    """Converts a network with tanh hidden layers to an equal one with sigmoid.

    As tanh(z) = 2 sigmoid(2z) - 1, each hidden layer's weighted sums are doubled, and the
    layer after it takes twice its activations less one.
    """
    first, *rest = params
    layers = [first, *(Layer(2 * w, b - w.sum(1)) for w, b in rest)]
    return (*(Layer(2 * w, 2 * b) for w, b in layers[:-1]), layers[-1])


def calibrate(params: Params, images: Array, labels: Array) -> Params:
    """Calibrates the outputs toward 1 for the digit and 0 for the others.

    Multiplying the ten logits by one positive number, and adding to all ten the same
    function of the last hidden layer, changes neither their order nor the answer. Those
    1 + 16 + 1 numbers are set to minimize the cross-entropy of the ten sigmoids.
    """
    *hidden, (w, b) = params
    a = jax.lax.map(lambda x: activations(params, x / 255)[-2], images, batch_size=1024)
    z, right = a @ w.T + b, jax.nn.one_hot(labels, len(b))

    def cost(free: tuple[Array, Array, Array]) -> Array:
        log_scale, w_all, b_all = free
        outputs = jnp.exp(log_scale) * z + (a @ w_all + b_all)[:, None]
        return optax.sigmoid_binary_cross_entropy(outputs, right).sum(1).mean()

    optimizer = optax.adam(0.05)

    def step(_: int, carry: Any) -> Any:
        free, opt_state = carry
        updates, opt_state = optimizer.update(jax.grad(cost)(free), opt_state)
        return optax.apply_updates(free, updates), opt_state

    free = (jnp.zeros(()), jnp.zeros(w.shape[1]), jnp.zeros(()))
    (log_scale, w_all, b_all), _ = jax.lax.fori_loop(0, 1000, step, (free, optimizer.init(free)))
    scale = jnp.exp(log_scale)
    return (*hidden, Layer(scale * w + w_all, scale * b + b_all))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", help="folder with MNIST's files")
    parser.add_argument("--starts", type=int, default=STARTS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).with_name("network.safetensors")
    )
    args = parser.parse_args()

    images, labels = map(jnp.asarray, load_mnist("train", args.mnist))
    ensemble = train(images[:-HELD_OUT], labels[:-HELD_OUT], starts=args.starts, epochs=args.epochs)
    accuracy = jax.jit(jax.vmap(evaluate, in_axes=(0, None, None)))
    held_out = accuracy(ensemble, images[-HELD_OUT:], labels[-HELD_OUT:])
    best = jnp.argmax(held_out)
    print("held-out accuracy of each start, %:", *(f"{100 * a:.2f}" for a in sorted(held_out)))
    params = jax.tree.map(lambda leaf: leaf[best], ensemble)
    params = jax.jit(calibrate)(params, images, labels)

    test = evaluate(params, *map(jnp.asarray, load_mnist("test", args.mnist)))
    notes = {
        "trained on": f"MNIST's training images but the last {HELD_OUT:,}, warped anew each epoch",
        "trained by": f"Adam, {RATE} falling to 0 by a cosine, {args.epochs} epochs, batches of "
        f"{BATCH_SIZE}, along the principal directions, softmax cross-entropy, tanh written as "
        f"sigmoid, seed {SEED}",
        "calibrated on": "all 60,000 training images, which changes no answer",
        "chosen by": f"the best of {args.starts} random starts on the {HELD_OUT:,} images left out",
        "held-out accuracy": f"{100 * held_out[best]:.2f} %",
        "test accuracy": f"{100 * test:.2f} %",
        "jaxnet": version("jaxnet-digits"),
    }
    save(args.output, params, notes=notes)
    print(args.output, *(f"{name}: {text}" for name, text in notes.items()), sep="\n")


if __name__ == "__main__":
    main()
