"""Arrays stored in files, readable by row range."""

import math
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from threading import Event
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError, named, open_file
from jaxnet._util.pixels import side_of
from jaxnet.data._rows import Numbered, Part, Rows, checked
from jaxnet.network import SIDE

MOST_FROM_ONE_BYTE = 1032  # the highest compression ratio of deflate
SEEN = 2_048  # the most images that are looked at to find the scale of a file's pixels
COARSE = 16  # pixels along a side, up to which pixels may go to this number
_ALIGNED = 64  # bytes


class File(NamedTuple):
    """A file that is read repeatedly.

    Attributes:
        name: what messages call it.
        place: its path, opened anew each time; or a file without one, which is held open.
        size: in bytes, when it was first opened.
        mtime_ns: when it was last written, in nanoseconds, as of then.
        side: pixels along each side of its images.
    """

    name: str
    place: str | BinaryIO
    size: int
    mtime_ns: int
    side: int = SIDE


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


def found(name: str, place: str | BinaryIO, status: os.stat_result, side: int = SIDE) -> File:
    """Builds a `File` from `os.stat`."""
    return File(name, place, status.st_size, status.st_mtime_ns, side)


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


def is_one_image(shape: Sequence[int | str], side: int) -> bool:
    """Whether the shape is that of one image."""
    return tuple(shape) in ((side, side), (side**2,), (side, side, 1), (1, side, side))


def is_of_images(shape: tuple[int, ...], side: int) -> bool:
    """Whether the shape is that of one image or of a batch of images."""
    return is_one_image(shape, side) or is_one_image(shape[1:], side)


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
    side = side_of(images.shape[1], "images")
    squares = images.reshape(-1, side, side).swapaxes(1, 2)
    return np.ascontiguousarray(squares).reshape(images.shape)


def images_of(file: File, layout: Layout) -> Part:
    """Images in an array of shape (n, side, side) or (n, side²), or a single image."""
    dtype, shape, side = layout.dtype, layout.shape, file.side
    if not is_of_images(shape, side):
        raise FileError(
            f"{file.name}: expected images of shape (n, {side}, {side}) or (n, {side**2}); "
            f"got shape {shape}."
        )
    if not is_one_image(shape[1:], side):
        shape = (1, *shape)
    if dtype.kind not in "uif":
        raise FileError(f"{file.name}: expected images in integers or floats; got {dtype}.")
    layout = layout._replace(shape=shape)
    white, note = white_of(
        file, lambda: np.concatenate([read_rows(file, layout, *rows) for rows in spread(shape[0])])
    )
    read = partial(_read_array, file, layout, white)
    floats = file.name if white or dtype.kind == "f" else None
    return Part(shape[0], read, floats=floats, note=note and f"{file.name}: {note}.")


def spread(n: int) -> list[tuple[int, int]]:
    """A few short ranges of `n` rows, from the first to the last."""
    size = min(n, SEEN // 8)
    starts = np.linspace(0, n - size, 8).astype(int)
    return [(at, at + size) for at in sorted({*starts.tolist()})]


def white_of(file: File, some: Callable[[], Any]) -> tuple[int | None, str | None]:
    """The number for white if it is not the usual one, by some of a file's images; and a note."""
    # Digits of 8×8 often count the ink in 4×4 pixels, as scikit-learn's do.
    if file.side > COARSE:
        return None, None
    pixels = some()
    top = np.fmax.reduce(pixels, axis=None, initial=0)
    if not 1 < top <= 4 * COARSE or (pixels % 1 > 0).any():
        return None, None
    white = COARSE if top <= COARSE else None
    usual = 255 if pixels.dtype.kind in "ui" else 1
    return white, f"pixels go up to {top:g}, so {white or usual} is taken for white"


def _read_array(
    file: File, layout: Layout, white: int | None, start: int, stop: int, _: Event | None
) -> Rows:
    images = read_rows(file, layout, start, stop).reshape(-1, file.side**2)
    return checked(images, Numbered(file.name, range(start, stop)), white)


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
