"""Federated averaging: four hospitals train on their own images, and share only their networks.

In a `jax.shard_map`, `fit` takes common steps as long as the devices share the params. To let each
device train on its own, mark the params as varying first; then average what they became.

Source: McMahan and others, "Communication-efficient learning of deep networks from decentralized
data", 2016.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jaxnet
from jaxnet.training import fit

jax.config.update("jax_num_cpu_devices", 4)
key_images, key_unseen, key_start, key_fit = jax.random.split(jax.random.key(0), 4)
images, labels = jaxnet.data.synthetic.sample(key_images, 4_000)
unseen = jaxnet.data.synthetic.sample(key_unseen, 5_000)
start = jaxnet.init(key_start)
learn = partial(fit, optimizer=optax.sgd(0.5, momentum=0.9), epochs=5, batch_size=50)


def alone(params: jaxnet.Params, x: Array, y: Array) -> jaxnet.Params:
    """Trains on one hospital's images."""
    return learn(key_fit, x, y, params=params)[0].params


# %% One round on four devices, one per hospital.
def trained_there(params: jaxnet.Params, x: Array, y: Array) -> jaxnet.Params:
    """Trains on this device's images, then averages over all devices."""
    own = jax.lax.pcast(params, "hospital", to="varying")
    return jax.lax.pmean(alone(own, x, y), "hospital")


mesh = jax.make_mesh((4,), ("hospital",), (AxisType.Auto,), devices=jax.devices("cpu"))
specs = P(), P("hospital"), P("hospital")
together = jax.jit(jax.shard_map(trained_there, mesh=mesh, in_specs=specs, out_specs=P()))
params = together(start, images, labels)

# %% The same by hand: four networks, one after another, and their mean.
parts = zip(jnp.split(images, 4), jnp.split(labels, 4), strict=True)
networks = [jax.jit(alone)(start, x, y) for x, y in parts]
mean = jax.tree.map(lambda *a: jnp.stack(a).mean(0), *networks)
apart = jax.tree.map(lambda a, b: abs(a - b).max(), params, mean)
print(f"differs from the mean of four networks by {max(jax.tree.leaves(apart)):.0e} at most")
for name, network in (("one hospital", networks[0]), ("the average", params)):
    print(f"{name}: accuracy {jaxnet.evaluate(network, *unseen).accuracy:.1%}")
