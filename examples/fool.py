"""The network inside a larger program: change an image, by gradients, until it is misread."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich import print
from rich.columns import Columns

import jaxnet
from jaxnet.cli._terminal import Picture
from jaxnet.training import cross_entropy

SHOWN, WANTED = 7, jnp.int32(3)

params = jaxnet.pretrained()
original = jaxnet.data.synthetic.draw(jax.random.key(0), SHOWN)


def cost(x: jax.Array) -> jax.Array:
    """How far the image is from being read as wanted, and from what it was."""
    change = optax.squared_error(x, original).sum()
    return cross_entropy(jaxnet.logits(params, x), WANTED) + 0.5 * change


@jax.jit
def fool(x: jax.Array) -> jax.Array:
    """Goes down that cost, and stays an image: every pixel from 0 to 1."""

    def step(x: jax.Array, _: None) -> tuple[jax.Array, None]:
        return jnp.clip(x - 0.1 * jax.grad(cost)(x), 0, 1), None

    return jax.lax.scan(step, x, length=200)[0]


x = fool(original)
read = [int(jaxnet.predict(params, image)) for image in (original, x)]
print(f"Drawn as {SHOWN} and read as {read[0]}; after the changes, read as {read[1]}:")
print(Columns([Picture(np.asarray(image)) for image in (original, x)], padding=(0, 4)))
