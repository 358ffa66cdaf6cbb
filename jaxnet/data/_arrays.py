"""Arrays stored in files, readable by row range."""

import math
import os
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from functools import partial
from threading import Event
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError, named, open_file
from jaxnet.data._rows import Numbered, Part, Rows, checked

MOST_FROM_ONE_BYTE = 1032  # how far deflate can compress, hence unpack, at best
_ALIGNED = 64  # bytes
SHAPES = ((28, 28), (784,), (28, 28, 1), (1, 28, 28))  # of one image


class File(NamedTuple):
    """A file that is read repeatedly.

    Attributes:
        name: what messages call it.
        place: its path, opened anew each time; or a file without one, which is held open.
        size: in bytes, when it was first opened.
        mtime_ns: when it was last written, in nanoseconds, as of then.
    """

    name: str
    place: str | BinaryIO
    size: int
    mtime_ns: int


class Layout(NamedTuple):
    """The location of an array in a file.

    Attributes:
        dtype, shape: the array's.
        offset: of its first value, in bytes.
        fortran: whether the first index is the fastest, rather than the last.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    fortran: bool = False

    @property
    def n_bytes(self) -> int:
        """The size of the values in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def in_words(self) -> str:
        """The array, for messages; a damaged header may declare any number."""
        n = self.n_bytes
        size = f"{n:,}" if n < 10**18 else f"over 10**{len(str(n)) - 1}"
        return f"{self.dtype.name} of shape {self.shape!s:.80}, {size} bytes"


def found(name: str, place: str | BinaryIO, status: os.stat_result) -> File:
    """Builds a `File` from `os.stat`."""
    return File(name, place, status.st_size, status.st_mtime_ns)


@contextmanager
def reopen(file: File) -> Generator[BinaryIO]:
    """Reopens a file, unless it has been written to since."""
    held = file.place
    source = open_file(held) if isinstance(held, str) else nullcontext(held)
    with source as opened, named(file.name):
        now = found(file.name, held, os.fstat(opened.fileno()))
        if now.size != file.size:
            raise FileError(
                f"{file.name}: this file has changed: {file.size:,} bytes before, {now.size:,} now."
            )
        if now.mtime_ns != file.mtime_ns:
            raise FileError(f"{file.name}: this file has changed: it was written to since.")
        yield opened


def is_of_images(shape: tuple[int, ...]) -> bool:
    """Whether an array can be of images, or of one."""
    return shape in SHAPES or shape[1:] in SHAPES


def transpose(images: NDArray[Any]) -> NDArray[Any]:
    """Swaps the rows and the columns of images.

    Args:
        images: shape `(n, 784)`.

    Returns:
        The same shape and type.

    Example:
        >>> import numpy, jaxnet
        >>> jaxnet.data.transpose(numpy.arange(784)[None])[0, :3].tolist()
        [0, 28, 56]
    """
    return np.ascontiguousarray(images.reshape(-1, 28, 28).swapaxes(1, 2)).reshape(-1, 784)


def images_of(file: File, layout: Layout) -> Part:
    """Images in an array of shape (n, 28, 28) or (n, 784), or a single image."""
    dtype, shape = layout.dtype, layout.shape
    if not is_of_images(shape):
        raise FileError(
            f"{file.name}: expected images of shape (n, 28, 28) or (n, 784); got shape {shape}."
        )
    if shape[1:] not in SHAPES:
        shape = (1, *shape)
    if dtype.kind not in "uif":
        raise FileError(f"{file.name}: expected images in integers or floats; got {dtype}.")
    read = partial(_read_array, file, layout._replace(shape=shape))
    return Part(shape[0], read, floats=file.name if dtype.kind == "f" else None)


def _read_array(file: File, layout: Layout, start: int, stop: int, _: Event | None) -> Rows:
    images = read_rows(file, layout, start, stop).reshape(-1, 784)
    return checked(images, Numbered(file.name, range(start, stop)))


def check_size(name: str, layout: Layout, size: int) -> None:
    """Raises unless the file ends with its array's last value."""
    there = size - layout.offset
    if layout.n_bytes != there:
        raise FileError(f"{name}: the header declares {layout.in_words}, but {there:,} follow.")


def read_rows(file: File, layout: Layout, start: int, stop: int) -> NDArray[Any]:
    """Reads a range of an array's rows, and nothing else."""
    dtype, (n, *row), offset, fortran = layout
    m, values = stop - start, math.prod(row)
    with reopen(file) as opened:
        if not fortran:
            rows = _empty((m, *row), dtype)
            _fill(rows, opened, offset + start * values * dtype.itemsize, file.name)
            return rows
        columns = _empty((values, m), dtype)
        for at, column in enumerate(columns):
            _fill(column, opened, offset + (at * n + start) * dtype.itemsize, file.name)
        return columns.reshape(*reversed(row), m).T


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """64-byte-aligned memory, which JAX on CPU can use without copying."""
    n_bytes = math.prod(shape) * dtype.itemsize
    space = np.empty(n_bytes + _ALIGNED, np.uint8)
    lead = -space.ctypes.data % _ALIGNED
    return space[lead : lead + n_bytes].view(dtype).reshape(shape)


def _fill(array: NDArray[Any], opened: BinaryIO, at: int, name: str) -> None:
    opened.seek(at)
    if opened.readinto(array.reshape(-1).view(np.uint8)) < array.nbytes:  # type: ignore[attr-defined]
        raise FileError(f"{name}: this file has changed: it was cut short while it was read.")
