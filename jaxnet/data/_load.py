"""Loads images and labels from a path into memory."""

import os
from collections.abc import Iterable
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError
from jaxnet.data import _rows
from jaxnet.data._inputs import open_inputs, open_labels
from jaxnet.network import SIDE


class Source(NamedTuple):
    """Images and their names.

    Attributes:
        images: shape `(n, 784)`; uint8 from 0 to 255, or floats from 0 to 1.
        names: `n` strings, such as "digits/seven.png" or "mnist/t10k-images-idx3-ubyte[41]".
    """

    images: NDArray[Any]
    names: list[str]


def read_images(
    path: str | os.PathLike[str],
    *,
    split: str = "test",
    recursive: bool = False,
    transposed: bool = False,
    side: int = SIDE,
) -> Source:
    """Loads all images at a path; `open_inputs` reads them range by range.

    Args:
        path, split, recursive, transposed, side: as for `open_inputs`.

    Returns:
        The images and a name for each.

    Raises:
        FileError, OSError: as `open_inputs`, or if any image is bad.
        ValueError: another split.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.npy")
        >>> numpy.save(path, numpy.zeros((2, 28, 28), "uint8"))
        >>> jaxnet.data.read_images(path).images.shape
        (2, 784)
    """
    inputs = open_inputs([path], split=split, recursive=recursive, transposed=transposed, side=side)
    images, names, errors, _ = inputs.read(0, inputs.n)
    for says in errors.values():
        raise FileError(says)
    return Source(images, [*names])


def read_labels(
    path: str | os.PathLike[str],
    *,
    split: str = "test",
    recursive: bool = False,
    side: int = SIDE,
) -> NDArray[np.uint8]:
    """Loads labels, one for each image, from files of labels or of both.

    Args:
        path: a file of labels, or the path of the images where it holds their labels, too: a
            column `label` in CSV or Parquet, `y_test` or `labels` in `.npz`, QMNIST's numbers in
            IDX, or pictures in folders that are named for what they show, as `own/3/scan.png`.
        split, recursive, side: as for `open_inputs`.

    Returns:
        Integers from 0 to 255, uint8, shape `(n,)`, in the order of the images.

    Raises:
        FileError: in no known format, damaged, or without labels.
        ModuleNotFoundError: the package that reads CSV and Parquet is missing.
        OSError: the file cannot be opened or read.
        ValueError: another split.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.npz")
        >>> numpy.savez(path, x=numpy.zeros((3, 28, 28), "uint8"), y=numpy.array([3, 1, 4]))
        >>> jaxnet.data.read_labels(path)
        array([3, 1, 4], dtype=uint8)
    """
    options: Any = {"split": split, "recursive": recursive, "side": side}
    return np.concatenate([*open_labels(os.fsdecode(path), **options)])


def join(sources: Iterable[Source]) -> Source:
    """Concatenates one or more sources: uint8 if all are, otherwise floats."""
    images, names = zip(*sources, strict=True)
    return Source(_rows.join(images), [*chain(*names)])
