"""The neural tangent kernel: how much learning one image changes the output for another.

It is the inner product of the two images' gradients. At initialization, all images affect each
other; after training, mostly images of the same digit do. Draws a picture.

Source: Jacot, Gabriel and Hongler, "Neural tangent kernel: convergence and generalization in
neural networks", 2018.
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure

import jaxnet
from jaxnet.training import fit

output = sys.argv[1] if len(sys.argv) > 1 else "tangent_kernel.png"
key_start, key_images, key_fit = jax.random.split(jax.random.key(0), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 2_000)
known, unseen = slice(0, 200), slice(200, 400)


# %% The kernel, with `vmap` of `grad`: the gradients' inner products, summed over logits.
@jax.jit
def kernel(params: jaxnet.Params, images: Array) -> Array:
    """Returns one number per pair of images, shape `(n, n)`."""

    def logit(params: jaxnet.Params, x: Array, k: Array) -> Array:
        return jaxnet.logits(params, x)[k]

    def products(k: Array) -> Array:
        slopes = jax.vmap(jax.grad(logit), in_axes=(None, 0, None))(params, images, k)
        vectors = jax.vmap(lambda slope: ravel_pytree(slope)[0])(slopes)
        return vectors @ vectors.T

    return jax.lax.map(products, jnp.arange(10)).sum(0)


# %% What gradient descent would learn from 200 images if the kernel stayed constant.
def regression(k: Array) -> Array:
    """Returns the accuracy of kernel regression on 200 other images."""
    ridge = 1e-4 * jnp.trace(k[known, known]) / 200 * jnp.eye(200)
    answers = jax.nn.one_hot(labels[known], 10) - 0.1
    outputs = k[unseen, known] @ jnp.linalg.solve(k[known, known] + ridge, answers)
    return (outputs.argmax(1) == labels[unseen]).mean()


# %% The kernel before and after training, with images sorted by digit.
start = jaxnet.init(key_start)
learn = jax.jit(partial(fit, optimizer=optax.adam(0.01), epochs=10, batch_size=100))
state, _ = learn(key_fit, images, labels, params=start)
figure = Figure(figsize=(9, 4.6), layout="constrained")
order = labels[known].argsort(stable=True)
same = labels[known][:, None] == labels[known]
for ax, name, params in zip(
    figure.subplots(1, 2), ("before training", "after training"), (start, state.params), strict=True
):
    k = kernel(params, images[:400])
    length = jnp.sqrt(jnp.diag(k)[known])
    cosine = k[known, known] / jnp.outer(length, length)
    print(
        f"{name}: cosine of gradients {cosine[same].mean():.2f} within a digit, "
        f"{cosine[~same].mean():.2f} between digits; kernel regression {regression(k):.0%}"
    )
    ax.imshow(np.asarray(cosine[order][:, order]), cmap="gray", vmin=0, vmax=1)
    sizes = np.bincount(np.asarray(labels[known]), minlength=10)
    middles = sizes.cumsum() - sizes / 2
    ax.set(title=name, xticks=middles, xticklabels=range(10), yticks=middles)
    ax.set(yticklabels=range(10), xlabel="images of each digit")
figure.savefig(output, dpi=100)
