"""Through the video, scene by scene: "But what is a neural network?", in code and pictures.

Each cell is one scene: a few lines that compute what is said, and a picture of it. Ten pictures go
into a folder, named by scene; the last two scenes lead on to learning, the next video's subject.

Source: 3Blue1Brown, "But what is a neural network?", 2017.
"""

import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

import jaxnet
from jaxnet import design
from jaxnet.plot import (
    _attributions as attributions,
)
from jaxnet.plot import (
    _canvas as canvas,
)
from jaxnet.plot import (
    _diagram as diagram,
)
from jaxnet.plot import (
    _grids as grids,
)
from jaxnet.plot import (
    _neurons as neurons,
)
from jaxnet.plot import (
    _results as results,
)
from jaxnet.training import fit, quadratic_cost

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "guide")
folder.mkdir(exist_ok=True)
params = jaxnet.pretrained()
images, labels = jaxnet.data.synthetic.sample(jax.random.key(3), 2_000)
x = np.asarray(images[(labels == 3).argmax()])


def keep(name: str, figure: Figure) -> None:
    """Saves a scene's picture."""
    figure.savefig(folder / f"{name}.png", dpi=80)


# %% Neurons. "A thing that holds a number, between 0 and 1": its activation. The image of a three
# is 784 of them, one a pixel, black at 0 and white at 1. Up close, each shows its number.
print(f"1. neurons: {x.size}, the brightest {x.max():.2f}")
keep("1-neurons", neurons.image(x.reshape(28, 28)[9:19, 9:19].ravel()))

# %% Layers. The 784 are the first layer; the last has ten neurons, one a digit, and between them
# are two hidden layers of sixteen. Activations in one layer determine those of the next.
layers = jaxnet.activations(params, x)
print("2. layers:", *(len(a) for a in layers), "- and the answer:", layers[-1].argmax())
keep("2-layers", diagram.network(params, x))

# %% Weights. One neuron of the second layer takes all 784 activations, each times a weight, and
# adds them up. Set by hand: positive where a stroke is hoped for, negative around it.
w = design.edge(14, 6, 0.0, length=14)
print(f"3. weights: the sum is {w @ x:+.2f} here, {w @ jnp.ones(784):+.2f} where all is white")
by_hand = (jaxnet.Layer(w[None], jnp.zeros(1)),)
keep("3-weights", grids.weights(by_hand, layer=1, neuron=0))

# %% The grid of weights. Those that the network learned can be seen the same way: green positive,
# red negative. Are they edges? The video asks it, and its sequel says: not quite.
keep("4-grid-of-weights", grids.weights(params))
print("4. the grid of weights:", params[0].weights[0].reshape(28, 28).shape, "for each neuron")

# %% Squashing. The weighted sum can be any number; the sigmoid squashes it between 0 and 1. ReLU
# came later: it is 0 below a threshold and lets through the rest, and is easier to train.
z = np.linspace(-6, 6, 121, dtype=np.float32)
figure = canvas.whole(canvas.sheet(None, 7, 3.5))
ax = canvas.ruled(figure.subplots())
ax.plot(z, jax.nn.sigmoid(z), color="#5ab4ff", linewidth=2)
ax.plot(z, jax.nn.relu(z), color="#ff8a4c", linewidth=2)
ax.set(xlabel="weighted sum", ylabel="activation", ylim=(-0.1, 2), xlim=(-6, 6))
canvas.caption(figure, "The sigmoid (blue), and ReLU (orange)")
keep("5-squashing", figure)
print(f"5. squashing: {jax.nn.sigmoid(-6.0):.3f}, {jax.nn.sigmoid(0.0)}, {jax.nn.sigmoid(6.0):.3f}")

# %% The bias. Should the neuron be active only when the sum is more than 10, add −10 before
# squashing. Weights say what pattern it looks for, the bias how high the sum must be.
total = jaxnet.analysis.weighted_sum(params, x, layer=1, neuron=0)
threshold = -params[0].biases[0]
print(f"6. the bias: a sum of {total + threshold:+.2f} against a threshold of {threshold:+.2f}")
keep("6-bias", attributions.contributions(params, x, layer=1, neuron=0))

# %% Counting. Every neuron is connected to all of the layer before, and has a bias.
counted = 784 * 16 + 16 * 16 + 16 * 10 + 16 + 16 + 10
print(f"7. counting: {counted:,} dials, {jaxnet.count(params):,} of them in the tree")
keep("7-dials", grids.weights(params, layer=2))

# %% The matrix form. All weights of a layer are a matrix, a row a neuron; the whole layer is one
# matrix product, one sum of vectors, one sigmoid: a' = σ(W a + b).
W, b = jax.tree.map(np.asarray, params[0])
one_by_one = [sum(W[n, k] * x[k] for k in range(784)) + b[n] for n in range(16)]
a = jax.nn.sigmoid(W @ x + b)
print(f"8. the matrix form: {a[0]:.4f}, neuron by neuron: {jax.nn.sigmoid(one_by_one[0]):.4f}")
keep("8-matrix-form", neurons.activations(params, x))

# %% The whole is a function: 784 numbers in, ten out, and 13,002 parameters. So it can be
# compiled, mapped over many images, and differentiated: by each pixel, say.
read = jax.jit(partial(jaxnet.forward, params))
print("9. the whole is a function:", *(f"{number:.2f}" for number in read(x)))
keep("9-function", attributions.saliency(params, x))

# %% And it can be differentiated by its dials. The cost of a network that was never taught is
# high; one number that says how bad it is, and whose slope says which way to turn each dial.
untaught = jaxnet.init(jax.random.key(2))
cost, slope = jax.value_and_grad(lambda p: quadratic_cost(jaxnet.logits(p, x), 3))(untaught)
print(f"10. learning: a cost of {cost:.2f}, and {jaxnet.count(slope):,} slopes")

# %% Down those slopes, image after image: this is learning.
learn = jax.jit(
    partial(fit, optimizer=optax.adam(0.01), epochs=20, batch_size=100, cost=quadratic_cost)
)
state, history = learn(jax.random.key(4), images, labels, params=untaught)
print(f"    after twenty times through {len(images):,} images, {history.cost[-1]:.2f}")
keep("10-learning", results.learning_curves(history))
