"""Adversarial batches, written as a loss: attack the network at each step, train on the result.

One step along the sign of the gradient changes each pixel by at most 0.1. Compares a network that
was trained plainly with one that was trained on attacked images only.

Source: Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples", 2014.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

import jaxnet
from jaxnet.training import evaluate, fit, loss

MOST = 0.1  # largest change of a pixel; black is 0, white is 1
key_images, key_unseen, key_fit = jax.random.split(jax.random.key(0), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 5_000)
unseen, unseen_labels = jaxnet.data.synthetic.sample(key_unseen, 2_000)


# %% The attack and the loss, which does not differentiate the attack.
def attack(params: jaxnet.Params, x: Array, y: Array) -> Array:
    """Returns the images, each pixel changed by `MOST` to raise the cost."""
    slope = jax.grad(lambda x: loss(params, x, y)[0])(x)
    return jnp.clip(x + MOST * jnp.sign(slope), 0, 1)


def under_attack(params: jaxnet.Params, x: Array, y: Array, key: Array | None) -> Any:
    """The cross-entropy of attacked images."""
    return loss(params, jax.lax.stop_gradient(attack(params, x, y)), y, key)


# %% Accuracy on new digits, as they are and attacked.
for name, minimized in (("plain", loss), ("adversarial", under_attack)):
    state, _ = fit(
        key_fit, images, labels, optax.adam(0.01), epochs=20, batch_size=100, loss=minimized
    )
    attacked = attack(state.params, unseen, unseen_labels)
    clean, worst = (evaluate(state.params, x, unseen_labels).accuracy for x in (unseen, attacked))
    print(f"{name}: accuracy {clean:.0%}, under attack {worst:.0%}")
