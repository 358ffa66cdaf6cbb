"""The network inside compiled loops and branches: `scan`, `while_loop` and `cond`."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

import jaxnet
from jaxnet.data import augment

params = jaxnet.pretrained()
key_images, key_noise, key_copies = jax.random.split(jax.random.key(2), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 300)


def confidence(x: Array) -> Array:
    """Returns the largest of the ten outputs."""
    return jaxnet.forward(params, x).max()


# %% lax.scan: recognize a number digit by digit, carrying its value along.
def append(value: Array, x: Array) -> tuple[Array, None]:
    """Appends one more digit to the number so far."""
    return 10 * value + jaxnet.predict(params, x), None


number = jax.lax.scan(append, jnp.int32(0), images[:7])[0]
print(f"scan: the number {''.join(map(str, labels[:7]))} is classified as {number}")

# %% lax.while_loop: brighten a dim image until the network is confident.
dim = 0.1 * images[0]


@jax.jit
def brighten(x: Array) -> Array:
    """Brightens an image as much as necessary."""
    return jax.lax.while_loop(lambda x: confidence(x) < 0.9, lambda x: 1.05 * x, x)


clear = brighten(dim)
print(
    f"while_loop: {clear.max() / dim.max():.1f} times as bright, the dim {labels[0]} is classified"
)
print(f"as {jaxnet.predict(params, clear)}, with confidence {confidence(clear):.2f}", end="")
print(f" instead of {confidence(dim):.2f}")

# %% lax.cond: only if the network is unsure, classify 16 warped copies and average.
noisy = images + 0.4 * jax.random.normal(key_noise, images.shape)


def classify_copies(x: Array) -> Array:
    """Returns the digit with the largest mean logit over 16 slightly warped copies."""
    copies = jax.vmap(augment.affine, in_axes=(0, None))(jax.random.split(key_copies, 16), x)
    return jax.vmap(partial(jaxnet.logits, params))(copies).mean(0).argmax()


def classify(x: Array) -> tuple[Array, Array]:
    """Returns the digit, and whether the network was confident at once."""
    confident = confidence(x) > 0.9
    return jax.lax.cond(confident, partial(jaxnet.predict, params), classify_copies, x), confident


second, confident = jax.lax.map(classify, noisy)
first = jax.vmap(partial(jaxnet.predict, params))(noisy)
before, after = ((answers == labels)[~confident].mean() for answers in (first, second))
print(f"cond: accuracy on the {(~confident).sum()} unsure images: {before:.0%}, then {after:.0%}")
