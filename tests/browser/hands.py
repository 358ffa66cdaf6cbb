"""What a person does on the page, and what one sees: for all tests of it."""

import base64
import io
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from PIL import Image

import jaxnet
from jaxnet._page import page


@cache
def text_of(sizes=None, squash="sigmoid", last_squash="sigmoid", seed=0):
    params = random(sizes, seed) if sizes else None
    return page(params, squash=squash, last_squash=last_squash).html


def random(sizes, seed=0):
    """A random network with biases that are not zero."""
    key, *keys = jax.random.split(jax.random.key(seed), len(sizes))
    layers = jaxnet.init(key, sizes)
    return tuple(
        w._replace(biases=jax.random.normal(k, w.biases.shape))
        for k, w in zip(keys, layers, strict=True)
    )


def images_of(n):
    """Drawn digits, of 256 grays as in a file."""
    images = np.asarray(jaxnet.data.synthetic.sample(jax.random.key(7), n)[0])
    return np.rint(255 * images) / np.float32(255)


def read_in(tab, images):
    """Each layer's activations of many images, by the page's own network."""
    pixels = base64.b64encode(np.rint(255 * images).astype(np.uint8).tobytes()).decode()
    layers = tab.evaluate(
        """(pixels) => {
        const images = Float64Array.from(atob(pixels), (c) => c.charCodeAt(0) / 255);
        return Array.from({ length: images.length / 784 }, (_, k) =>
            jaxnet.activations(images.subarray(784 * k, 784 * (k + 1))).slice(1));
        }""",
        pixels,
    )
    return [np.array(layer) for layer in zip(*layers, strict=True)]


def pen(tab, points, canvas="#pad", side=28):
    """Draws a line through points, in pixels of the image, with the mouse."""
    canvas = tab.locator(canvas)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    at = [
        (box["x"] + box["width"] * (x + 0.5) / side, box["y"] + box["height"] * (y + 0.5) / side)
        for x, y in points
    ]
    tab.mouse.move(*at[0])
    tab.mouse.down()
    for place in at[1:]:
        tab.mouse.move(*place, steps=8)
    tab.mouse.up()


def frame(tab):
    """Waits until what has happened is shown."""
    tab.evaluate("() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))")


def draw(tab, digit):
    strokes = {
        0: [[(14, 5), (9, 9), (8, 14), (9, 19), (14, 23), (19, 19), (20, 14), (19, 9), (14, 5)]],
        1: [[(14, 5), (14, 23)]],
        4: [[(10, 5), (8, 14), (20, 14)], [(17, 5), (17, 23)]],
        7: [[(8, 6), (20, 6), (13, 23)]],
    }[digit]
    tab.click("#clear")
    for stroke in strokes:
        pen(tab, stroke)
    frame(tab)


def answer(tab):
    return tab.inner_text("#answer")


def params_of(tab):
    layers = tab.evaluate(
        """jaxnet.params.layers.map(({ weights, biases }) =>
            [weights.flatMap((row) => Array.from(row)), Array.from(biases)])"""
    )
    return tuple(
        jaxnet.Layer(jnp.array(w, jnp.float32).reshape(len(b), -1), jnp.array(b, jnp.float32))
        for w, b in layers
    )


def flat(tree):
    """All numbers of a network, in the order of its tree."""
    return np.asarray(ravel_pytree(tree)[0])


def colors(tab, canvas):
    """The pixels of a canvas, shape (rows, columns, 3)."""
    url = tab.locator(canvas).evaluate("canvas => canvas.toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) as picture:
        return np.asarray(picture.convert("RGB"), int)


def still(tab, canvas="#network"):
    """The pixels of a canvas once all is drawn, what a neuron's loss costs with it."""
    now = colors(tab, canvas)
    while True:
        tab.wait_for_timeout(600)
        before, now = now, colors(tab, canvas)
        if np.array_equal(before, now):
            return now
