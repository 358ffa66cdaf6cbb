"""The network as a layer of an Equinox model: which of two digits is the larger?

The digits themselves are never given as labels. One network sees both images, a linear layer
compares its outputs, and the two are trained together, end to end.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key

import jaxnet


# %% jaxnet's parameters are a field of the module, like any other arrays.
class Larger(eqx.Module):
    """The logit of the first image showing the larger digit."""

    params: jaxnet.Params
    value: eqx.nn.Linear

    def __init__(self, params: jaxnet.Params, key: Key[Array, ""]):
        self.params = params
        self.value = eqx.nn.Linear(10, 1, use_bias=False, key=key)

    def __call__(self, one: Array, other: Array) -> Array:
        """Maps two images to one logit."""
        a, b = (jaxnet.forward(self.params, x) for x in (one, other))
        return self.value(a - b)[0]


def cost(model: Larger, images: Array, larger: Array) -> Array:
    """Returns the mean cross-entropy over pairs of images, shape `(n, 2, 784)`."""
    z = jax.vmap(model)(images[:, 0], images[:, 1])
    return optax.sigmoid_binary_cross_entropy(z, larger).mean()


# %% Pairs of synthetic digits, and all training steps in one scan.
key_start, key_value, key_images = jax.random.split(jax.random.key(0), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 8_000)
pairs, larger = images.reshape(-1, 2, 784), (labels[::2] > labels[1::2]).astype(float)
optimizer = optax.adam(0.01)


@jax.jit
def learn(model: Larger) -> Larger:
    """Trains for 20 epochs on the first 3,000 pairs, in batches of 100."""

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
print(f"accuracy {(answers == (larger[3_000:] > 0)).mean():.1%} on 1,000 unseen pairs")


# %% The arrays in the model and outside share their buffers: nothing is copied.
def buffers(tree: object) -> set[int]:
    """Returns the addresses of the tree's arrays."""
    return {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(tree)}


shared = buffers(start) < buffers(model) and buffers(trained.params) < buffers(trained)
print("the same buffers in the model and outside, before and after:", shared)
