"""One program on four devices: an ensemble divided along one axis, its images along the other.

Each device holds half of the networks and half of every batch; the gradients are averaged
between the two devices that have the same networks.
"""

from functools import partial

import jax
import numpy as np
from jax import Array
from jax.sharding import PartitionSpec as P

import jaxnet
from jaxnet.training import evaluate, mean_cost

jax.config.update("jax_num_cpu_devices", 4)  # four devices on any machine; before the first use
mesh = jax.make_mesh((2, 2), ("networks", "images"), devices=jax.devices("cpu"))

# %% Four networks, and forty batches for all of them.
key_starts, key_images = jax.random.split(jax.random.key(0))
ensemble = jax.vmap(jaxnet.init)(jax.random.split(key_starts, 4))
images, labels = jaxnet.data.strokes.sample(key_images, 4_000)
batches = images.reshape(40, 100, 784), labels.reshape(40, 100)


# %% A training run as every device sees it: its own networks, its share of each batch.
def learn(axis: str | None, params: jaxnet.Params, images: Array, labels: Array) -> jaxnet.Params:
    """Gradient descent over the batches; with an axis, on the mean cost of all devices along it."""

    def cost(params: jaxnet.Params, images: Array, labels: Array) -> Array:
        own = mean_cost(params, images, labels)
        return own if axis is None else jax.lax.pmean(own, axis)

    def step(params: jaxnet.Params, batch: tuple[Array, Array]) -> tuple[jaxnet.Params, None]:
        slope = jax.vmap(jax.grad(cost), in_axes=(0, None, None))(params, *batch)
        return jax.tree.map(lambda p, g: p - 0.5 * g, params, slope), None

    return jax.lax.scan(step, params, (images, labels))[0]


specs = P("networks"), P(None, "images"), P(None, "images")
places = [jax.NamedSharding(mesh, spec) for spec in specs]
arguments = [jax.device_put(*pair) for pair in zip((ensemble, *batches), places, strict=True)]
divided = jax.shard_map(partial(learn, "images"), mesh=mesh, in_specs=specs, out_specs=specs[0])
trained = jax.jit(divided)(*arguments)
alone = jax.jit(partial(learn, None))(ensemble, *batches)

# %% Where the networks are, and that they are what one device alone would have made of them.
shards = trained[0].weights.addressable_shards
print("networks on each device:", *(len(shard.data) for shard in shards))
differences = jax.tree.map(lambda a, b: np.abs(np.asarray(a) - np.asarray(b)).max(), trained, alone)
print(f"no weight differs by more than {max(jax.tree.leaves(differences)):.0e} from one device's")
reads = jax.vmap(evaluate, in_axes=(0, None, None))(jax.device_get(trained), images, labels)
print("the networks read", *(f"{share:.0%}" for share in reads))
