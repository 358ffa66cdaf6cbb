"""The straight line between two trained networks: is there a barrier of high cost?

The order of hidden neurons is arbitrary. Reordering the second network's neurons to match the
first's changes none of its answers, but lowers the barrier. Draws a picture.
"""

import sys
from functools import partial

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

import jaxnet
from jaxnet.analysis import interpolate, match_neurons
from jaxnet.training import evaluate, fit

output = sys.argv[1] if len(sys.argv) > 1 else "line.png"
SIZES = (784, 128, 10)  # the wider a layer, the lower the barrier

key_images, key_starts, key_fit = jax.random.split(jax.random.key(0), 3)
images, labels = jaxnet.data.synthetic.sample(key_images, 5_000)
learn = partial(fit, optimizer=optax.adam(0.003), epochs=10, batch_size=100)
starts = jax.vmap(partial(jaxnet.init, sizes=SIZES))(jax.random.split(key_starts))
states, _ = jax.jit(jax.vmap(lambda p: learn(key_fit, images, labels, params=p)))(starts)
one, other = (jax.tree.map(lambda leaf, n=n: leaf[n], states.params) for n in range(2))

n = 25
over = jax.jit(jax.vmap(evaluate, in_axes=(0, None, None)))
figure = Figure(figsize=(7, 4), layout="constrained")
ax = figure.subplots()
for name, end, color in (
    ("as trained", other, "#c1440e"),
    ("neurons matched", match_neurons(other, like=one), "#1b6ca8"),
):
    costs = np.asarray(over(interpolate(one, end, n), images, labels).cost)
    print(f"{name}: cost {costs[0]:.4f} and {costs[-1]:.4f} at the ends, {costs.max():.4f} between")
    ax.plot(np.linspace(0, 1, n), costs, color=color, linewidth=2, label=name)
ax.set(xlabel="fraction of the way", ylabel="mean cost")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
figure.savefig(output, dpi=150)
