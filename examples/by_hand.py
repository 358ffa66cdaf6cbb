"""Thirteen thousand dials turned by reason alone: no images, no training, and yet it reads.

Says what each hidden neuron looks for and how many digits are read. Draws a picture, and makes
the page on which the network can be drawn for, looked into and changed.
"""

import sys
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

import jaxnet
from jaxnet._util.files import FileError
from jaxnet.data import load_mnist
from jaxnet.design import FIRST, SECOND, handmade
from jaxnet.plot import _grids

output = Path(sys.argv[1] if len(sys.argv) > 1 else "by_hand.png")
params = handmade()

for layer, neurons in (("second", FIRST), ("third", SECOND)):
    print(f"The neurons of the {layer} layer, and what each looks for:")
    for name, neuron in neurons.items():
        print(f"  {name:14} {neuron.looks_for}")


def share_read(images: jax.Array | np.ndarray, labels: jax.Array | np.ndarray) -> float:
    """The share of images that the network reads rightly."""
    return float((jaxnet.classify(params, images).digits == np.asarray(labels)).mean())


drawn = jaxnet.data.synthetic.sample(jax.random.key(0), 2_000)
print(f"Of digits that the program draws, it reads {share_read(*drawn):.1%}; chance is 10 %.")
try:
    print(f"Of MNIST's test images, it reads {share_read(*load_mnist('test', mirrors=())):.2%}.")
except FileError as error:
    print(error)

figure = Figure(figsize=(9, 10), layout="constrained")
_grids.weights(params, layer=1, figure=figure)
figure.savefig(output, dpi=100)
output.with_suffix(".html").write_text(jaxnet.page(params).html, encoding="utf-8")
