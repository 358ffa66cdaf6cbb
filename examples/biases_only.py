"""Training 42 of the 13,002 dials: a custom optax optimizer that updates only the biases.

The network sees digits on gray paper instead of black, and classifies few of them correctly. Its
weights stay frozen. The optimizer is put together from optax's parts: gradient clipping, a learning
rate that warms up and decays, and zero updates for the weights.
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

# %% The optimizer: a tree of names says which optimizer each array gets.
rate = optax.warmup_cosine_decay_schedule(0.0, 0.1, warmup_steps=50, decay_steps=500)
biases = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
names = jax.tree.map_with_path(lambda path, _: path[-1].name, params)
optimizer = optax.multi_transform({"biases": biases, "weights": optax.set_to_zero()}, names)

# %% Ten epochs.
state, history = fit(
    key_fit, images[:5_000], labels[:5_000], optimizer,
    params=params, epochs=10, batch_size=100, validation=unseen,
)  # fmt: skip
assert history.validation is not None
print(f"pretrained: accuracy {evaluate(params, *unseen).accuracy:.1%} on gray paper")
print("after each epoch:", *(f"{share:.1%}" for share in history.validation.accuracy))

# %% The weights are bit-identical.
now: jaxnet.Params = state.params
same = all((a.weights == b.weights).all() for a, b in zip(now, params, strict=True))
changed = sum(int((a.biases != b.biases).sum()) for a, b in zip(now, params, strict=True))
print(f"weights unchanged: {same}; biases changed: {changed} of 42")
