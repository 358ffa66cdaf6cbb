"""Plots of a network, with matplotlib.

    plot.weights(params, layer=1).savefig("weights.png")    # what each neuron looks for
    plot.saliency(params, x)                                # which pixels decide the answer

Every function returns a figure, except `flow` and `weights_learning`, which write GIF files. Pass
`figure=` to draw into a part of your own figure, and `colors="safe"` for blue and orange instead of
the video's green and red. `jaxnet draw` draws the same plots from the command line.
"""

from jaxnet.plot._animations import flow as flow
from jaxnet.plot._animations import weights_learning as weights_learning
from jaxnet.plot._attributions import contributions as contributions
from jaxnet.plot._attributions import exciting as exciting
from jaxnet.plot._attributions import saliency as saliency
from jaxnet.plot._boxes import boxes as boxes
from jaxnet.plot._diagram import network as network
from jaxnet.plot._grids import weights as weights
from jaxnet.plot._neurons import activations as activations
from jaxnet.plot._neurons import image as image
from jaxnet.plot._probes import probe as probe
from jaxnet.plot._results import confusion as confusion
from jaxnet.plot._results import learning_curves as learning_curves
from jaxnet.plot._results import misclassified as misclassified
