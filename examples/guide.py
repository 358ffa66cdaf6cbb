"""The guide: "But what is a neural network?", scene by scene.

Each cell is one scene of the video: a few lines that compute what it says, and a picture. The
twelve pictures are written to a folder. The last scenes lead to learning, the next video's subject.

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
from jaxnet import design, plot
from jaxnet.training import MeanCost, fit, quadratic_cost

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "guide")
folder.mkdir(exist_ok=True)
params = jaxnet.pretrained()
images, labels = jaxnet.data.synthetic.sample(jax.random.key(3), 2_000)
x = np.asarray(images[(labels == 3).argmax()])


def keep(name: str, figure: Figure) -> None:
    """Saves the picture of a scene."""
    figure.savefig(folder / f"{name}.png", dpi=80)


# %% Neurons. A neuron is "a thing that holds a number", between 0 and 1: its activation. An image
# of a three is 784 neurons, one per pixel, black at 0 and white at 1. Zoomed in, the numbers show.
print(f"1. neurons: {x.size}, the brightest {x.max():.2f}")
keep("1-neurons", plot.image(x.reshape(28, 28)[9:19, 9:19].ravel()))

# %% Layers. These 784 neurons are the first layer; the last has ten, one per digit. Between them
# are two hidden layers of sixteen. The activations in one layer determine those in the next.
layers = jaxnet.activations(params, x)
print("2. layers:", *(len(a) for a in layers), "- and the answer:", layers[-1].argmax())
keep("2-layers", plot.network(params, x))

# %% Weights. A neuron in the second layer multiplies all 784 activations by weights and adds them
# up. These weights are set by hand: positive where a stroke should be, negative around it.
w = design.edge(14, 6, 0.0, length=14)
print(f"3. weights: the sum is {w @ x:+.2f} here, {w @ jnp.ones(784):+.2f} on a white image")
by_hand = (jaxnet.Layer(w[None], jnp.zeros(1)),)
keep("3-weights", plot.weights(by_hand, layer=1, neuron=0))

# %% The grid of weights. The learned weights can be drawn the same way: green is positive, red is
# negative. Does the network look for edges? The video asks, and its sequel answers: not really.
keep("4-grid-of-weights", plot.weights(params))
print("4. the grid of weights:", params[0].weights[0].reshape(28, 28).shape, "per neuron")

# %% Squashing. A weighted sum can be any number; the sigmoid squashes it into the range from 0 to
# 1. ReLU came later: it is 0 for negative sums, the identity for others, and easier to train.
z = np.linspace(-6, 6, 121, dtype=np.float32)
figure = Figure(figsize=(7, 3.5), layout="constrained")
ax = figure.subplots()
ax.plot(z, jax.nn.sigmoid(z), color="#1b6ca8", linewidth=2, label="sigmoid")
ax.plot(z, jax.nn.relu(z), color="#c1440e", linewidth=2, label="ReLU")
ax.set(xlabel="weighted sum", ylabel="activation", ylim=(-0.1, 2), xlim=(-6, 6))
ax.legend(frameon=False)
keep("5-squashing", figure)
print(f"5. squashing: {jax.nn.sigmoid(-6.0):.3f}, {jax.nn.sigmoid(0.0)}, {jax.nn.sigmoid(6.0):.3f}")

# %% The bias. For a neuron to be active only when its weighted sum exceeds 10, add −10 before
# squashing. The weights say what pattern it looks for; the bias says how high the sum must be.
total = jaxnet.analysis.weighted_sum(params, x, layer=1, neuron=0)
threshold = -params[0].biases[0]
print(f"6. the bias: a sum of {total + threshold:+.2f} against a threshold of {threshold:+.2f}")
keep("6-bias", plot.contributions(params, x, layer=1, neuron=0))

# %% Counting. Each neuron is connected to all neurons in the previous layer, and has a bias.
counted = 784 * 16 + 16 * 16 + 16 * 10 + 16 + 16 + 10
print(f"7. counting: {counted:,} dials, {jaxnet.count(params):,} of them in the pytree")
keep("7-dials", plot.weights(params, layer=2))

# %% The matrix form. The weights of a layer form a matrix with one row per neuron. The whole layer
# is a matrix product, a sum of vectors, and a sigmoid: a' = σ(W a + b).
W, b = jax.tree.map(np.asarray, params[0])
one_by_one = [sum(W[n, k] * x[k] for k in range(784)) + b[n] for n in range(16)]
a = jax.nn.sigmoid(W @ x + b)
print(f"8. the matrix form: {a[0]:.4f}, neuron by neuron: {jax.nn.sigmoid(one_by_one[0]):.4f}")
keep("8-matrix-form", plot.activations(params, x))

# %% A function. The network is a function with 784 numbers in, ten out, and 13,002 parameters. It
# can be compiled, mapped over many images, and differentiated, here with respect to the pixels.
classify = jax.jit(partial(jaxnet.forward, params))
print("9. a function:", *(f"{number:.2f}" for number in classify(x)))
keep("9-function", plot.saliency(params, x))

# %% The hope. One would hope that the second layer picks up on edges, the third on components such
# as a loop above. Does it? For each neuron: the best-fitting edge and the best-detected component.
probe = partial(jaxnet.analysis.probe, jax.random.key(5), images=images, labels=labels)
print("10. the hope:", probe(params).summary())
keep("10-hope", plot.probe(probe(params), params))

# %% The hope fulfilled. Such a network exists: trained with edges for its second layer, its places
# and angles learned, and a third layer that was taught components.
hoped_for = jaxnet.pretrained("components")
print("11. the hope fulfilled:", probe(hoped_for).summary())
keep("11-hope-fulfilled", plot.probe(probe(hoped_for), hoped_for))

# %% Cost. The network can also be differentiated with respect to its dials. The cost says how bad
# it is: high for an untrained network. The gradient says which way to turn each dial.
untrained = jaxnet.init(jax.random.key(2))
cost, slope = jax.value_and_grad(lambda p: quadratic_cost(jaxnet.logits(p, x), 3))(untrained)
print(f"12. learning: a cost of {cost:.2f}, and a gradient of {jaxnet.count(slope):,} numbers")

# %% Learning. Follow the gradient downhill, batch after batch.
options = {"epochs": 20, "batch_size": 100, "loss": MeanCost(quadratic_cost)}
learn = jax.jit(partial(fit, optimizer=optax.adam(0.01), **options))
state, history = learn(jax.random.key(4), images, labels, params=untrained)
print(f"    after 20 epochs on {len(images):,} images, {history.cost[-1]:.2f}")
keep("12-learning", plot.learning_curves(history))
