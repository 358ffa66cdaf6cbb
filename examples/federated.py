"""Federated averaging: four hospitals train on their own images, and share only their networks.

No hospital has more than four of the ten digits, so none can learn the others alone. In a
`jax.shard_map`, `fit` takes common steps as long as the devices share the params. To let each
device train on its own, mark the params as varying first; then average what they became.

Source: McMahan and others, "Communication-efficient learning of deep networks from decentralized
data", 2016.
"""

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
images, labels = images[labels.argsort()], labels.sort()  # each quarter has few of the digits
unseen = jaxnet.data.synthetic.sample(key_unseen, 5_000)
start, sgd = jaxnet.init(key_start), optax.sgd(1.0)


def alone(params: jaxnet.Params, x: Array, y: Array, n: Array | int) -> jaxnet.Params:
    """Trains on one hospital's images for one epoch, the nth."""
    state, _ = fit(key_fit, x, y, sgd, params=params, epochs=1, batch_size=100, first_epoch=n)
    return state.params


# %% A round on four devices, one per hospital: each trains on its images, then all average.
def train_there(params: jaxnet.Params, x: Array, y: Array, n: Array) -> jaxnet.Params:
    """One round, as each device sees it."""
    own = jax.lax.pcast(params, "hospital", to="varying")
    return jax.lax.pmean(alone(own, x, y, n), "hospital")


mesh = jax.make_mesh((4,), ("hospital",), (AxisType.Auto,), devices=jax.devices("cpu"))
specs = P(), P("hospital"), P("hospital"), P()
together = jax.jit(jax.shard_map(train_there, mesh=mesh, in_specs=specs, out_specs=P()))

# %% The first round, and the same by hand: four networks, one after another, and their mean.
params = together(start, images, labels, 0)
parts = list(zip(jnp.split(images, 4), jnp.split(labels, 4), strict=True))
mean = jax.tree.map(lambda *a: jnp.stack(a).mean(0), *(alone(start, *part, 0) for part in parts))
apart = jax.tree.map(lambda a, b: abs(a - b).max(), params, mean)
print(f"differs from the mean of four networks by {max(jax.tree.leaves(apart)):.0e} at most")

# %% A hundred rounds, and a hundred epochs at one of the hospitals.
for n in range(1, 100):
    params = together(params, images, labels, n)
lone, _ = fit(key_fit, *parts[0], sgd, params=start, epochs=100, batch_size=100)
for name, network in (("one hospital alone", lone.params), ("all four", params)):
    print(f"{name}: accuracy {jaxnet.evaluate(network, *unseen).accuracy:.1%}")
