"""The gallery: every plot, drawn for the trained network.

Writes the pictures to a folder.
"""

import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import optax

import jaxnet
from jaxnet import plot
from jaxnet.training import fit

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "gallery")
folder.mkdir(exist_ok=True)

params = jaxnet.pretrained()
x = jaxnet.data.synthetic.draw(jax.random.key(0), 7)
images, labels = jaxnet.data.synthetic.sample(jax.random.key(1), 10_000)
answers = jaxnet.classify(params, images)
report = jaxnet.analysis.probe(jax.random.key(3), params, images, labels)

key_start, key_fit = jax.random.split(jax.random.key(2))
learn = jax.jit(partial(fit, optimizer=optax.adam(0.003), epochs=1, batch_size=100))
snapshots, histories = [jaxnet.init(key_start)], []
for key in jax.random.split(key_fit, 20):
    state, history = learn(key, images[:2000], labels[:2000], params=snapshots[-1])
    snapshots.append(state.params)
    histories.append(history)
history = jax.tree.map(lambda *parts: np.concatenate(parts), *histories)

pictures = {
    "image": plot.image(x),
    "zoom": plot.image(x.reshape(28, 28)[9:19, 9:19].ravel()),
    "activations": plot.activations(params, x),
    "network": plot.network(params, x),
    "weights": plot.weights(params),
    "weights-of-one": plot.weights(params, layer=1, neuron=1),
    "weights-deeper": plot.weights(params, layer=2),
    "contributions": plot.contributions(params, x, layer=1, neuron=1),
    "contributions-deeper": plot.contributions(params, x, layer=3, neuron=7),
    "exciting": plot.exciting(params, layer=1),
    "exciting-outputs": plot.exciting(params, layer=3),
    "exciting-drawings": plot.exciting(params, layer=2, natural=True),
    "probe": plot.probe(report, params),
    "saliency": plot.saliency(params, x),
    "confusion": plot.confusion(answers, labels),
    "misclassified": plot.misclassified(images, answers, labels),
    "learning-curves": plot.learning_curves(history),
}
for name, figure in pictures.items():
    figure.savefig(folder / f"{name}.png", dpi=120)
plot.flow(folder / "flow.gif", params, x)
plot.weights_learning(folder / "weights-learning.gif", snapshots)

print(f"{len(pictures)} pictures, 2 animations: {folder}")
