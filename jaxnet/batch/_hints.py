"""What a job's labels tell about its images."""

import numpy as np

from jaxnet.batch._jobs import Job
from jaxnet.data import transpose

_PLACES = 4  # files are often sorted by digit


def compare_transposed(job: Job, n: int = 1_000) -> tuple[float, float]:
    """The accuracy on a sample of the images as they are, and with rows and columns swapped.

    The second is much the higher for EMNIST's files, which hold every image transposed.

    Args:
        job: from `open_job`, with labels.
        n: images in the sample, at most.

    Returns:
        Two shares from 0 to 1; zeros if no image can be read.

    Raises:
        ValueError: a job without labels.
        FileError, OSError: the images cannot be read any more.

    Example:
        >>> import jax, numpy, pathlib, tempfile, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 100)
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.npy")
        >>> numpy.save(path, jaxnet.data.transpose(numpy.asarray(images)))
        >>> inputs = jaxnet.data.open_inputs([path])
        >>> job = jaxnet.batch.open_job(*jaxnet.load(), inputs, numpy.asarray(labels))
        >>> as_is, transposed = jaxnet.batch.compare_transposed(job)
        >>> as_is < 0.5 < 0.9 < transposed
        True
    """
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
