"""The video's hope, learned: a network whose second layer is sixteen edges, and nothing else.

What is learned of each neuron of that layer are seven numbers: the place, angle and size of an
edge, a gain and a threshold. They go through `jaxnet.design`, which is differentiable like all
else. Prints the accuracy, and draws the edges.
"""

import sys

import jax
import jax.numpy as jnp
import optax
from jax import Array

import jaxnet
from jaxnet import Layer, Params, plot
from jaxnet.design import Edges, edge_layer
from jaxnet.training import MeanCost

output = sys.argv[1] if len(sys.argv) > 1 else "edges.png"
key_start, key_rest, key_digits, key_fit, key_new = jax.random.split(jax.random.key(0), 5)

# x, y, angle, length, width, gain, threshold: the least and the most of each.
LOW = jnp.array([0.0, 0.0, -jnp.pi, 1.0, 2.0, -30.0, -1.0])[:, None]
HIGH = jnp.array([27.0, 27.0, 2 * jnp.pi, 30.0, 12.0, 30.0, 1.0])[:, None]


# %% What is learned, and the network that it makes.
def network(learned: tuple[Array, tuple[Layer, ...]]) -> Params:
    """A layer of edges, then layers of free weights."""
    numbers, rest = learned
    edges = Edges(*(LOW + (HIGH - LOW) * jax.nn.sigmoid(numbers)))
    return (edge_layer(edges), *rest)


_, *rest = jaxnet.init(key_rest)
start = jax.random.uniform(key_start, (7, 16), minval=-1.0), tuple(rest)

# %% Learning: the places of the edges move until the digits can be told apart.
images, labels = jaxnet.data.synthetic.sample(key_digits, 20_000)
state, history = jaxnet.fit(
    key_fit,
    images,
    labels,
    optax.adam(optax.cosine_decay_schedule(0.05, 40 * 100)),
    epochs=40,
    batch_size=200,
    params=start,
    loss=MeanCost(network=network),
)
params = network(state.params)
n_learned = sum(leaf.size for leaf in jax.tree.leaves(start))
print(f"{n_learned} numbers learned instead of {jaxnet.count(params):,}")
score = jaxnet.evaluate(params, *jaxnet.data.synthetic.sample(key_new, 5_000))
print(f"accuracy on new digits: {score.accuracy:.1%}")

# %% Are they edges? Asked of the weights alone, by a fit of all edges there are.
fit = jax.vmap(jaxnet.analysis.edge_fit)
for name, asked in (("here", params), ("in a free network", jaxnet.pretrained())):
    print(f"share of the weights that an edge explains, {name}:", end=" ")
    print(f"{fit(asked[0].weights).explained.mean():.2f}")
plot.weights(params, layer=1).savefig(output, dpi=100)
