"""One-bit weights, trained with a straight-through estimator.

Only the signs of the weights are used. The derivative of the sign is zero almost everywhere, so the
network would not learn; jax.custom_vjp passes the gradient straight through, as if it were one.

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
from jaxnet.training import MeanCost, evaluate, fit

key_fit, key_images = jax.random.split(jax.random.key(0))
images, labels = jaxnet.data.synthetic.sample(key_images, 4_000)


# %% Each weight becomes its sign times the mean magnitude of the layer.
def sign(w: Array) -> Array:
    """Quantizes weights to one bit each."""
    return jnp.where(w > 0, 1, -1) * jnp.abs(w).mean()


@jax.custom_vjp
def straight_sign(w: Array) -> Array:
    """Does the same, with the gradient of the identity."""
    return sign(w)


straight_sign.defvjp(lambda w: (sign(w), None), lambda _, gradient: (gradient,))


def quantized(change: Callable[[Array], Array], params: jaxnet.Params) -> jaxnet.Params:
    """Returns the network with changed weights and the same biases."""
    return tuple(jaxnet.Layer(change(w), b) for w, b in params)


# %% `fit` trains full-precision weights; the network uses their quantized values.
learn = partial(fit, optimizer=optax.adam(0.01), epochs=10, batch_size=100)

for name, change in {
    "quantized after training": lambda w: w,
    "quantized, true gradient": sign,
    "quantized, straight-through gradient": straight_sign,
}.items():
    loss = MeanCost(network=partial(quantized, change))
    state, _ = learn(key_fit, images[:3_000], labels[:3_000], loss=loss)
    score = evaluate(quantized(sign, state.params), images[3_000:], labels[3_000:])
    print(f"{name}: accuracy {score.accuracy:.1%}")
