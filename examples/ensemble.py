"""A thousand networks in one compiled program, each with its own start and learning rate."""

import jax
import jax.numpy as jnp
import optax

import jaxnet
from jaxnet.training import History, TrainState, fit

N = 1_000
key_starts, key_images, key_fit = jax.random.split(jax.random.key(0), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 2_000)
starts = jax.vmap(jaxnet.init)(jax.random.split(key_starts, N))
rates = jnp.logspace(-4, 0, N)


def run(params: jaxnet.Params, rate: jax.Array) -> tuple[TrainState, History]:
    """Trains one network; whatever differs between the networks is an argument."""
    return fit(key_fit, images, labels, optax.adam(rate), params=params, epochs=3, batch_size=100)


states, history = jax.jit(jax.vmap(run))(starts, rates)

accuracy = history.accuracy[:, -1]
for part, share in zip(rates.reshape(10, -1), accuracy.reshape(10, -1).mean(1), strict=True):
    print(f"rates {part[0]:.4f} to {part[-1]:.4f}: accuracy {share:6.1%}  {'█' * int(40 * share)}")
print(f"best rate: {rates[accuracy.argmax()]:.4f}")
