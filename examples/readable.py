"""Do easy-to-read weights cost accuracy? Penalties of many strengths, in one `vmap`.

A penalty asks for smooth weights, for few, or for weights in one place. For each strength: the
accuracy, and how much of the second layer's weights an edge explains. Draws one against the other.
With `mnist` as the second argument, on MNIST's training images, the last 5,000 of them left out.
"""

import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from matplotlib.figure import Figure

import jaxnet
from jaxnet.training import loss

output = sys.argv[1] if len(sys.argv) > 1 else "readable.png"
key_start, key_fit, key_digits, key_new = jax.random.split(jax.random.key(0), 4)
if sys.argv[2:] == ["mnist"]:
    images, labels = map(jnp.asarray, jaxnet.data.load_mnist("train"))
    seen, unseen = (images[:-5_000], labels[:-5_000]), (images[-5_000:], labels[-5_000:])
else:
    seen, unseen = (jaxnet.data.synthetic.sample(k, 10_000) for k in (key_digits, key_new))
start, variance = jaxnet.init(key_start), (seen[0] / seen[0].max()).var(0)


# %% Three penalties on weights, each of shape (neurons, 28, 28).
def smoothness(w: Array) -> Array:
    """The squared differences between neighboring weights."""
    return (jnp.diff(w, axis=1) ** 2).sum() + (jnp.diff(w, axis=2) ** 2).sum()


def locality(w: Array) -> Array:
    """The squared weights, each times its squared distance from its neuron's center of mass."""
    place = jnp.stack(jnp.mgrid[:28, :28])[:, None] / 28
    center = (w**2 * place).sum((2, 3), keepdims=True) / (w**2).sum((1, 2))[None, :, None, None]
    return (w**2 * (place - center) ** 2).sum()


# %% One network for each strength of a penalty.
def sweep(penalty: Callable[[Array], Array], strengths: Array) -> tuple[Array, Array]:
    """Returns each network's accuracy and its mean R²."""

    def one(strength: Array) -> tuple[Array, Array]:
        def penalized(params: jaxnet.Params, *batch: Any) -> tuple[Array, Any]:
            cost, metrics = loss(params, *batch)
            return cost + strength * penalty(params[0].weights.reshape(-1, 28, 28)), metrics

        adam = optax.adam(optax.cosine_decay_schedule(0.02, 20 * (len(seen[0]) // 100)))
        options: Any = {"epochs": 20, "batch_size": 100, "params": start, "loss": penalized}
        params: jaxnet.Params = jaxnet.fit(key_fit, *seen, adam, **options)[0].params
        edges = jax.vmap(jaxnet.analysis.edge_fit, in_axes=(0, None))(params[0].weights, variance)
        return jaxnet.evaluate(params, *unseen).accuracy, edges.explained.mean()

    return jax.jit(jax.vmap(one))(strengths)


# %% The sweeps; the first strength of each is 0.
figure = Figure(figsize=(8.4, 5.6), layout="constrained")
ax = figure.subplots()
for name, penalty, strengths in (
    ("smoothness", smoothness, jnp.array([0.0, 0.0003, 0.003, 0.03, 0.3, 1.0])),
    ("sparsity", lambda w: abs(w).sum(), jnp.array([0.0, 0.0001, 0.0003, 0.001, 0.003, 0.01])),
    ("locality", locality, jnp.array([0.0, 0.003, 0.01, 0.03, 0.1, 0.3])),
):
    accuracy, explained = sweep(penalty, strengths)
    print(name)
    for strength, a, r2 in zip(strengths, accuracy, explained, strict=True):
        print(f"  strength {strength:.4g}: accuracy {a:.1%}, mean R² {r2:.2f}")
    ax.plot(explained, 100 * accuracy, "o-", label=name)
ax.set(xlabel="mean R² of the best-fitting edges", ylabel="accuracy (%)")
ax.legend(frameon=False)
figure.savefig(output, dpi=100)
