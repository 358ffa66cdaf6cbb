"""Mixup, written as a loss: train on blends of two images, with blends of their labels.

A network trained plainly on few images is overconfident where it is wrong. One trained on blends
is much less so, since no blend has a certain answer. Compares the confidence of both.

Source: Zhang and others, "mixup: beyond empirical risk minimization", 2017.
"""

from typing import Any

import jax
import optax
from jax import Array

import jaxnet
from jaxnet.training import fit, loss

key_images, key_unseen, key_fit = jax.random.split(jax.random.key(0), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 500)
unseen, unseen_labels = jaxnet.data.synthetic.sample(key_unseen, 5_000)


# %% The loss: each image is blended with another one of the batch.
def mixup(params: jaxnet.Params, x: Array, y: Array, key: Array | None) -> Any:
    """The cross-entropy of blended images with their blended labels."""
    if key is None:
        return loss(params, x, y)
    key_share, key_order = jax.random.split(key)
    share = jax.random.beta(key_share, 0.4, 0.4, (len(x), 1))
    order = jax.random.permutation(key_order, len(x))
    right = jax.nn.one_hot(y, 10)
    blended = share * x + (1 - share) * x[order]
    return loss(params, blended, share * right + (1 - share) * right[order])


# %% The confidence of both, in right answers and in wrong ones.
for name, minimized in (("plain", loss), ("mixup", mixup)):
    state, _ = fit(
        key_fit, images, labels, optax.adam(0.01), epochs=150, batch_size=50, loss=minimized
    )
    z = jax.vmap(jaxnet.logits, in_axes=(None, 0))(state.params, unseen)
    sure, right = jax.nn.softmax(z).max(1), z.argmax(1) == unseen_labels
    print(
        f"{name}: accuracy {right.mean():.1%}, confidence {sure[right].mean():.0%} where right, "
        f"{sure[~right].mean():.0%} where wrong"
    )
