"""Arrays as they lie in files, of which any range of rows is read without the rest."""

import math
import os
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxnet.files import FileError, open_file


class File(NamedTuple):
    """A file that is read from again and again.

    Attributes:
        name: what messages call it.
        place: its path, opened anew each time; or a file without one, which is held open.
        size: in bytes, when it was first opened.
    """

    name: str
    place: str | BinaryIO
    size: int


class Layout(NamedTuple):
    """Where an array lies in a file.

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
        """How many bytes the values take."""
        return math.prod(self.shape) * self.dtype.itemsize


@contextmanager
def reopen(file: File) -> Generator[BinaryIO]:
    """Opens a file once more, if it is still as large as it was.

    Args:
        file: the file.

    Yields:
        A binary file, at whatever position.

    Raises:
        FileError: its size has changed.
        OSError: it cannot be opened any more.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "greeting")
        >>> _ = path.write_bytes(b"hello")
        >>> with reopen(File("greeting", str(path), 5)) as file:
        ...     file.read()
        b'hello'
    """
    held = file.place
    with open_file(held) if isinstance(held, str) else nullcontext(held) as opened:
        size = os.fstat(opened.fileno()).st_size
        if size != file.size:
            raise FileError(
                f"{file.name}: this file has changed: {file.size:,} bytes before, {size:,} now."
            )
        yield opened


def check_size(name: str, layout: Layout, size: int) -> None:
    """Raises where a file does not end with its array's last value.

    Args:
        name: what to call the file.
        layout: what its header declares.
        size: of the file, in bytes.

    Raises:
        FileError: the file is longer or shorter than declared.

    Example:
        >>> import numpy
        >>> check_size("a.npy", Layout(numpy.dtype("u1"), (2, 784), offset=128), 1696)
    """
    there = size - layout.offset
    if layout.n_bytes != there:
        raise FileError(
            f"{name}: the header declares {layout.dtype} of shape {layout.shape!s:.80}, "
            f"{layout.n_bytes:,} bytes, but {there:,} follow."
        )


def read_rows(file: File, layout: Layout, start: int, stop: int) -> NDArray[Any]:
    """Reads some of an array's rows, at the cost of these alone.

    Args:
        file: the file, as large as `layout` says.
        layout: where the array lies in it.
        start, stop: the first row, and the one after the last.

    Returns:
        An array of shape `(stop - start, ...)`: a read-only map of the file's own pages, which
        leave memory together with it.

    Raises:
        FileError, OSError: as `reopen`.

    Example:
        >>> import numpy, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "values")
        >>> _ = path.write_bytes(bytes(range(10)))
        >>> file, layout = File("values", str(path), 10), Layout(numpy.dtype("u1"), (5, 2), 0)
        >>> read_rows(file, layout, 2, 4).tolist()
        [[4, 5], [6, 7]]
    """
    dtype, (n, *row), offset, fortran = layout
    with reopen(file) as opened:
        if start == stop or 0 in row:
            return np.empty((stop - start, *row), dtype)
        if fortran:
            return np.asarray(np.memmap(opened, dtype, "r", offset, (n, *row), "F")[start:stop])
        offset += start * math.prod(row) * dtype.itemsize
        return np.asarray(np.memmap(opened, dtype, "r", offset, (stop - start, *row)))
