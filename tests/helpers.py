"""The network once more, twice over, in float64 and without JAX: what jaxnet is held against."""

import math

import numpy as np


def float64(params):
    return [(np.asarray(w, np.float64), np.asarray(b, np.float64)) for w, b in params]


def neuron_by_neuron(params, x):
    """The video's way: each neuron sums its inputs' activations by its weights, and squashes."""
    a = [float(v) for v in np.asarray(x, np.float64)]
    for weights, biases in float64(params):
        layer = []
        for row, bias in zip(weights.tolist(), biases.tolist(), strict=True):
            weighted_sum = bias
            for weight, activation in zip(row, a, strict=True):
                weighted_sum += weight * activation
            layer.append(1 / (1 + math.exp(-weighted_sum)))
        a = layer
    return np.array(a)


def matrix_form(params, images):
    """Nielsen's way, for images in rows; every layer's activations, the images first."""
    layers = [np.asarray(images, np.float64)]
    for w, b in float64(params):
        layers.append(1 / (1 + np.exp(-(layers[-1] @ w.T + b))))
    return layers


def backpropagation(params, x, y):
    """Gradients of the quadratic cost, by hand: Nielsen, chapter 2, equations BP1 to BP4.

    Nielsen's cost is half of the video's, so the output's error is doubled here.
    """
    layers = matrix_form(params, x)
    delta = 2 * (layers[-1] - y) * layers[-1] * (1 - layers[-1])
    gradients = []
    for (w, _), a in zip(reversed(float64(params)), layers[-2::-1], strict=True):
        gradients.append((np.outer(delta, a), delta))
        delta = (w.T @ delta) * a * (1 - a)
    return gradients[::-1]
