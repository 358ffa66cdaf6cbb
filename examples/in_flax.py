"""The network as a layer of a Flax NNX model, behind a filter that learns to clean images.

The trained network cannot classify digits that are printed dark on speckled paper. A filter with 25
weights, trained together with it, turns them into images that it can classify.
"""

import jax
import optax
from flax import nnx
from jax import Array

import jaxnet
from jaxnet.training import cross_entropy, evaluate


# %% Each array of the network is wrapped in an nnx.Param, not copied.
class Cleaned(nnx.Module):
    """A 5×5 filter, then the network."""

    def __init__(self, params: jaxnet.Params, rngs: nnx.Rngs):
        self.filter = nnx.Conv(1, 1, (5, 5), rngs=rngs)
        self.params = nnx.data(jax.tree.map(nnx.Param, params))

    def __call__(self, x: Array) -> Array:
        """Maps one image, shape `(784,)`, to ten logits."""
        cleaned = nnx.sigmoid(self.filter(x.reshape(28, 28, 1)))
        return jaxnet.logits(nnx.as_pure(self.params), cleaned.ravel())


def accuracy(model: Cleaned, images: Array, labels: Array) -> Array:
    """Returns the share of images classified correctly."""
    return (jax.vmap(model)(images).argmax(1) == labels).mean()


@nnx.jit
def step(model: Cleaned, optimizer: nnx.Optimizer[Cleaned], images: Array, labels: Array) -> None:
    """Updates the filter and the network, in place as Flax does."""

    def cost(model: Cleaned) -> Array:
        return jax.vmap(cross_entropy)(jax.vmap(model)(images), labels).mean()

    optimizer.update(model, nnx.grad(cost)(model))


# %% Digits, dark on speckled paper.
key_images, key_paper = jax.random.split(jax.random.key(0))
ink, labels = jaxnet.data.synthetic.sample(key_images, 4_000)
paper = 0.9 - 0.7 * ink + 0.15 * jax.random.normal(key_paper, ink.shape)

# %% Train end to end.
params = jaxnet.pretrained()
model = Cleaned(params, nnx.Rngs(0))
given = [a.unsafe_buffer_pointer() for a in jax.tree.leaves(nnx.state(model))]
shared = all(a.unsafe_buffer_pointer() in given for a in jax.tree.leaves(params))
# Some of the noise is beyond 0 to 1.
alone = evaluate(params, paper[3_000:], labels[3_000:], check_range=False).accuracy
optimizer = nnx.Optimizer(model, optax.adam(0.01), wrt=nnx.Param)
for n in range(150):
    batch = slice(100 * (n % 30), 100 * (n % 30) + 100)
    step(model, optimizer, paper[batch], labels[batch])
print(f"the network alone: accuracy {alone:.1%}")
print(f"behind the filter: accuracy {accuracy(model, paper[3_000:], labels[3_000:]):.1%}")

# %% The model's arrays are jaxnet parameters again. No buffer was ever copied.
learned = nnx.as_pure(model.params)
held = [a.unsafe_buffer_pointer() for a in jax.tree.leaves(nnx.state(model))]
shared &= all(a.unsafe_buffer_pointer() in held for a in jax.tree.leaves(learned))
print("the same buffers in the model and outside, before and after:", shared)
