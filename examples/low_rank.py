"""Low-rank deltas: a few numbers beside the network teach it to read mirrored digits.

To each layer's weights, two thin matrices add their product: as many changes as there are
weights, from a fraction of the numbers. The network itself is never changed, and is at hand again
as soon as the deltas are left out.

Source: Hu and others, "LoRA: low-rank adaptation of large language models", 2021.
"""

import jax
import jax.numpy as jnp
import optax
from jax import Array

import jaxnet
from jaxnet.training import evaluate, mean_cost

key_images, key_deltas = jax.random.split(jax.random.key(0))
params = jaxnet.pretrained()
images, labels = jaxnet.data.strokes.sample(key_images, 6_000)
mirrored = images.reshape(-1, 28, 28)[:, :, ::-1].reshape(-1, 784)
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


# %% Adam on the deltas alone.
@jax.jit
def learn(deltas: Deltas) -> Deltas:
    """The deltas after ten times through 5,000 mirrored digits, 100 at a time."""
    optimizer = optax.adam(0.01)

    def step(carry: tuple[Deltas, optax.OptState], n: Array):
        deltas, state = carry
        x, y = (jax.lax.dynamic_slice_in_dim(a, 100 * (n % 50), 100) for a in (mirrored, labels))
        slope = jax.grad(lambda deltas: mean_cost(adapted(deltas), x, y))(deltas)
        updates, state = optimizer.update(slope, state)
        return (optax.tree.add(deltas, updates), state), None

    return jax.lax.scan(step, (deltas, optimizer.init(deltas)), jnp.arange(500))[0][0]


unseen = mirrored[5_000:], labels[5_000:]
print(f"as it is, the network reads {evaluate(params, *unseen):.1%} of mirrored digits")
for rank in (1, 4):
    deltas = learn(no_deltas(rank))
    size = sum(leaf.size for leaf in jax.tree.leaves(deltas))
    share = evaluate(adapted(deltas), *unseen)
    print(f"with deltas of rank {rank}, {size:,} numbers: {share:.1%}")
