"""A penalty on activations: can the hidden neurons be silent most of the time?

The loss adds the mean activation of both hidden layers, times a strength. For each strength, all
trained in one `vmap`: the accuracy, and how many of the 32 hidden neurons are lit by an image.

Source: Olshausen and Field, "Emergence of simple-cell receptive field properties by learning a
sparse code for natural images", 1996, for the idea.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

import jaxnet
from jaxnet.training import fit, loss

key_images, key_unseen, key_start, key_fit = jax.random.split(jax.random.key(0), 4)
images, labels = jaxnet.data.synthetic.sample(key_images, 5_000)
unseen = jaxnet.data.synthetic.sample(key_unseen, 5_000)
start = jaxnet.init(key_start)


# %% The loss, with a metric of its own: the number of neurons above one half.
def run(strength: Array) -> Any:
    """Trains a network, and returns its score on new images."""

    def sparse(params: jaxnet.Params, x: Array, y: Array, key: Array | None) -> Any:
        cost, metrics = loss(params, x, y, key)
        _, *hidden, _ = jax.vmap(jaxnet.activations, in_axes=(None, 0))(params, x)
        a = jnp.concatenate(hidden, axis=1)
        return cost + strength * a.mean(), {**metrics, "lit": (a > 0.5).sum(1).mean()}

    state, _ = fit(
        key_fit, images, labels, optax.adam(0.01), epochs=15, batch_size=100, params=start,
        loss=sparse,
    )  # fmt: skip
    return jaxnet.evaluate(state.params, *unseen, loss=sparse)


# %% Five strengths.
strengths = jnp.array([0.0, 0.3, 1.0, 3.0, 10.0])
score = jax.jit(jax.vmap(run))(strengths)
for strength, accuracy, lit in zip(strengths, score.accuracy, score.metrics["lit"], strict=True):
    print(f"strength {strength:4.1f}: accuracy {accuracy:.1%}, {lit:.1f} of 32 neurons lit")
