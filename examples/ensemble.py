"""A hundred networks learn side by side, each at a rate of its own: `vmap` over everything."""

from functools import partial

import jax
import jax.numpy as jnp
import optax

import jaxnet
from jaxnet.training import TrainState, evaluate, train_epoch

N = 100
key_init, key_images, key_epochs = jax.random.split(jax.random.key(0), 3)
images, labels = jaxnet.data.strokes.sample(key_images, 5_000)
rates = jnp.logspace(-4, 0, N)


def start(key: jax.Array, rate: jax.Array) -> TrainState:
    params = jaxnet.init(key)
    return TrainState(params, optimizer(learning_rate=rate).init(params))


optimizer = optax.inject_hyperparams(optax.adam)  # the rate becomes part of the state
states = jax.vmap(start)(jax.random.split(key_init, N), rates)

# No axis for the key, the images and the labels: all members read the same batches, and the
# many thin products become one wide one.
train = partial(train_epoch, optimizer=optimizer(learning_rate=0.0), batch_size=100)
epoch = jax.jit(jax.vmap(train, in_axes=(None, 0, None, None)))
for key in jax.random.split(key_epochs, 5):
    states, _ = epoch(key, states, images, labels)

accuracy = jax.vmap(evaluate, in_axes=(0, None, None))(states.params, images, labels)
for rate, share in zip(rates[::10], accuracy[::10], strict=True):
    print(f"rate {rate:.4f}: reads {share:6.1%}  {'█' * int(40 * share)}")
print(f"best rate: {rates[accuracy.argmax()]:.4f}")
