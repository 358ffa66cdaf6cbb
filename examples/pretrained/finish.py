"""What the training scripts share: an ensemble's epochs, and how its best member is kept."""

import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array

from jaxnet.formats import save
from jaxnet.network import Layer, Params, activations
from jaxnet.training import Score, TrainState, evaluate

WEIGHTS = Path(__file__).parents[2] / "jaxnet" / "_pretrained"  # of the networks that come with it
N_VALIDATION = 5_000  # of MNIST's training images, the last: they choose the best start
Epoch = Callable[[Array, TrainState, Array], tuple[TrainState, Score]]


def run(epoch: Epoch, key: Array, state: TrainState, epochs: int) -> TrainState:
    """Calls `epoch(key, state, fraction of the epochs done)` for each epoch; prints the cost."""
    began = time.monotonic()
    for n, key_epoch in enumerate(jax.random.split(key, epochs)):
        state, score = epoch(key_epoch, state, jnp.float32(n / epochs))
        if (n + 1) % 10 == 0 or n + 1 == epochs:
            took = time.monotonic() - began
            cost = score.cost.mean()
            print(f"epoch {n + 1} of {epochs}: cost {cost:.4f}, {took:.0f} s", flush=True)
    return state


def in_terms_of_sigmoid(params: Params) -> Params:
    """Converts a network with tanh hidden layers to an equal one with sigmoid."""
    # As tanh(z) = 2 sigmoid(2z) - 1, each hidden layer's weighted sums are doubled, and the layer
    # after it takes twice its activations less one.
    first, *rest = params
    layers = [first, *(Layer(2 * w, b - w.sum(1)) for w, b in rest)]
    return (*(Layer(2 * w, 2 * b) for w, b in layers[:-1]), layers[-1])


def best_first(ensemble: Params, images: Array, labels: Array) -> tuple[Array, Array]:
    """The members in order of their validation accuracy, and these accuracies."""
    scores = jax.jit(jax.vmap(evaluate, in_axes=(0, None, None)))
    accuracies = scores(ensemble, images[-N_VALIDATION:], labels[-N_VALIDATION:]).accuracy
    order = jnp.argsort(-accuracies)
    print("validation accuracy of each start, %:", *(f"{100 * a:.2f}" for a in accuracies[order]))
    return order, accuracies[order]


def calibrate(params: Params, images: Array, labels: Array) -> Params:
    """Calibrates the outputs toward 1 for the digit and 0 for the others."""
    # Multiplying the ten logits by one positive number, and adding to all ten the same function of
    # the last hidden layer, changes neither their order nor the answer. Those 1 + 16 + 1 numbers
    # are set to minimize the cross-entropy of the ten sigmoids.
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


def keep(
    path: Path,
    params: Params,
    train: tuple[Array, Array],
    test: tuple[ArrayLike, ArrayLike],
    notes: Mapping[str, str],
) -> None:
    """Calibrates a network on the training images, and saves it with notes and accuracies."""
    params = jax.jit(calibrate)(params, *train)
    notes = {
        **notes,
        "calibrated on": "all 60,000 training images, which changes no answer",
        "test accuracy": f"{100 * evaluate(params, *map(jnp.asarray, test)).accuracy:.2f} %",
        "jaxnet": version("jaxnet-digits"),
    }
    save(path, params, notes=notes)
    print(path, *(f"{name}: {text}" for name, text in notes.items()), sep="\n")
