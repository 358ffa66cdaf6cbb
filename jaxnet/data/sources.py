"""Images by the path of what holds them: an IDX file, a NumPy array, a picture, a folder."""

import math
import os
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format
from numpy.typing import NDArray

from jaxnet.data.idx import is_idx, read_idx
from jaxnet.data.images import SUFFIXES, read_image
from jaxnet.files import FileError, open_file


class Source(NamedTuple):
    """Images in order, and where each came from.

    Attributes:
        images: shape `(n, 784)`; uint8 from 0 to 255, or floats from 0 to 1.
        names: `n` texts, such as "digits/seven.png" or "mnist/t10k-images-idx3-ubyte[41]".
    """

    images: NDArray[Any]
    names: list[str]


def read_images(path: str | os.PathLike[str]) -> Source:
    """Reads the images that a path leads to; what it is shows in its bytes, not its name.

    Args:
        path: an IDX file, raw or gzip; a `.npy` file; a picture; or a folder of pictures,
            which are taken in the order of their names.

    Returns:
        The images and a name for each.

    Raises:
        FileError: none of these, or damaged, or not images of digits.
        OSError: it cannot be opened or read.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.npy")
        >>> numpy.save(path, numpy.zeros((2, 28, 28), "uint8"))
        >>> jaxnet.data.read_images(path).images.shape
        (2, 784)
    """
    path = Path(path)
    if path.is_dir():
        pictures = sorted(
            p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != "."
        )
        if not pictures:
            raise FileError(f"{path}: no pictures in this folder ({', '.join(SUFFIXES)}).")
        return Source(np.stack([read_image(p) for p in pictures]), [str(p) for p in pictures])
    if is_idx(path):
        images = read_idx(path)
    elif _begins_with(path, b"\x93NUMPY"):
        images = _read_npy(path)
    else:
        return Source(read_image(path)[None], [str(path)])
    images = _as_rows(path, images)
    return Source(images, [f"{path}[{n}]" for n in range(len(images))])


def read_labels(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Reads what a set of images shows: one digit for each, from an IDX or `.npy` file.

    Args:
        path: the file.

    Returns:
        Integers from 0 to 9, shape `(n,)`.

    Raises:
        FileError: neither format, or damaged, or not digits.
        OSError: the file cannot be opened or read.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "labels.npy")
        >>> numpy.save(path, numpy.array([3, 1, 4]))
        >>> jaxnet.data.read_labels(path)
        array([3, 1, 4])
    """
    labels = np.array(_read_npy(path)) if _begins_with(path, b"\x93NUMPY") else read_idx(path)
    if labels.ndim != 1 or labels.dtype.kind not in "ui":
        raise FileError(
            f"{path}: expected labels, integers of shape (n,); got {labels.dtype} {labels.shape}."
        )
    if labels.size and not (labels.min() >= 0 and labels.max() <= 9):
        raise FileError(
            f"{path}: expected labels from 0 to 9; got {labels.min()} to {labels.max()}."
        )
    return labels


def _begins_with(path: str | os.PathLike[str], magic: bytes) -> bool:
    with open_file(path) as file:
        return file.read(len(magic)) == magic


def _read_npy(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Maps a `.npy` file into memory, once its header has been held against its size."""
    with open(path, "rb") as file:
        try:
            version = format.read_magic(file)
            read_header = {1: format.read_array_header_1_0, 2: format.read_array_header_2_0}
            shape, _, dtype = read_header[version[0]](file)
            sizes_fit = all(type(n) is int and 0 <= n < 2**48 for n in shape) and len(shape) <= 32
        # NumPy parses the header as Python, and damaged ones fail in as many ways.
        except Exception as error:
            raise FileError(
                f"{path}: the header of this .npy file is damaged ({error})."
            ) from error
        if dtype.kind not in "buif":
            raise FileError(f"{path}: expected an array of numbers; got {dtype!s:.60}.")
        if not sizes_fit:
            raise FileError(f"{path}: the header declares the shape {shape!s:.60}.")
        n_bytes = math.prod(shape) * dtype.itemsize
        there = os.path.getsize(path) - file.tell()
        if n_bytes != there:
            raise FileError(
                f"{path}: the header declares {dtype} of shape {shape}, {n_bytes:,} bytes, but "
                f"{there:,} follow."
            )
    return np.load(path, mmap_mode="r", allow_pickle=False) if n_bytes else np.empty(shape, dtype)


def _as_rows(path: Path, images: NDArray[Any]) -> NDArray[Any]:
    """Images of 28×28 or of 784 as one of 784 a row, if that is what they are."""
    expected = f"{path}: expected images of shape (n, 28, 28) or (n, 784)"
    if images.shape in ((28, 28), (784,)):
        images = images[None]
    if images.shape[1:] not in ((28, 28), (784,)):
        raise FileError(f"{expected}; got shape {images.shape}.")
    if images.dtype.kind == "f":
        if images.size and not (images.min() >= 0 and images.max() <= 1):
            raise FileError(
                f"{expected}, floats from 0 to 1; got {images.min()} to {images.max()}."
            )
        images = images.astype(np.float32)
    elif images.dtype != np.uint8:
        raise FileError(f"{expected}, uint8 or floats; got {images.dtype}.")
    return images.reshape(-1, 784)


def join(sources: Iterable[Source]) -> Source:
    """Puts several sources, one at least, into one: in bytes if all are, else in floats.

    Example:
        >>> import numpy, jaxnet
        >>> source = jaxnet.data.Source(numpy.zeros((2, 784)), ["a", "b"])
        >>> jaxnet.data.sources.join([source, source]).names
        ['a', 'b', 'a', 'b']
    """
    images, names = zip(*sources, strict=True)
    if len(images) > 1 and any(part.dtype != np.uint8 for part in images):
        images = [unit(part) for part in images]
    return Source(images[0] if len(images) == 1 else np.concatenate(images), [*chain(*names)])


def unit(images: NDArray[Any]) -> NDArray[np.float32]:
    """Bytes from 0 to 255 as floats from 0 to 1; floats as they are.

    Example:
        >>> import numpy, jaxnet
        >>> jaxnet.data.sources.unit(numpy.array([0, 51, 255], "uint8")).tolist()
        [0.0, 0.20000000298023224, 1.0]
    """
    return images.astype(np.float32) / np.float32(255 if images.dtype == np.uint8 else 1)
