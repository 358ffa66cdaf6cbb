"""Thirteen thousand dials set by hand: no images and no training, and yet it classifies digits.

Prints what each hidden neuron looks for and the accuracy. Draws a picture, and writes the
interactive page of this network.
"""

import sys
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

import jaxnet
from jaxnet import FileError, plot
from jaxnet.data import load_mnist
from jaxnet.design import FIRST, SECOND, handmade

output = Path(sys.argv[1] if len(sys.argv) > 1 else "by_hand.png")
params = handmade()

for layer, neurons in (("second", FIRST), ("third", SECOND)):
    print(f"The neurons of the {layer} layer, and what each looks for:")
    for name, neuron in neurons.items():
        print(f"  {name:14} {neuron.looks_for}")


def accuracy(images: jax.Array | np.ndarray, labels: jax.Array | np.ndarray) -> float:
    """Returns the share of images that are classified correctly."""
    return float((jaxnet.classify(params, images).digits == np.asarray(labels)).mean())


drawn = jaxnet.data.synthetic.sample(jax.random.key(0), 2_000)
print(f"Accuracy on synthetic digits: {accuracy(*drawn):.1%}; chance is 10%.")
try:
    print(f"Accuracy on MNIST's test images: {accuracy(*load_mnist('test', mirrors=())):.2%}.")
except FileError as error:
    print(error)

figure = Figure(figsize=(9, 10), layout="constrained")
plot.weights(params, layer=1, figure=figure)
figure.savefig(output, dpi=100)
output.with_suffix(".html").write_text(jaxnet.page(params).html, encoding="utf-8")
