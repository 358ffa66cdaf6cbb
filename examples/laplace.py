"""How confident should the network be? A Laplace approximation of its uncertainty.

A network trained on few digits is overconfident on distorted ones. The curvature of the cost says
how uncertain each of its 13,002 parameters is; where that matters, the network should be less
confident. On mere scrawls, it is overconfident even so. Draws a picture.

Source: MacKay, "The evidence framework applied to classification networks", 1992; Immer, Korzepa
and Bauer, "Improving predictions of Bayesian neural nets via local linearization", 2021.
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

import jaxnet
from jaxnet.data import augment
from jaxnet.training import fit

output = sys.argv[1] if len(sys.argv) > 1 else "laplace.png"
key_fit, key_images, key_odd = jax.random.split(jax.random.key(0), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 800)
known, unseen, unseen_labels = images[:600], images[600:], labels[600:]

# %% A network trained on 600 digits, as one vector.
learn = partial(fit, optimizer=optax.adamw(0.01, weight_decay=0.01), epochs=100, batch_size=100)
state, _ = jax.jit(learn)(key_fit, known, labels[:600])
best, as_network = ravel_pytree(state.params)


def answer(vector: Array, x: Array) -> Array:
    """Returns ten logits for 13,002 parameters and an image."""
    return jaxnet.logits(as_network(vector), x)


# %% The diagonal of the Gauss-Newton matrix, Jᵀ (diag(p) - p pᵀ) J.
def curvature(x: Array) -> Array:
    """Returns one image's contribution."""
    slope, p = jax.jacrev(answer)(best, x), jax.nn.softmax(answer(best, x))
    return p @ slope**2 - (p @ slope) ** 2


width = best.std()  # of the prior: the spread of the trained parameters
fisher = jax.jit(partial(jax.lax.map, curvature, batch_size=50))(known).sum(0)
variance = 1 / (fisher + 1 / width**2)


# %% The mean prediction of all those networks, by MacKay's approximation.
def answers(x: Array) -> tuple[Array, Array]:
    """Returns ten probabilities: the network's own, and with parameter uncertainty."""
    z, slope = answer(best, x), jax.jacrev(answer)(best, x)
    return jax.nn.softmax(z), jax.nn.softmax(z / jnp.sqrt(1 + jnp.pi / 8 * slope**2 @ variance))


# %% Accuracy and confidence on more and more distorted digits.
amounts = (0.0, 1.0, 2.0, 3.0)
keys = jax.random.split(key_odd, len(unseen))
bend = jax.jit(jax.vmap(lambda key, x, amount: augment.both(key, x, amount=amount), (0, 0, None)))
ask = jax.jit(partial(jax.lax.map, answers, batch_size=50))
asked = [ask(bend(keys, unseen, amount)) for amount in amounts]
accuracy = np.array([(own.argmax(1) == unseen_labels).mean() for own, _ in asked])
alone, laplace = (np.array([p.max(1).mean() for p in ps]) for ps in zip(*asked, strict=True))
for name, confidence in (("the network alone", alone), ("with the Laplace approximation", laplace)):
    print(f"{name}: {np.abs(confidence - accuracy).mean():.0%} between confidence and accuracy")

figure = Figure(figsize=(7, 4), layout="constrained")
ax = figure.subplots()
ax.plot(amounts, 100 * accuracy, "k", linewidth=2, label="accuracy")
ax.plot(amounts, 100 * alone, color="#c1440e", linewidth=2, label="confidence, network alone")
ax.plot(amounts, 100 * laplace, color="#1b6ca8", linewidth=2, label="confidence, with Laplace")
ax.set(xlabel="amount of distortion", ylabel="%", ylim=(0, 102))
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
figure.savefig(output, dpi=100)
