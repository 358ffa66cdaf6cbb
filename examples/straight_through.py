"""Weights of one bit: with a gradient of its own, the network learns through a function of none.

Only the signs of the weights are used. The slope of a sign is zero almost everywhere, and nothing
would be learned; jax.custom_vjp says to pass the gradient straight through, as if it were one.

Source: Bengio, Léonard and Courville, "Estimating or propagating gradients through stochastic
neurons for conditional computation", 2013.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax import Array

import jaxnet
from jaxnet.training import evaluate, fit

key_fit, key_images = jax.random.split(jax.random.key(0))
images, labels = jaxnet.data.synthetic.sample(key_images, 4_000)


# %% Two weights a layer: as large as they are on average, and with their signs.
def sign(w: Array) -> Array:
    """One bit a weight."""
    return jnp.where(w > 0, 1, -1) * jnp.abs(w).mean()


@jax.custom_vjp
def straight_sign(w: Array) -> Array:
    """The same; on the way back, the gradient passes as if nothing had been done."""
    return sign(w)


straight_sign.defvjp(lambda w: (sign(w), None), lambda _, gradient: (gradient,))


def use(change: Callable[[Array], Array], params: jaxnet.Params) -> jaxnet.Params:
    """The network with its weights changed, and its biases as they are."""
    return tuple(jaxnet.Layer(change(w), b) for w, b in params)


# %% What is trained are the weights behind the network that is used.
learn = partial(fit, optimizer=optax.adam(0.01), epochs=10, batch_size=100)

for name, change in {
    "signs only after learning": lambda w: w,
    "signs, with the slope they have": sign,
    "signs, straight through": straight_sign,
}.items():
    state, _ = learn(key_fit, images[:3_000], labels[:3_000], network=partial(use, change))
    share = evaluate(use(sign, state.params), images[3_000:], labels[3_000:])
    print(f"{name}: reads {share:.1%}")
