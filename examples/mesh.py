"""Training on four devices: one network with sharded batches, then an ensemble on a 2×2 mesh.

With Explicit axes, the default of `jax.make_mesh`, the sharding is part of an array's type, and
`fit` shards its batches the way the images are sharded.
"""

from functools import partial

import jax
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxnet
from jaxnet.training import evaluate, fit

jax.config.update("jax_num_cpu_devices", 4)  # four devices on any machine; set before JAX is used
key_starts, key_images, key_fit = jax.random.split(jax.random.key(0), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 4_000)
starts = jax.vmap(jaxnet.init)(jax.random.split(key_starts, 4))
start = jax.tree.map(lambda leaf: leaf[0], starts)
learn = partial(fit, optimizer=optax.sgd(0.5, momentum=0.9), epochs=4, batch_size=100)


def train(params: jaxnet.Params, images: jax.Array, labels: jax.Array) -> jaxnet.Params:
    """Returns the network after four epochs."""
    return learn(key_fit, images, labels, params=params)[0].params


def largest_difference(one: jaxnet.Params, other: jaxnet.Params) -> str:
    """Returns the largest difference between two weights or biases."""
    pairs = jax.tree.map(lambda a, b: np.abs(np.asarray(a) - np.asarray(b)).max(), one, other)
    return f"{max(jax.tree.leaves(pairs)):.0e}"


# %% One network: each device gets 25 images of each batch; gradients are averaged.
row = jax.make_mesh((4,), ("images",), devices=jax.devices("cpu"))
sharded = jax.device_put((images, labels), NamedSharding(row, P("images")))
there, here = jax.jit(train)(start, *sharded), jax.jit(train)(start, images, labels)
print("images on each device:", *(len(shard.data) for shard in sharded[0].addressable_shards))
print(f"one network: accuracy {evaluate(there, *sharded).accuracy:.1%}")
print(f"differs from training on one device by {largest_difference(there, here)} at most")

# %% Four networks: two per row of devices, whose two devices share each batch.
square = jax.make_mesh((2, 2), ("networks", "images"), devices=jax.devices("cpu"))
ensemble = jax.device_put(starts, NamedSharding(square, P("networks")))
halves = jax.device_put((images, labels), NamedSharding(square, P("images")))
over_networks = jax.vmap(train, in_axes=(0, None, None))
there = jax.jit(over_networks)(ensemble, *halves)
here = jax.jit(over_networks)(starts, images, labels)
shards = there[0].weights.addressable_shards
print("networks on each device:", *(len(shard.data) for shard in shards))
accuracies = jax.vmap(evaluate, in_axes=(0, None, None))(there, *halves).accuracy
print(
    "accuracies",
    *(f"{accuracy:.1%}" for accuracy in accuracies),
    f"differ from one device by {largest_difference(there, here)}",
)
