"""The network twice more, in float64 and without JAX, to hold jaxnet against; and jobs to do."""

import math

import numpy as np

from jaxnet.batch._files import open_job
from jaxnet.data import open_inputs
from jaxnet.formats import load

N_IN_FILE = 40_000


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


def digits_of(activations):
    """The digit of each row: its largest output, or whether a single one exceeds one half."""
    single = activations.shape[1] == 1
    return (activations[:, 0] > 0.5).astype(int) if single else activations.argmax(1)


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


def file_of_many(folder):
    """Random images, in bytes, in a `.npy` file."""
    path = folder / "many.npy"
    images = np.random.default_rng(0).integers(0, 256, (N_IN_FILE, 784), np.uint8)
    np.save(path, images)
    return path


def job_of(*paths, **options):
    """What the trained network has to read."""
    return open_job(*load(), open_inputs(paths), **options)
