"""Four devices: one network whose batches they divide, then an ensemble on a mesh of two by two.

On a mesh of Explicit axes, which jax.make_mesh makes by default, each array says how it is
divided, and `fit` divides its batches as the images are.
"""

from functools import partial

import jax
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxnet
from jaxnet.training import evaluate, fit

jax.config.update("jax_num_cpu_devices", 4)  # four devices on any machine; before the first use
key_starts, key_images, key_fit = jax.random.split(jax.random.key(0), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 4_000)
starts = jax.vmap(jaxnet.init)(jax.random.split(key_starts, 4))
start = jax.tree.map(lambda leaf: leaf[0], starts)
learn = partial(fit, optimizer=optax.sgd(0.5, momentum=0.9), epochs=4, batch_size=100)


def train(params: jaxnet.Params, images: jax.Array, labels: jax.Array) -> jaxnet.Params:
    """The network after four epochs."""
    return learn(key_fit, images, labels, params=params)[0].params


def largest_difference(one: jaxnet.Params, other: jaxnet.Params) -> str:
    """Between any two weights or biases."""
    pairs = jax.tree.map(lambda a, b: np.abs(np.asarray(a) - np.asarray(b)).max(), one, other)
    return f"{max(jax.tree.leaves(pairs)):.0e}"


# %% One network: each device takes 25 images of each batch, and the gradients are averaged.
row = jax.make_mesh((4,), ("images",), devices=jax.devices("cpu"))
divided = jax.device_put((images, labels), NamedSharding(row, P("images")))
there, here = jax.jit(train)(start, *divided), jax.jit(train)(start, images, labels)
print("images on each device:", *(len(shard.data) for shard in divided[0].addressable_shards))
print(f"one network reads {evaluate(there, *divided):.1%}, and differs from the one that a single")
print(f"device trains by {largest_difference(there, here)} at most")

# %% Four networks: two on each column of devices, where each batch is divided among two.
square = jax.make_mesh((2, 2), ("networks", "images"), devices=jax.devices("cpu"))
ensemble = jax.device_put(starts, NamedSharding(square, P("networks")))
halves = jax.device_put((images, labels), NamedSharding(square, P("images")))
over_networks = jax.vmap(train, in_axes=(0, None, None))
there = jax.jit(over_networks)(ensemble, *halves)
here = jax.jit(over_networks)(starts, images, labels)
shards = there[0].weights.addressable_shards
print("networks on each device:", *(len(shard.data) for shard in shards))
reads = jax.vmap(evaluate, in_axes=(0, None, None))(there, *halves)
print(
    "they read",
    *(f"{share:.1%}" for share in reads),
    f"and differ by {largest_difference(there, here)}",
)
