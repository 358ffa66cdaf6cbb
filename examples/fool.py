"""Fooling the network: change an image by gradient descent until it is misclassified.

Draws a picture.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import jaxnet
from jaxnet.training import cross_entropy

output = sys.argv[1] if len(sys.argv) > 1 else "fool.png"
SHOWN, WANTED = 7, jnp.int32(3)

params = jaxnet.pretrained()
original = jaxnet.data.synthetic.draw(jax.random.key(0), SHOWN)


def cost(x: jax.Array) -> jax.Array:
    """Penalizes any answer but the wanted one, and any change of the image."""
    change = optax.squared_error(x, original).sum()
    return cross_entropy(jaxnet.logits(params, x), WANTED) + 0.5 * change


@jax.jit
def fool(x: jax.Array) -> jax.Array:
    """Minimizes that cost, with every pixel between 0 and 1."""

    def step(x: jax.Array, _: None) -> tuple[jax.Array, None]:
        return jnp.clip(x - 0.1 * jax.grad(cost)(x), 0, 1), None

    return jax.lax.scan(step, x, length=200)[0]


x = fool(original)
before, after = (int(jaxnet.predict(params, image)) for image in (original, x))
print(f"A {SHOWN}, classified as {before}; after the changes, classified as {after}")

figure = Figure(figsize=(9, 3.4), layout="constrained")
pictures = {f"classified as {before}": original, "the change": x - original, f"as {after}": x}
for ax, (name, image) in zip(figure.subplots(1, 3), pictures.items(), strict=True):
    ax.imshow(np.asarray(image).reshape(28, 28), cmap="gray")
    ax.set(title=name, xticks=[], yticks=[])
figure.savefig(output, dpi=100)
