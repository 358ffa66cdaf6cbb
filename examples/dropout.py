"""Dropout on the pixels, written as a loss: does it help where a scan has lost some?

A loss is a function of the params, a batch and a key. The key is None in evaluation, where nothing
is random. Compares a network trained plainly with one trained on a random half of the pixels.

Source: Srivastava and others, "Dropout: a simple way to prevent neural networks from overfitting",
2014.
"""

from typing import Any

import jax
import optax
from jax import Array

import jaxnet
from jaxnet.training import evaluate, fit, loss

key_images, key_unseen, key_fit, key_holes = jax.random.split(jax.random.key(0), 4)
images, labels = jaxnet.data.synthetic.sample(key_images, 5_000)
unseen, unseen_labels = jaxnet.data.synthetic.sample(key_unseen, 5_000)


# %% The loss: drop pixels, and brighten the others so that the sums stay as large.
def with_dropout(params: jaxnet.Params, x: Array, y: Array, key: Array | None) -> Any:
    """The mean cross-entropy of images with half of their pixels dropped."""
    if key is not None:
        x = x * jax.random.bernoulli(key, 0.5, x.shape) / 0.5
    return loss(params, x, y)


# %% Accuracy on new digits, whole and with holes.
holes = unseen * jax.random.bernoulli(key_holes, 0.25, unseen.shape)
for name, minimized in (("plain", loss), ("dropout", with_dropout)):
    state, _ = fit(
        key_fit, images, labels, optax.adam(0.01), epochs=10, batch_size=100, loss=minimized
    )
    whole, torn = (evaluate(state.params, x, unseen_labels).accuracy for x in (unseen, holes))
    print(f"{name}: accuracy {whole:.1%}, with 75% of the pixels lost {torn:.1%}")
