"""Hints from a job's labels about its images."""

import numpy as np

from jaxnet.batch._jobs import Job
from jaxnet.data import transpose

_PLACES = 4  # files are often sorted by digit


def compare_transposed(job: Job, n: int = 1_000) -> tuple[float, float]:
    """The accuracy on a sample of the images as they are, and with rows and columns swapped."""
    # The second is much the higher for EMNIST's files, which hold every image transposed.
    if job.labels is None:
        raise ValueError("Expected a job with labels; open it with labels=.")
    right, total, each = np.zeros(2), 0, max(n // _PLACES, 1)
    places = np.linspace(0, max(job.inputs.n - each, 0), _PLACES).astype(int)
    for start in sorted({*places.tolist()}):
        stop = min(start + each, job.inputs.n)
        rows = job.inputs.read(start, stop)
        good = np.setdiff1d(np.arange(stop - start), [*rows.errors])
        labels = job.labels[start:stop][good]
        for way, images in enumerate((rows.images, transpose(rows.images))):
            right[way] += (job.classify(images[good]).digits == labels).sum()
        total += len(good)
    as_is, transposed = (right / max(total, 1)).tolist()
    return as_is, transposed
