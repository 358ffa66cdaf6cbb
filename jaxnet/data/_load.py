"""Loads images and labels from a path into memory."""

import os
from collections.abc import Iterable
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError, open_file
from jaxnet.data import _npy, _rows
from jaxnet.data._idx import read_idx
from jaxnet.data._inputs import open_inputs


class Source(NamedTuple):
    """Images and their names.

    Attributes:
        images: shape `(n, 784)`; uint8 from 0 to 255, or floats from 0 to 1.
        names: `n` strings, such as "digits/seven.png" or "mnist/t10k-images-idx3-ubyte[41]".
    """

    images: NDArray[Any]
    names: list[str]


def read_images(path: str | os.PathLike[str]) -> Source:
    """Loads all images at a path; `open_inputs` reads them range by range.

    Args:
        path: as for `open_inputs`.

    Returns:
        The images and a name for each.

    Raises:
        FileError, OSError: as `open_inputs`, or if any image is bad.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.npy")
        >>> numpy.save(path, numpy.zeros((2, 28, 28), "uint8"))
        >>> jaxnet.data.read_images(path).images.shape
        (2, 784)
    """
    inputs = open_inputs([path])
    images, names, errors, _ = inputs.read(0, inputs.n)
    for says in errors.values():
        raise FileError(says)
    return Source(images, [*names])


def read_labels(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Loads labels, one digit per image, from an IDX or `.npy` file.

    Args:
        path: the file.

    Returns:
        Integers from 0 to 9, uint8, shape `(n,)`.

    Raises:
        FileError: in neither format, damaged, or not digits.
        OSError: the file cannot be opened or read.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "labels.npy")
        >>> numpy.save(path, numpy.array([3, 1, 4]))
        >>> jaxnet.data.read_labels(path)
        array([3, 1, 4], dtype=uint8)
    """
    with open_file(path) as file:
        is_npy = file.read(len(_npy.MAGIC)) == _npy.MAGIC
    labels = _npy.read_npy(path) if is_npy else read_idx(path)
    if labels.ndim != 1 or labels.dtype.kind not in "ui":
        raise FileError(
            f"{path}: expected labels, integers of shape (n,); got {labels.dtype} {labels.shape}."
        )
    if labels.size and not (labels.min() >= 0 and labels.max() <= 9):
        raise FileError(
            f"{path}: expected labels from 0 to 9; got {labels.min()} to {labels.max()}."
        )
    return labels.astype(np.uint8, copy=False)


def join(sources: Iterable[Source]) -> Source:
    """Concatenates one or more sources: uint8 if all are, otherwise floats."""
    images, names = zip(*sources, strict=True)
    return Source(_rows.join(images), [*chain(*names)])
