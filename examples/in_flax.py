"""The network as a layer of a Flax NNX model: a filter in front that learns to clean the picture.

The trained network cannot read digits that are printed dark on speckled paper. A filter of 25
weights learns, together with it, to make of them what it can read.
"""

import jax
import optax
from flax import nnx
from jax import Array

import jaxnet
from jaxnet.training import cross_entropy


# %% Each array of the network becomes an nnx.Param: wrapped, and not copied.
class Cleaned(nnx.Module):
    """A filter of 5×5 weights, then the network."""

    def __init__(self, params: jaxnet.Params, rngs: nnx.Rngs):
        self.filter = nnx.Conv(1, 1, (5, 5), rngs=rngs)
        self.params = nnx.data(jax.tree.map(nnx.Param, params))

    def __call__(self, x: Array) -> Array:
        """One image, shape `(784,)`, to ten logits."""
        cleaned = nnx.sigmoid(self.filter(x.reshape(28, 28, 1)))
        return jaxnet.logits(nnx.as_pure(self.params), cleaned.ravel())


def share_read(model: Cleaned, images: Array, labels: Array) -> Array:
    """The share of images that are read rightly."""
    return (jax.vmap(model)(images).argmax(1) == labels).mean()


@nnx.jit
def step(model: Cleaned, optimizer: nnx.Optimizer[Cleaned], images: Array, labels: Array) -> None:
    """Moves filter and network down the cost of a batch, in place, as Flax does."""

    def cost(model: Cleaned) -> Array:
        return jax.vmap(cross_entropy)(jax.vmap(model)(images), labels).mean()

    optimizer.update(model, nnx.grad(cost)(model))


# %% Digits printed dark on speckled paper.
key_images, key_paper = jax.random.split(jax.random.key(0))
ink, labels = jaxnet.data.synthetic.sample(key_images, 4_000)
paper = 0.9 - 0.7 * ink + 0.15 * jax.random.normal(key_paper, ink.shape)

# %% Learning, end to end.
params = jaxnet.pretrained()
model = Cleaned(params, nnx.Rngs(0))
given = [a.unsafe_buffer_pointer() for a in jax.tree.leaves(nnx.state(model))]
shared = all(a.unsafe_buffer_pointer() in given for a in jax.tree.leaves(params))
by_itself = jaxnet.training.evaluate(params, paper[3_000:], labels[3_000:])
optimizer = nnx.Optimizer(model, optax.adam(0.01), wrt=nnx.Param)
for n in range(150):
    batch = slice(100 * (n % 30), 100 * (n % 30) + 100)
    step(model, optimizer, paper[batch], labels[batch])
print(f"the network alone reads {by_itself:.1%}")
print(f"behind the filter it reads {share_read(model, paper[3_000:], labels[3_000:]):.1%}")

# %% Out of the model again, the arrays are jaxnet's parameters. No buffer was ever copied.
learned = nnx.as_pure(model.params)
held = [a.unsafe_buffer_pointer() for a in jax.tree.leaves(nnx.state(model))]
shared &= all(a.unsafe_buffer_pointer() in held for a in jax.tree.leaves(learned))
print("the same buffers in the model and outside, before and after:", shared)
