"""The network as a layer of an Equinox model: which of two digits is the larger?

Nobody says what the digits are. One network reads both, a layer behind it weighs its answers,
and the two learn together, end to end.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key

import jaxnet


# %% A module whose fields are arrays: parameters of jaxnet are a field like any other.
class Larger(eqx.Module):
    """How sure it is that the first of two images shows the larger digit, as a logit."""

    params: jaxnet.Params
    value: eqx.nn.Linear

    def __init__(self, params: jaxnet.Params, key: Key[Array, ""]):
        self.params = params
        self.value = eqx.nn.Linear(10, 1, use_bias=False, key=key)

    def __call__(self, one: Array, other: Array) -> Array:
        """Two images in, one number out."""
        a, b = (jaxnet.forward(self.params, x) for x in (one, other))
        return self.value(a - b)[0]


def cost(model: Larger, images: Array, larger: Array) -> Array:
    """The mean surprise over pairs of images, shape `(n, 2, 784)`."""
    z = jax.vmap(model)(images[:, 0], images[:, 1])
    return optax.sigmoid_binary_cross_entropy(z, larger).mean()


# %% Pairs of drawn digits, and all steps in one scan.
key_start, key_value, key_images = jax.random.split(jax.random.key(0), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 8_000)
pairs, larger = images.reshape(-1, 2, 784), (labels[::2] > labels[1::2]).astype(float)
optimizer = optax.adam(0.01)


@jax.jit
def learn(model: Larger) -> Larger:
    """20 times through the first 3,000 pairs, 100 at a time."""

    def step(carry: tuple[Larger, optax.OptState], n: Array):
        model, state = carry
        batch = (jax.lax.dynamic_slice_in_dim(a, 100 * (n % 30), 100) for a in (pairs, larger))
        updates, state = optimizer.update(jax.grad(cost)(model, *batch), state)
        return (eqx.apply_updates(model, updates), state), None

    return jax.lax.scan(
        step, (model, optimizer.init(eqx.filter(model, eqx.is_array))), jnp.arange(600)
    )[0][0]


start = jaxnet.init(key_start)
model = Larger(start, key_value)
trained = learn(model)
answers = jax.vmap(trained)(pairs[3_000:, 0], pairs[3_000:, 1]) > 0
print(f"right about {(answers == (larger[3_000:] > 0)).mean():.1%} of 1,000 pairs not seen before")


# %% Into the model and out of it, the arrays are the same buffers: nothing was copied.
def buffers(tree: object) -> set[int]:
    """Where the tree's arrays are in memory."""
    return {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(tree)}


shared = buffers(start) < buffers(model) and buffers(trained.params) < buffers(trained)
print("the same buffers in the model and outside, before and after:", shared)
