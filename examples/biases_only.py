"""Turning 42 dials of the 13,002: an optimizer put together from parts trains the biases alone.

The network meets digits on gray paper instead of black, and reads few of them. All its
weights stay as they are. The parts are optax's: a clipped gradient, a rate that warms up and cools
down, and nothing at all for the weights.
"""

import jax
import optax

import jaxnet
from jaxnet.training import evaluate, fit

key_images, key_fit = jax.random.split(jax.random.key(0))
images, labels = jaxnet.data.synthetic.sample(key_images, 6_000)
images = 0.6 + 0.4 * images
unseen = images[5_000:], labels[5_000:]
params = jaxnet.pretrained()

# %% The optimizer: which part of a layer is trained by what, is said by a tree of names.
rate = optax.warmup_cosine_decay_schedule(0.0, 0.1, warmup_steps=50, decay_steps=500)
biases = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
names = jax.tree.map_with_path(lambda path, _: path[-1].name, params)
optimizer = optax.multi_transform({"biases": biases, "weights": optax.set_to_zero()}, names)

# %% Ten epochs.
state, history = fit(
    key_fit, images[:5_000], labels[:5_000], optimizer,
    params=params, epochs=10, batch_size=100, held_out=unseen,
)  # fmt: skip
assert history.held_out is not None
print(f"as it was: reads {evaluate(params, *unseen):.1%} of the digits on gray")
print("after each epoch:", *(f"{share:.1%}" for share in history.held_out.accuracy))

# %% The weights are the same to the last bit.
now: jaxnet.Params = state.params
same = all((a.weights == b.weights).all() for a, b in zip(now, params, strict=True))
turned = sum(int((a.biases != b.biases).sum()) for a, b in zip(now, params, strict=True))
print(f"weights untouched: {same}; biases turned: {turned} of 42")
