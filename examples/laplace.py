"""How sure should it be? A Laplace approximation of what the network does not know.

A network trained on few digits is too sure of bent ones. The curvature of the cost says how far
off each of its 13,002 numbers could as well be; where that matters, it should be less sure. Of mere
scrawls, it is too sure even so. Draws a picture.

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
known, unseen, shown = images[:600], images[600:], labels[600:]

# %% A network that learned from 600 digits, as a vector.
learn = partial(fit, optimizer=optax.adamw(0.01, weight_decay=0.01), epochs=100, batch_size=100)
state, _ = jax.jit(learn)(key_fit, known, labels[:600])
best, as_network = ravel_pytree(state.params)


def answer(vector: Array, x: Array) -> Array:
    """Ten logits, from 13,002 numbers and an image."""
    return jaxnet.logits(as_network(vector), x)


# %% The curvature by each number alone, Gauss and Newton's: the diagonal of Jᵀ (diag(p) - p pᵀ) J.
def curvature(x: Array) -> Array:
    """What one image adds to it."""
    slope, p = jax.jacrev(answer)(best, x), jax.nn.softmax(answer(best, x))
    return p @ slope**2 - (p @ slope) ** 2


width = best.std()  # before any image, each number is thought to be as far from zero as they are
fisher = jax.jit(partial(jax.lax.map, curvature, batch_size=50))(known).sum(0)
variance = 1 / (fisher + 1 / width**2)


# %% The mean answer of all those networks, by MacKay's formula: more doubt, flatter answers.
def answers(x: Array) -> tuple[Array, Array]:
    """Ten probabilities, the network's own and with the doubt about its numbers."""
    z, slope = answer(best, x), jax.jacrev(answer)(best, x)
    return jax.nn.softmax(z), jax.nn.softmax(z / jnp.sqrt(1 + jnp.pi / 8 * slope**2 @ variance))


# %% Digits ever more bent: how many are read rightly, and how sure of that is it?
amounts = (0.0, 1.0, 2.0, 3.0)
keys = jax.random.split(key_odd, len(unseen))
bend = jax.jit(jax.vmap(lambda key, x, amount: augment.both(key, x, amount=amount), (0, 0, None)))
ask = jax.jit(partial(jax.lax.map, answers, batch_size=50))
asked = [ask(bend(keys, unseen, amount)) for amount in amounts]
right = np.array([(own.argmax(1) == shown).mean() for own, _ in asked])
alone, laplace = (np.array([p.max(1).mean() for p in ps]) for ps in zip(*asked, strict=True))
for name, sure in (("the network alone", alone), ("with the Laplace approximation", laplace)):
    print(f"{name}: {np.abs(sure - right).mean():.0%} from as sure as it is right")

figure = Figure(figsize=(7, 4), layout="constrained")
ax = figure.subplots()
ax.plot(amounts, 100 * right, "k", linewidth=2, label="read rightly")
ax.plot(amounts, 100 * alone, color="#c1440e", linewidth=2, label="sure, alone")
ax.plot(amounts, 100 * laplace, color="#1b6ca8", linewidth=2, label="sure, with Laplace")
ax.set(xlabel="how bent the digits are", ylabel="%", ylim=(0, 102))
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
figure.savefig(output, dpi=100)
