"""Not one network but all that fit: a Hamiltonian sampler over all 13,002 weights and biases.

Networks are drawn in proportion to how well they explain a few images: the sampler pushes all the
dials at once, and lets them roll over the landscape of the cost. What the drawn networks disagree
on, the images did not decide. Draws a picture.

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
from jaxnet.training import evaluate, mean_cost

output = sys.argv[1] if len(sys.argv) > 1 else "sampler.png"
key_start, key_images, key_steps = jax.random.split(jax.random.key(0), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 800)
known, unseen, shown = images[:300], images[300:], labels[300:]


# %% How likely a network is: how well it explains the labels, and no number far from zero.
def log_density(params: jaxnet.Params) -> Array:
    """Up to a constant; each number a standard normal one before any image is seen."""
    prior = sum(norm.logpdf(leaf).sum() for leaf in jax.tree.leaves(params))
    return prior - len(known) * mean_cost(params, known, labels[:300])


# %% Hamiltonian Monte Carlo: a push, then a roll of twenty short steps, and so on.
sampler: Any = blackjax.hmc(log_density, 0.03, jnp.ones(13_002), 20)


@jax.jit
def draw(params: jaxnet.Params) -> tuple[jaxnet.Params, Array]:
    """The networks on the sampler's way, and the chance that each roll was accepted."""

    def step(state: Any, key: Array):
        state, info = sampler.step(key, state)
        return state, (state.position, info.acceptance_rate)

    return jax.lax.scan(step, sampler.init(params), jax.random.split(key_steps, 140))[1]


everything, accepted = draw(jaxnet.init(key_start))
ensemble = jax.tree.map(lambda leaf: leaf[40:], everything)  # the first are on the way there
print(f"{jaxnet.count(ensemble) // 100:,} numbers drawn 100 times, {accepted.mean():.0%} accepted")

# %% The drawn networks, one by one and together, and what they disagree on.
shares = jax.vmap(evaluate, in_axes=(0, None, None))(ensemble, unseen, shown)
result = jax.vmap(vote, in_axes=(None, 0))(ensemble, unseen)
right = result.digit == shown
print(f"one network reads {shares.mean():.1%}, all together {right.mean():.1%}")
print(
    f"they disagree by {result.disagreement[right].mean():.2f} on what they read rightly, "
    f"by {result.disagreement[~right].mean():.2f} on what they misread"
)

# %% The six digits that they agree on most, and the six that they agree on least.
order = result.disagreement.argsort()
figure = Figure(figsize=(9, 3.9), layout="constrained")
for ax, n in zip(figure.subplots(2, 6).flat, [*order[:6], *order[-6:]], strict=True):
    first, second = np.argsort(result.votes[n])[:-3:-1]
    doubt = f"\n{result.votes[n, second]:.0%} a {second}" if result.votes[n, second] else ""
    ax.imshow(np.asarray(unseen[n]).reshape(28, 28), cmap="gray")
    ax.set(title=f"{result.votes[n, first]:.0%} a {first}{doubt}", xticks=[], yticks=[])
figure.savefig(output, dpi=100)
