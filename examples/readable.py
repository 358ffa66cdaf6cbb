"""Do easy-to-read weights cost accuracy? Penalties of many strengths, in one `vmap`.

A penalty asks for smooth weights, for few, or for weights in one place. For each strength: the
accuracy, and how much of the second layer's weights an edge explains. Draws one against the other.
With `mnist` as the second argument, on MNIST's training images, the last 5,000 of them left out.
"""

import sys

import jax
import jax.numpy as jnp
import optax
from jax import Array

import jaxnet
from jaxnet.plot._probes import readability
from jaxnet.training import Penalty, locality, smoothness, sparsity

output = sys.argv[1] if len(sys.argv) > 1 else "readable.png"
key_start, key_fit, key_digits, key_new = jax.random.split(jax.random.key(0), 4)
if sys.argv[2:] == ["mnist"]:
    images, labels = map(jnp.asarray, jaxnet.data.load_mnist("train"))
    images, new_images = images[:-5_000] / 255, images[-5_000:] / 255
    labels, new_labels = labels[:-5_000], labels[-5_000:]
else:
    images, labels = jaxnet.data.synthetic.sample(key_digits, 10_000)
    new_images, new_labels = jaxnet.data.synthetic.sample(key_new, 5_000)
start, variance = jaxnet.init(key_start), images.var(0)


# %% One network for each strength of a penalty.
def sweep(penalty: Penalty, strengths: Array) -> tuple[Array, Array]:
    """Returns each network's accuracy and its mean R²."""

    def one(strength: Array) -> tuple[Array, Array]:
        state, _ = jaxnet.fit(
            key_fit,
            images,
            labels,
            optax.adam(optax.cosine_decay_schedule(0.02, 20 * (len(images) // 100))),
            epochs=20,
            batch_size=100,
            params=start,
            penalty=lambda params: strength * penalty(params),
        )
        fit = jax.vmap(jaxnet.analysis.edge_fit, in_axes=(0, None))
        explained = fit(state.params[0].weights, variance).explained.mean()
        return jaxnet.evaluate(state.params, new_images, new_labels), explained

    return jax.jit(jax.vmap(one))(strengths)


# %% The sweeps; the first strength of each is 0.
strengths = {
    "smoothness": (smoothness, jnp.array([0.0, 0.0003, 0.003, 0.03, 0.3, 1.0])),
    "sparsity": (sparsity, jnp.array([0.0, 0.0001, 0.0003, 0.001, 0.003, 0.01])),
    "locality": (locality, jnp.array([0.0, 0.003, 0.01, 0.03, 0.1, 0.3])),
}
results = {name: (values, *sweep(penalty, values)) for name, (penalty, values) in strengths.items()}
for name, (values, accuracy, explained) in results.items():
    print(name)
    for strength, a, r2 in zip(values, accuracy, explained, strict=True):
        print(f"  strength {strength:.4g}: accuracy {a:.1%}, mean R² {r2:.2f}")
readability(results).savefig(output, dpi=100)
