"""Distillation: a small network learns from the probabilities that a larger one gives each digit.

Labels are any pytree of arrays with one row per image: here the digit, whether it is known, and the
teacher's ten probabilities. The pupil has eight hidden neurons, and only 200 of its 5,000 images
are labeled; the teacher's probabilities make up for the other labels.

Source: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

import jaxnet
from jaxnet.training import cross_entropy, fit

key_images, key_unseen, key_start, key_fit = jax.random.split(jax.random.key(0), 4)
images, labels = jaxnet.data.synthetic.sample(key_images, 5_000)
unseen = jaxnet.data.synthetic.sample(key_unseen, 5_000)
start = jaxnet.init(key_start, (784, 8, 10))

# %% The teacher is the network that comes with jaxnet; only the first 200 images have labels.
z = jax.vmap(jaxnet.logits, in_axes=(None, 0))(jaxnet.pretrained(), images)
known = {"digit": labels, "labeled": (jnp.arange(5_000) < 200).astype(jnp.float32)}
distilled = {**known, "teacher": jax.nn.softmax(z)}


# %% The losses: the digits where they are known, and the teacher's probabilities everywhere.
def alone(params: jaxnet.Params, x: Array, y: dict[str, Array], key: Array | None) -> Any:
    """The cross-entropy of the labeled images."""
    z = jax.vmap(jaxnet.logits, in_axes=(None, 0))(params, x)
    return (y["labeled"] * jax.vmap(cross_entropy)(z, y["digit"])).mean()


def with_teacher(params: jaxnet.Params, x: Array, y: dict[str, Array], key: Array | None) -> Any:
    """The same, plus the cross-entropy with the teacher's probabilities."""
    z = jax.vmap(jaxnet.logits, in_axes=(None, 0))(params, x)
    return alone(params, x, y, key) + jax.vmap(cross_entropy)(z, y["teacher"]).mean()


for name, y, minimized in (("alone", known, alone), ("with the teacher", distilled, with_teacher)):
    state, _ = fit(
        key_fit, images, y, optax.adam(0.01), epochs=20, batch_size=100, params=start,
        loss=minimized,
    )  # fmt: skip
    print(f"{name}: accuracy {jaxnet.evaluate(state.params, *unseen).accuracy:.1%}")
