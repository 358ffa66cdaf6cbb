"""Design: weights set by hand, from edge detectors and logic gates to a digit classifier.

    top = threshold(edge(14, 6, 0.0), 0.2, steepness=14)  # a neuron: a horizontal stroke at the top
    bottom = threshold(edge(13, 21, 0.0), 0.2, steepness=14)
    first = layer([top, bottom])                          # a jaxnet.Layer over the image
    second = layer([all_of(jnp.array([1.0, -1.0]))])      # on if the first is on, the second off
    jaxnet.forward((first, second), x)

In an image, `x` counts pixels to the right and `y` downwards, from the center of the top-left
pixel: pixel `(x, y)` has index `y * side + x`. The center of a 28×28 image is at (13.5, 13.5);
MNIST puts a digit's center of mass at (14, 14). Angles are in radians, counterclockwise as seen:
0 is a horizontal stroke, π / 2 a vertical one. Detectors and gates are pure functions, and work
under `jit` (with `side` static), `vmap` and `grad`.

`handmade` puts them together to a network of the video's size. Its first hidden layer looks for
ink: horizontal and vertical strokes, spots that are inked or empty, more ink on one side than on
the other. The second combines these into figures, one per digit, and into loops, legs and openings
that several digits share. The last layer weighs a digit's own figure against the evidence for other
digits. It relies on how digits are written, and on MNIST's framing: 20 pixels high, centered at
(14, 14), leaning slightly to the right.

Each neuron of the last two layers measures how much of its evidence is there. A figure must exceed
the fraction that its nearest rival reaches: a 4 has most of what makes a 9. These fractions were
set by reasoning and by looking at a few synthetic digits, and the whole was evaluated on MNIST's
training set fifteen times while tuning.

Source: 3Blue1Brown, "But what is a neural network?", 2017, from "edge detection" on, which imagines
such neurons and such a network.
"""

from jaxnet.design._detectors import Edges as Edges
from jaxnet.design._detectors import Neuron as Neuron
from jaxnet.design._detectors import all_of as all_of
from jaxnet.design._detectors import any_of as any_of
from jaxnet.design._detectors import at_least as at_least
from jaxnet.design._detectors import edge as edge
from jaxnet.design._detectors import edge_layer as edge_layer
from jaxnet.design._detectors import layer as layer
from jaxnet.design._detectors import most_of as most_of
from jaxnet.design._detectors import none_of as none_of
from jaxnet.design._detectors import region as region
from jaxnet.design._detectors import threshold as threshold
from jaxnet.design._digits import FIRST as FIRST
from jaxnet.design._digits import SECOND as SECOND
from jaxnet.design._digits import THIRD as THIRD
from jaxnet.design._digits import Detector as Detector
from jaxnet.design._digits import Evidence as Evidence
from jaxnet.design._digits import handmade as handmade
