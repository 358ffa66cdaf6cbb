"""Low-rank deltas: a few numbers beside the network teach it to read mirrored digits.

To each layer's weights, two thin matrices add their product: as many changes as there are
weights, from a fraction of the numbers. The network itself is never changed, and is at hand again
as soon as the deltas are left out.

Source: Hu and others, "LoRA: low-rank adaptation of large language models", 2021.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax import Array

import jaxnet
from jaxnet.training import evaluate, fit

key_images, key_deltas, key_fit = jax.random.split(jax.random.key(0), 3)
params = jaxnet.pretrained()
images, labels = jaxnet.data.synthetic.sample(key_images, 6_000)
mirrored = images.reshape(-1, 28, 28)[:, :, ::-1].reshape(-1, 784)
unseen = mirrored[5_000:], labels[5_000:]
Deltas = tuple[tuple[Array, Array], ...]


# %% The thin matrices of each layer: one random and one zero, so that nothing changes at first.
def no_deltas(rank: int) -> Deltas:
    """Deltas of this rank, (out, rank) and (rank, in) for each layer, whose products are zero."""
    keys = jax.random.split(key_deltas, len(params))
    shapes = [w.shape for w, _ in params]
    return tuple(
        (jnp.zeros((n_out, rank)), jax.random.normal(key, (rank, n_in)) / n_in**0.5)
        for key, (n_out, n_in) in zip(keys, shapes, strict=True)
    )


def adapted(deltas: Deltas) -> jaxnet.Params:
    """The network with the deltas added: parameters like any other."""
    products = tuple(jaxnet.Layer(b @ a, jnp.zeros(len(b))) for b, a in deltas)
    return jax.tree.map(jnp.add, params, products)


# %% Adam on the deltas alone: they are what `fit` trains, and `adapted` makes the network of them.
learn = partial(fit, optimizer=optax.adam(0.01), epochs=10, batch_size=100, network=adapted)

print(f"as it is, the network reads {evaluate(params, *unseen):.1%} of mirrored digits")
for rank in (1, 4):
    deltas = learn(key_fit, mirrored[:5_000], labels[:5_000], params=no_deltas(rank))[0].params
    size = sum(leaf.size for leaf in jax.tree.leaves(deltas))
    share = evaluate(adapted(deltas), *unseen)
    print(f"with deltas of rank {rank}, {size:,} numbers: {share:.1%}")
