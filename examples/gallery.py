"""Draws every picture there is of the trained network, into a folder."""

import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import optax

import jaxnet
from jaxnet._util.files import replacing
from jaxnet.plot import (
    _animations as animations,
)
from jaxnet.plot import (
    _attributions as attributions,
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
from jaxnet.training import fit

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "gallery")
folder.mkdir(exist_ok=True)

params = jaxnet.pretrained()
x = jaxnet.data.synthetic.draw(jax.random.key(0), 7)
images, labels = jaxnet.data.synthetic.sample(jax.random.key(1), 10_000)
answers = jaxnet.classify(params, images)

key_start, key_fit = jax.random.split(jax.random.key(2))
learn = jax.jit(partial(fit, optimizer=optax.adam(0.003), epochs=1, batch_size=100))
snapshots, histories = [jaxnet.init(key_start)], []
for key in jax.random.split(key_fit, 20):
    state, history = learn(key, images[:2000], labels[:2000], params=snapshots[-1])
    snapshots.append(state.params)
    histories.append(history)
history = jax.tree.map(lambda *parts: np.concatenate(parts), *histories)

pictures = {
    "image": neurons.image(x),
    "zoom": neurons.image(x.reshape(28, 28)[9:19, 9:19].ravel()),
    "activations": neurons.activations(params, x),
    "network": diagram.network(params, x),
    "weights": grids.weights(params),
    "weights-of-one": grids.weights(params, layer=1, neuron=1),
    "weights-deeper": grids.weights(params, layer=2),
    "contributions": attributions.contributions(params, x, layer=1, neuron=1),
    "contributions-deeper": attributions.contributions(params, x, layer=3, neuron=7),
    "exciting": attributions.exciting(params, layer=1),
    "exciting-outputs": attributions.exciting(params, layer=3),
    "saliency": attributions.saliency(params, x),
    "confusion": results.confusion(answers, labels),
    "misread": results.misread(images, answers, labels),
    "learning-curves": results.learning_curves(history),
}
for name, figure in pictures.items():
    with replacing(folder / f"{name}.png") as file:
        figure.savefig(file, format="png", dpi=120)
animations.flow(folder / "flow.gif", params, x)
animations.weights_learning(folder / "weights-learning.gif", snapshots)

print(f"{len(pictures)} pictures, 2 animations: {folder}")
