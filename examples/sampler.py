"""Hamiltonian Monte Carlo over all 13,002 weights and biases: every network that fits the data.

Networks are sampled in proportion to how well they explain a few images: the sampler gives all the
dials a push and lets them roll over the loss landscape. Where the sampled networks disagree, the
data do not determine the answer. Draws a picture.

Source: Neal, "MCMC using Hamiltonian dynamics", 2011.
"""

import sys
from typing import Any

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.stats import norm
from matplotlib.figure import Figure

import jaxnet
from jaxnet.analysis import vote
from jaxnet.training import evaluate, loss

output = sys.argv[1] if len(sys.argv) > 1 else "sampler.png"
key_start, key_images, key_steps = jax.random.split(jax.random.key(0), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 800)
known, unseen, unseen_labels = images[:300], images[300:], labels[300:]


# %% The log posterior: how well a network explains the labels, and a normal prior.
def log_density(params: jaxnet.Params) -> Array:
    """Returns the log density up to a constant; the prior is standard normal."""
    prior = sum(norm.logpdf(leaf).sum() for leaf in jax.tree.leaves(params))
    return prior - len(known) * loss(params, known, labels[:300])[0]


# %% Hamiltonian Monte Carlo: a push, then twenty short steps, again and again.
sampler: Any = blackjax.hmc(log_density, 0.03, jnp.ones(13_002), 20)


@jax.jit
def draw(params: jaxnet.Params) -> tuple[jaxnet.Params, Array]:
    """Returns 140 sampled networks and their acceptance rates."""

    def step(state: Any, key: Array):
        state, info = sampler.step(key, state)
        return state, (state.position, info.acceptance_rate)

    return jax.lax.scan(step, sampler.init(params), jax.random.split(key_steps, 140))[1]


everything, accepted = draw(jaxnet.init(key_start))
ensemble = jax.tree.map(lambda leaf: leaf[40:], everything)  # discard the burn-in
print(
    f"{jaxnet.count(ensemble) // 100:,} numbers sampled 100 times, {accepted.mean():.0%} accepted"
)

# %% The sampled networks, one by one and as an ensemble, and where they disagree.
accuracies = jax.vmap(evaluate, in_axes=(0, None, None))(ensemble, unseen, unseen_labels).accuracy
result = jax.vmap(vote, in_axes=(None, 0))(ensemble, unseen)
right = result.digit == unseen_labels
print(f"accuracy of one network {accuracies.mean():.1%}, of all together {right.mean():.1%}")
print(
    f"disagreement {result.disagreement[right].mean():.2f} where the ensemble is right, "
    f"{result.disagreement[~right].mean():.2f} where it is wrong"
)

# %% The six images they agree on most, and the six they agree on least.
order = result.disagreement.argsort()
figure = Figure(figsize=(9, 3.9), layout="constrained")
for ax, n in zip(figure.subplots(2, 6).flat, [*order[:6], *order[-6:]], strict=True):
    first, second = np.argsort(result.votes[n])[:-3:-1]
    doubt = f"\n{result.votes[n, second]:.0%} a {second}" if result.votes[n, second] else ""
    ax.imshow(np.asarray(unseen[n]).reshape(28, 28), cmap="gray")
    ax.set(title=f"{result.votes[n, first]:.0%} a {first}{doubt}", xticks=[], yticks=[])
figure.savefig(output, dpi=100)
