"""Turning 42 dials of the 13,002: an optimiser put together from parts trains the biases alone.

The network meets digits on grey paper instead of black, and reads few of them. All its
weights stay as they are. The parts are optax's: a clipped gradient, a rate that warms up and cools
down, an average over the steps, and nothing at all for the weights.
"""

import jax
import jax.numpy as jnp
import optax
from jax import Array

import jaxnet
from jaxnet.training import TrainState, evaluate, train_step

key_images = jax.random.key(0)
images, labels = jaxnet.data.strokes.sample(key_images, 6_000)
images = 0.6 + 0.4 * images
unseen = images[5_000:], labels[5_000:]
params = jaxnet.pretrained()

# %% The optimiser: which part of a layer is trained by what, is said by a tree of names.
rate = optax.warmup_cosine_decay_schedule(0.0, 0.1, warmup_steps=50, decay_steps=500)
biases = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
names = jax.tree.map_with_path(lambda path, _: path[-1].name, params)
optimizer = optax.multi_transform({"biases": biases, "weights": optax.set_to_zero()}, names)
average = optax.ema(0.98)


# %% Ten times through the images, in one scan, the average carried along with the network.
@jax.jit
def learn(params: jaxnet.Params) -> tuple[jaxnet.Params, jaxnet.Params]:
    """The network after the last step, and its average over the last fifty or so."""

    def step(carry: tuple[TrainState, optax.OptState], n: Array):
        state, averages = carry
        x, y = (jax.lax.dynamic_slice_in_dim(a, 100 * (n % 50), 100) for a in (images, labels))
        state, _ = train_step(state, x, y, optimizer=optimizer)
        mean, averages = average.update(state.params, averages)
        return (state, averages), mean

    start = TrainState(params, optimizer.init(params)), average.init(params)
    (state, _), means = jax.lax.scan(step, start, jnp.arange(500))
    return state.params, jax.tree.map(lambda a: a[-1], means)


last, mean = learn(params)
print(f"as it was: reads {evaluate(params, *unseen):.1%} of the digits on grey")
print(f"after learning: {evaluate(last, *unseen):.1%}; averaged: {evaluate(mean, *unseen):.1%}")

# %% The weights are the same to the last bit.
same = all((now.weights == was.weights).all() for now, was in zip(last, params, strict=True))
turned = sum(int((now.biases != was.biases).sum()) for now, was in zip(last, params, strict=True))
print(f"weights untouched: {same}; biases turned: {turned} of 42")
