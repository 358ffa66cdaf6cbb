"""Hints from a job's labels about its images."""

import numpy as np

from jaxnet.batch._jobs import Job
from jaxnet.data import transpose
from jaxnet.formats._pixels import Pixels, accuracies

_GAIN = 0.01  # in accuracy
_PLACES = 4  # files are often sorted by digit


def compare_transposed(job: Job) -> tuple[float, float]:
    """The accuracy on a sample of the images as they are, and with rows and columns swapped."""
    # The second is much the higher for EMNIST's files, which hold every image transposed.
    images, labels = _sample(job)
    ways = (images, transpose(images))
    if not len(labels):
        return 0.0, 0.0
    as_is, swapped = ((job.classify(way).digits == labels).mean() for way in ways)
    return float(as_is), float(swapped)


def better_pixels(job: Job) -> tuple[Pixels, float] | None:
    """A usual scale of pixels that beats 0 to 1 by a percentage point, and its accuracy."""
    images, labels = _sample(job)
    if not len(labels):
        return None
    shares = accuracies(job.params, job.spec, images, labels)
    best = max(shares, key=lambda pixels: shares[pixels])
    return (best, shares[best]) if shares[best] >= shares[Pixels()] + _GAIN else None


def _sample(job: Job, n: int = 1_000) -> tuple[np.ndarray, np.ndarray]:
    """Images from several places of a job's inputs, and their labels."""
    if job.labels is None:
        raise ValueError("Expected a job with labels; open it with labels=.")
    each = max(n // _PLACES, 1)
    places = np.linspace(0, max(job.inputs.n - each, 0), _PLACES).astype(int)
    images, labels = [], []
    for start in sorted({*places.tolist()}):
        stop = min(start + each, job.inputs.n)
        rows = job.inputs.read(start, stop)
        good = np.setdiff1d(np.arange(stop - start), [*rows.errors])
        images.append(rows.images[good])
        labels.append(job.labels[start:stop][good])
    return np.concatenate(images), np.concatenate(labels)
