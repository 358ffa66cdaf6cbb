"""Trains `components.safetensors`, the video's hope: `make components`.

Its second layer is sixteen edges, as in `edges.py`. Each of the sixteen neurons of its third layer
is one of `jaxnet.data.synthetic.COMPONENTS`: a loop above, a bar on top and so on. The last layer
is free, and adds these up to digits.

Three costs are minimized together: the cross-entropy of MNIST's digits; that of the third layer
with what component a drawing shows, alone; and that of the third layer with what components a
drawn digit has. The last two costs count only above the threshold `ENOUGH`. After each round,
components still below `THE_CLAIM` get more weight and those above it less, so that a neuron that
already detects its component is free to serve the digits.

Many random starts are trained side by side, with tanh. Some then have a third layer that meets
`THE_CLAIM` on drawings that were not used in training. Of these, the one that classifies the 5,000
held-out training images best is kept. MNIST's test images are used once, at the very end.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from edges import Free, network, start
from finish import N_VALIDATION, WEIGHTS, best_first, in_terms_of_sigmoid, keep, run
from jaxtyping import Array
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from jaxnet.data.mnist import load_mnist
from jaxnet.data.synthetic import COMPONENTS, sample_components, sample_with_components
from jaxnet.network import Params, activations, logits
from jaxnet.training import Score, TrainState

SEED, RATE = 0, 0.05
MNIST_BATCH, ALONE_BATCH, DRAWN_BATCH = 500, 256, 128
SCOUTS, SCOUT_EPOCHS = 48, 60
FINALISTS, ROUNDS, EPOCHS = 10, 5, 300
ALONE_WEIGHT, DRAWN_WEIGHT, BRIGHTEST_WEIGHT, OWN, ENOUGH = 0.1, 0.05, 0.06, 5.0, 0.3


class Claim(NamedTuple):
    """How well the neurons of the third layer detect their components; an array has one for each.

    Attributes:
        brightest: of drawings of its component alone, the share in which it is the brightest.
        on: of these, the share in which its activation is above one half.
        off: of drawings of other components, the share in which it is below one half.
        within: of drawn digits, the area under the ROC curve for having its component.
    """

    brightest: Any
    on: Any
    off: Any
    within: Any


THE_CLAIM = Claim(brightest=0.85, on=0.90, off=0.90, within=0.95)
MARGIN = 0.01  # required above the claim on the drawings that choose the network
MORE, LESS, PLENTY = 2.0, 0.85, 0.04  # how weights change; the margin beyond which they fall


class Drawings(NamedTuple):
    """Components alone, and digits made of components.

    Attributes:
        alone: images, shape `(n, 784)`.
        components: which component each shows, shape `(n,)`.
        drawn: images of digits, shape `(m, 784)`.
        has: which components each has, shape `(m, 16)`.
    """

    alone: Array
    components: Array
    drawn: Array
    has: Array


def draw(key: Array, n_alone: int, n_drawn: int) -> Drawings:
    """Draws components and digits."""
    key_alone, key_drawn = jax.random.split(key)
    drawn, _, has = sample_with_components(key_drawn, n_drawn)
    return Drawings(*sample_components(key_alone, n_alone), drawn, has)


def mean_cost(
    free: Free, weights: Claim, images: Array, labels: Array, drawings: Drawings
) -> Array:
    """The three costs, weighted and added up; `weights` has one for each part and component."""
    *hidden, (w, b) = network(free)
    alone, components, drawn, has = drawings
    all_images = jnp.concatenate([images.astype(alone.dtype) / 255, alone, drawn])
    z = jax.vmap(partial(logits, tuple(hidden), squash="tanh"))(all_images)
    answers = jnp.tanh(z[: len(images)]) @ w.T + b
    # In the terms of sigmoid, a neuron's weighted sum is twice that under tanh.
    z_alone, z_drawn = jnp.split(2 * z[len(images) :], [len(alone)])
    one = jax.nn.one_hot(components, len(COMPONENTS))
    which = optax.softmax_cross_entropy_with_integer_labels(z_alone, components)
    alone_weights = OWN * weights.on * one + weights.off * (1 - one)
    return (
        optax.softmax_cross_entropy_with_integer_labels(answers, labels).mean()
        + ALONE_WEIGHT * (alone_weights * _beyond_enough(z_alone, one)).sum(1).mean()
        + BRIGHTEST_WEIGHT * (weights.brightest[components] * which).mean()
        + DRAWN_WEIGHT
        * (weights.within * _beyond_enough(z_drawn, has.astype(z.dtype))).sum(1).mean()
    )


def _beyond_enough(z: Array, truth: Array) -> Array:
    return jnp.maximum(optax.sigmoid_binary_cross_entropy(z, truth) - ENOUGH, 0)


def train(
    key: Array,
    starts: Any,
    weights: Claim,
    epochs: int,
    images: Array,
    labels: Array,
    drawings: Drawings,
) -> Any:
    """Trains an ensemble on the same batches, each member with its own weights."""
    n_steps = len(images) // MNIST_BATCH
    optimizer = optax.adam(optax.cosine_decay_schedule(RATE, epochs * n_steps))

    @partial(jax.jit, donate_argnums=1)
    def epoch(
        key: Array, state: TrainState, images: Array, labels: Array, drawings: Drawings
    ) -> Any:
        def step(state: TrainState, batch: Any) -> tuple[TrainState, Array]:
            i, j, k = batch
            alone, components, drawn, has = drawings
            some = Drawings(alone[j], components[j], drawn[k], has[k])
            each = jax.vmap(jax.value_and_grad(mean_cost), in_axes=(0, 0, None, None, None))
            cost, slope = each(state.params, weights, images[i], labels[i], some)
            updates, opt_state = optimizer.update(slope, state.opt_state)
            return TrainState(optax.apply_updates(state.params, updates), opt_state), cost.mean()

        key_i, key_j, key_k = jax.random.split(key, 3)
        order = jax.random.permutation(key_i, len(images))[: n_steps * MNIST_BATCH]
        batches = (
            order.reshape(n_steps, MNIST_BATCH),
            jax.random.randint(key_j, (n_steps, ALONE_BATCH), 0, len(drawings.alone)),
            jax.random.randint(key_k, (n_steps, DRAWN_BATCH), 0, len(drawings.drawn)),
        )
        state, costs = jax.lax.scan(step, state, batches)
        return state, Score(costs.mean(), {})

    state = TrainState(starts, optimizer.init(starts))
    return run(
        lambda key, state, _: epoch(key, state, images, labels, drawings), key, state, epochs
    ).params


def claim(params: Params, drawings: Drawings) -> Claim:
    """Measures a network's third layer on drawings."""

    def third_layer(images: Array) -> NDArray[Any]:
        one_at_a_time = jax.vmap(activations, in_axes=(None, 0))
        return np.asarray(jax.jit(lambda images: one_at_a_time(params, images)[2])(images))

    alone, drawn = third_layer(drawings.alone), third_layer(drawings.drawn)
    components, has = np.asarray(drawings.components), np.asarray(drawings.has)
    brightest, on, off, within = [], [], [], []
    for n in range(len(COMPONENTS)):
        own, a = components == n, drawn[:, n]
        brightest.append((alone[own].argmax(1) == n).mean())
        on.append((alone[own, n] > 0.5).mean())
        off.append((alone[~own, n] < 0.5).mean())
        pairs = has[:, n].sum() * (~has[:, n]).sum()
        within.append(mannwhitneyu(a[has[:, n]], a[~has[:, n]]).statistic / pairs)
    return Claim(*map(np.array, (brightest, on, off, within)))


def reweighted(weights: Claim, measured: Claim) -> Claim:
    """More weight where the claim is not met with a margin, less where it is met with plenty."""

    def one(weight: Array, value: NDArray[Any], claimed: float) -> Array:
        factor = np.where(value < claimed + MARGIN, MORE, 1)
        return weight * np.where(value > claimed + PLENTY, LESS, factor)

    return jax.tree.map(one, weights, measured, THE_CLAIM)


def meets(measured: Claim, margin: float = 0.0) -> bool:
    """Whether every neuron is as `THE_CLAIM` says."""
    return all((a >= b + margin).all() for a, b in zip(measured, THE_CLAIM, strict=True))


def in_words(measured: Claim) -> str:
    measured = Claim(*map(np.min, measured))
    return (
        f"its neuron brightest in {measured.brightest:.1%} of drawings of a component alone, on in "
        f"{measured.on:.1%}, off in {measured.off:.1%} of other components' drawings, area under "
        f"the ROC curve within drawn digits {measured.within:.3f}; each the least of the sixteen"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", help="folder with MNIST's files")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each round")
    parser.add_argument("--output", type=Path, default=WEIGHTS / "components.safetensors")
    args = parser.parse_args()

    images, labels = map(jnp.asarray, load_mnist("train", args.mnist))
    key_learned, key_chosen, key_reported, key_starts, key_scouts, key_rounds = jax.random.split(
        jax.random.key(SEED), 6
    )
    learned = images[:-N_VALIDATION], labels[:-N_VALIDATION], draw(key_learned, 65_536, 32_768)
    chosen_by, reported = (draw(key, 32_000, 8_000) for key in (key_chosen, key_reported))
    finish = jax.jit(jax.vmap(lambda free: in_terms_of_sigmoid(network(free))))

    def claims(ensemble: Params, drawings: Drawings) -> list[Claim]:
        n_members = len(ensemble[0].biases)
        return [
            claim(jax.tree.map(lambda a, n=n: a[n], ensemble), drawings) for n in range(n_members)
        ]

    alike = Claim(*[jnp.ones((SCOUTS, len(COMPONENTS)))] * 4)
    scouts = jax.vmap(start)(jax.random.split(key_starts, SCOUTS))
    scouts = train(key_scouts, scouts, alike, min(SCOUT_EPOCHS, args.epochs), *learned)
    order, _ = best_first(finish(scouts), images, labels)
    finalists = jax.tree.map(lambda a: a[order[:FINALISTS]], scouts)
    weights = jax.tree.map(lambda a: a[:FINALISTS], alike)
    for key in jax.random.split(key_rounds, ROUNDS):
        measured = claims(finish(finalists), learned[2])
        weights = reweighted(weights, jax.tree.map(lambda *a: np.stack(a), *measured))
        finalists = train(key, finalists, weights, args.epochs, *learned)
    ensemble = finish(finalists)
    order, accuracies = best_first(ensemble, images, labels)
    ensemble = jax.tree.map(lambda a: a[order], ensemble)
    told = claims(ensemble, chosen_by)
    print("what the third layer detects:", *map(in_words, told), sep="\n  ")
    best = next((n for n, measured in enumerate(told) if meets(measured, MARGIN)), 0)
    params = jax.tree.map(lambda a: a[best], ensemble)

    notes = {
        "second layer": "sixteen edges: jaxnet.design.edge times a gain, less a threshold",
        "third layer": ", ".join(COMPONENTS),
        "third layer on new drawings": in_words(claim(params, reported)),
        "trained on": f"MNIST's training images but the last {N_VALIDATION:,}, and synthetic "
        "components and digits",
        "trained by": f"Adam, {RATE} falling to 0 by a cosine, {ROUNDS} times {args.epochs} "
        f"epochs, batches of {MNIST_BATCH}, softmax cross-entropy, tanh written as sigmoid, "
        f"seed {SEED}",
        "chosen by": f"of {SCOUTS} random starts the best {FINALISTS} after {SCOUT_EPOCHS} epochs, "
        f"and of these the best whose third layer detects components as it should, on the "
        f"{N_VALIDATION:,} images left out",
        "validation accuracy": f"{100 * accuracies[best]:.2f} %",
    }
    keep(args.output, params, (images, labels), load_mnist("test", args.mnist), notes)


if __name__ == "__main__":
    main()
