"""Low-rank adaptation (LoRA): fine-tune the network for mirrored digits with few parameters.

The product of two thin matrices is added to each layer's weights: it changes every weight with a
fraction of the parameters. The network itself stays unchanged.

Source: Hu and others, "LoRA: low-rank adaptation of large language models", 2021.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax import Array

import jaxnet
from jaxnet.training import MeanCost, evaluate, fit

key_images, key_deltas, key_fit = jax.random.split(jax.random.key(0), 3)
params = jaxnet.pretrained()
images, labels = jaxnet.data.synthetic.sample(key_images, 6_000)
mirrored = images.reshape(-1, 28, 28)[:, :, ::-1].reshape(-1, 784)
unseen = mirrored[5_000:], labels[5_000:]
Deltas = tuple[tuple[Array, Array], ...]


# %% Two thin matrices per layer: one random, one zero, so nothing changes at first.
def no_deltas(rank: int) -> Deltas:
    """Returns deltas, (out, rank) and (rank, in) for each layer, with zero products."""
    keys = jax.random.split(key_deltas, len(params))
    shapes = [w.shape for w, _ in params]
    return tuple(
        (jnp.zeros((n_out, rank)), jax.random.normal(key, (rank, n_in)) / n_in**0.5)
        for key, (n_out, n_in) in zip(keys, shapes, strict=True)
    )


def adapted(deltas: Deltas) -> jaxnet.Params:
    """Adds the deltas to the network."""
    products = tuple(jaxnet.Layer(b @ a, jnp.zeros(len(b))) for b, a in deltas)
    return jax.tree.map(jnp.add, params, products)


# %% `fit` trains the deltas; `adapted` turns them into a network.
learn = partial(fit, optimizer=optax.adam(0.01), epochs=10, batch_size=100)
adapting = MeanCost(network=adapted)

print(f"without deltas: accuracy {evaluate(params, *unseen).accuracy:.1%} on mirrored digits")
for rank in (1, 4):
    state, _ = learn(
        key_fit, mirrored[:5_000], labels[:5_000], params=no_deltas(rank), loss=adapting
    )
    deltas = state.params
    size = sum(leaf.size for leaf in jax.tree.leaves(deltas))
    accuracy = evaluate(deltas, *unseen, loss=adapting).accuracy
    print(f"with deltas of rank {rank}, {size:,} numbers: accuracy {accuracy:.1%}")
