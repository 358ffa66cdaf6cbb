"""The network inside loops and branches of a compiled program: scan, while_loop, cond."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

import jaxnet
from jaxnet.data import augment

params = jaxnet.pretrained()
key_images, key_noise, key_looks = jax.random.split(jax.random.key(2), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 300)


def sureness(x: Array) -> Array:
    """The greatest of the ten outputs."""
    return jaxnet.forward(params, x).max()


# %% lax.scan: a number is read digit by digit, and its value carried along.
def append(value: Array, x: Array) -> tuple[Array, None]:
    """The number so far, with one more digit behind it."""
    return 10 * value + jaxnet.predict(params, x), None


number = jax.lax.scan(append, jnp.int32(0), images[:7])[0]
print(f"scan: the number {''.join(map(str, labels[:7]))} is read as {number}")

# %% lax.while_loop: a dim picture is brightened until the network is sure of it.
dim = 0.1 * images[0]


@jax.jit
def brighten(x: Array) -> Array:
    """The image, as bright as it takes."""
    return jax.lax.while_loop(lambda x: sureness(x) < 0.9, lambda x: 1.05 * x, x)


clear = brighten(dim)
print(
    f"while_loop: {clear.max() / dim.max():.1f} times as bright, the dim {labels[0]} is read as "
    f"{jaxnet.predict(params, clear)}, {sureness(clear):.2f} sure instead of {sureness(dim):.2f}"
)

# %% lax.cond: where a reading is unsure, and only there, it looks 16 times more.
noisy = images + 0.4 * jax.random.normal(key_noise, images.shape)


def look_closer(x: Array) -> Array:
    """The reading of the mean answer to the image, a little warped in 16 ways."""
    looks = jax.vmap(augment.affine, in_axes=(0, None))(jax.random.split(key_looks, 16), x)
    return jax.vmap(partial(jaxnet.logits, params))(looks).mean(0).argmax()


def read(x: Array) -> tuple[Array, Array]:
    """What is read, and whether at first sight."""
    at_once = sureness(x) > 0.9
    return jax.lax.cond(at_once, partial(jaxnet.predict, params), look_closer, x), at_once


second, at_once = jax.lax.map(read, noisy)
first = jax.vmap(partial(jaxnet.predict, params))(noisy)
right = [(answers == labels)[~at_once].mean() for answers in (first, second)]
print(f"cond: of {(~at_once).sum()} unsure readings, {right[0]:.0%} are right, {right[1]:.0%} then")
