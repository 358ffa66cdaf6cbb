"""Sigmoid and ReLU in deeper and deeper networks: which of them still learn?

"ReLU seems to be much easier to train", as the end of the video puts it. Draws a picture.
"""

import sys
from functools import partial

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

import jaxnet
from jaxnet.training import MeanCost, fit

DEPTHS, SEEDS = (1, 2, 4, 8), 4
output = sys.argv[1] if len(sys.argv) > 1 else "depth.png"

key_images, key_unseen, key_starts, key_fit = jax.random.split(jax.random.key(0), 4)
images, labels = jaxnet.data.synthetic.sample(key_images, 3_000)
unseen = jaxnet.data.synthetic.sample(key_unseen, 2_000)


def accuracies(depth: int, squash: jaxnet.network.Squash) -> np.ndarray:
    """Returns the validation accuracy of networks of this depth, one per initialization."""
    starts = partial(jaxnet.init, sizes=(784, *[16] * depth, 10))
    learn = partial(fit, optimizer=optax.adam(0.003), epochs=10, batch_size=50)

    def run(params: jaxnet.Params) -> jax.Array:
        loss = MeanCost(squash=squash)
        _, history = learn(key_fit, images, labels, params=params, validation=unseen, loss=loss)
        assert history.validation is not None
        return history.validation.accuracy[-1]

    ensemble = jax.vmap(starts)(jax.random.split(key_starts, SEEDS))
    return np.asarray(jax.jit(jax.vmap(run))(ensemble))


figure = Figure(figsize=(7, 4), layout="constrained")
ax = figure.subplots()
for name, squash, color in (
    ("ReLU", "relu", "#c1440e"),
    ("sigmoid", "sigmoid", "#1b6ca8"),
):
    shares = np.array([accuracies(depth, squash) for depth in DEPTHS])
    print(name, *(f"{depth}: {share:.1%}" for depth, share in zip(DEPTHS, shares.mean(1))))  # noqa: B905
    ax.plot(DEPTHS, 100 * shares, "o", color=color, alpha=0.4)
    ax.plot(DEPTHS, 100 * np.median(shares, 1), color=color, linewidth=2, label=name)
ax.set(xlabel="hidden layers of 16 neurons", ylabel="validation accuracy (%)", ylim=(0, 102))
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
figure.savefig(output, dpi=150)
