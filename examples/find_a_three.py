"""What is a three? Images that the network classifies as one, found by gradient descent.

Without constraints, the result is noise. With little ink, it is a few pixels. Only when it has to
be one smooth pen stroke does something like a three appear. Draws a picture.
"""

import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from matplotlib.figure import Figure

import jaxnet

output = sys.argv[1] if len(sys.argv) > 1 else "find_a_three.png"
params, three = jaxnet.pretrained(), jax.nn.one_hot(3, 10)
key_image, key_stroke = jax.random.split(jax.random.key(0))

# %% A pen stroke through ten points, and its image.
place = jnp.stack(jnp.mgrid[:28, :28].reshape(2, -1), 1).astype(float)
between = jnp.maximum(0, 1 - jnp.abs(jnp.linspace(0, 9, 60)[:, None] - jnp.arange(10)))


def pen(points: Array) -> Array:
    """Draws a stroke through points `(row, column)`: white within 1.5 pixels of it."""
    distance2 = ((place[:, None] - between @ points) ** 2).sum(-1)
    return jax.nn.sigmoid(3 * (1.5 - jnp.sqrt(distance2.min(1) + 1e-6)))


def bend(points: Array) -> Array:
    """Penalizes bends, and points outside the middle 18 rows and columns."""
    outside = jnp.maximum(0, jnp.abs(points - 13.5) - 9)
    return 0.01 * (jnp.diff(points, 2, axis=0) ** 2).sum() + 0.1 * (outside**2).sum()


# %% One search for all: minimize the cross-entropy of a three plus a penalty.
def search(paint: Callable[[Array], Array], penalty: Callable[[Array], Array], start: Array):
    """Returns the image found, and its cost."""
    optimizer = optax.adam(0.1)

    def cost(z: Array) -> Array:
        losses = optax.sigmoid_binary_cross_entropy(jaxnet.logits(params, paint(z)), three)
        return losses.sum() + penalty(z)

    def step(carry: tuple[Array, optax.OptState], _: None):
        z, state = carry
        updates, state = optimizer.update(jax.grad(cost)(z), state)
        return (z + jnp.asarray(updates), state), None

    (z, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), length=200)
    return paint(z), cost(z)


noise = jax.random.normal(key_image, (784,)) - 2
downwards = jnp.stack([jnp.linspace(5, 22, 10), jnp.full(10, 14.0)], 1)
strokes = downwards + jax.random.normal(key_stroke, (16, 10, 2))
drawn, costs = jax.jit(jax.vmap(lambda start: search(pen, bend, start)))(strokes)
found = {
    "any image": search(jax.nn.sigmoid, lambda z: 0 * z.sum(), noise)[0],
    "little ink": search(jax.nn.sigmoid, lambda z: 0.01 * jax.nn.sigmoid(z).sum(), noise)[0],
    "one smooth stroke": drawn[costs.argmin()],
}

figure = Figure(figsize=(9, 3.8), layout="constrained")
for ax, (name, x) in zip(figure.subplots(1, 3), found.items(), strict=True):
    digit, activation = jaxnet.predict(params, x), jaxnet.forward(params, x)[3]
    print(
        f"{name}: classified as {digit}, activation {activation:.2f}, {x.sum():.0f} pixels of ink"
    )
    ax.imshow(np.asarray(x).reshape(28, 28), cmap="gray", vmin=0, vmax=1)
    ax.set(title=f"{name}: {activation:.2f}", xticks=[], yticks=[])
figure.savefig(output, dpi=100)
