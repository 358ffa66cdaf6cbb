"""IDX, the format of MNIST: a header of sizes, then the numbers.

Source: "The IDX file format", at the foot of LeCun, Cortes and Burges, "The MNIST database
of handwritten digits": two zero bytes, a byte for the type, a byte for the rank, a
big-endian 32-bit size for each dimension, and the values, big-endian, last index fastest.
"""

import gzip
import math
import os
import struct
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError, open_file, replacing
from jaxnet.data._arrays import MOST_FROM_ONE_BYTE, File, Layout, check_size
from jaxnet.data._labels import as_labels

_DTYPES = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_CODES = {dtype.newbyteorder("="): code for code, dtype in _DTYPES.items()}
_PIECE = 2**20
GZIP = b"\x1f\x8b"


def is_idx(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins like an IDX file, raw or gzipped."""
    try:
        with _open(path) as file:
            return _has_magic(file.read(4))
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return False


def read_idx(path: str | os.PathLike[str], *, max_bytes: int = 2**32) -> NDArray[Any]:
    """Loads an IDX file, raw or gzipped.

    The header is checked against the file size before memory is allocated.

    Args:
        path: the file; gzip is known by its first bytes, whatever the name.
        max_bytes: the largest array that is let in.

    Returns:
        An array of the declared shape and type, in the machine's byte order.

    Raises:
        FileError: not IDX, damaged, over `max_bytes`, or longer or shorter than declared.
        OSError: the file cannot be opened or read.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "squares.idx.gz")
        >>> jaxnet.data.write_idx(path, numpy.array([0, 1, 4, 9]).astype("int32"))
        >>> jaxnet.data.read_idx(path)
        array([0, 1, 4, 9], dtype=int32)
    """
    name = os.fsdecode(path)
    with _intact(name), _open(path) as file:
        layout = _header(file, name, max_bytes)
        values, filled = np.empty(layout.n_bytes, np.uint8), 0
        for piece in _values(file, name, layout):
            values[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
            filled += len(piece)
    try:
        values = values.view(layout.dtype).reshape(layout.shape)
    except ValueError as error:
        raise FileError(
            f"{_declared(name, layout)}, more dimensions than NumPy can hold."
        ) from error
    return values.astype(layout.dtype.newbyteorder("="), copy=False)


def begins_idx(head: bytes) -> bool:
    """Whether a file is to be read as IDX, by how it begins; its header may be damaged."""
    return head.startswith(bytes(2))


def read_labels(file: File) -> NDArray[np.uint8]:
    """Loads labels: one per image, or QMNIST's, whose first of eight columns is the digit."""
    labels = read_idx(file.name)
    if labels.shape[1:] == (8,) and labels.dtype == np.int32:
        labels = labels[:, 0]
    return as_labels(labels, file.name)


def write_idx(path: str | os.PathLike[str], array: NDArray[Any]) -> None:
    """Writes an array as an IDX file, compressed if the name ends in `.gz`.

    The file appears whole or not at all, and the same array gives the same bytes.

    Args:
        path: where to write.
        array: uint8, int8, int16, int32, float32 or float64, of rank 255 at most.

    Raises:
        ValueError: IDX has no code for the array's type, or no room for one of its sizes.
        OSError: the file cannot be written.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "squares.idx")
        >>> jaxnet.data.write_idx(path, numpy.array([0, 1, 4, 9]).astype("uint8"))
        >>> path.read_bytes().hex(" ")
        '00 00 08 01 00 00 00 04 00 01 04 09'
    """
    array = np.asarray(array)
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        names = ", ".join(dtype.name for dtype in _CODES)
        raise ValueError(f"IDX has no code for {array.dtype}; convert the array to one of {names}.")
    if max(array.shape, default=0) >= 2**32:
        raise ValueError(f"IDX holds sizes below 2**32; got an array of shape {array.shape}.")
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    values = np.ascontiguousarray(array, _DTYPES[code]).reshape(-1).view(np.uint8).data
    with replacing(path) as file:
        if os.fspath(path).endswith(".gz"):
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                packed.write(header)
                packed.write(values)
        else:
            file.write(header)
            file.write(values)


def read_header(file: BinaryIO, name: str) -> Layout:
    """Reads the location of the array in an uncompressed IDX file."""
    layout = _header(file, name)
    check_size(name, layout, os.fstat(file.fileno()).st_size)
    return layout


def unpack(packed: BinaryIO, into: BinaryIO, name: str, on_disk: float) -> None:
    """Unpacks a gzipped IDX file in chunks, up to the size that it declares."""
    with _intact(name), cast(BinaryIO, gzip.open(packed)) as file:
        layout = copy_header(file, into, name)
        _check_declared(layout, name, on_disk * MOST_FROM_ONE_BYTE, on_disk)
        into.writelines(_values(file, name, layout))


def copy_header(file: BinaryIO, into: BinaryIO, name: str) -> Layout:
    """Reads the location of the array, from a stream, and copies the header."""
    head = file.read(4)
    head += file.read(4 * head[3]) if _has_magic(head) else b""
    into.write(head)
    return _layout(BytesIO(head), name)


def _open(path: str | os.PathLike[str]) -> BinaryIO:
    with open_file(path) as file:
        compressed = file.read(2) == GZIP
    return cast(BinaryIO, gzip.open(path) if compressed else open_file(path))


@contextmanager
def _intact(name: str) -> Generator[None]:
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileError(f"{name}: its gzip data are damaged or cut short.") from error


def _has_magic(head: bytes) -> bool:
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in _DTYPES


def _header(file: BinaryIO, name: str, max_bytes: float = math.inf) -> Layout:
    """Reads the header and checks it against the file size."""
    layout = _layout(file, name)
    if layout.n_bytes > max_bytes:
        raise FileError(
            f"{_declared(name, layout)}; read_idx takes more than {max_bytes:,} with max_bytes=."
        )
    on_disk = os.fstat(file.fileno()).st_size
    most = on_disk * MOST_FROM_ONE_BYTE if isinstance(file, gzip.GzipFile) else on_disk
    _check_declared(layout, name, most, on_disk)
    return layout


def _check_declared(layout: Layout, name: str, most: float, on_disk: float) -> None:
    if layout.n_bytes > most:
        raise FileError(
            f"{_declared(name, layout)}, but the file is cut short: it has {on_disk:,}."
        )


def _layout(file: BinaryIO, name: str) -> Layout:
    head = file.read(4)
    if not _has_magic(head):
        raise FileError(f"{name}: not an IDX file; its first bytes are {head!r}.")
    dtype, rank = _DTYPES[head[2]], head[3]
    sizes = file.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise FileError(f"{name}: the file ends inside its header.")
    return Layout(dtype, struct.unpack(f">{rank}I", sizes), 4 + 4 * rank)


def _declared(name: str, layout: Layout) -> str:
    return f"{name}: the header declares {layout.in_words}"


def _values(file: BinaryIO, name: str, layout: Layout) -> Iterator[bytes]:
    """Yields the declared number of bytes, in chunks."""
    left = layout.n_bytes
    while piece := file.read(min(left, _PIECE)):
        left -= len(piece)
        yield piece
    if left:
        follow = f"only {layout.n_bytes - left:,} follow"
        raise FileError(f"{_declared(name, layout)}, but {follow}; fetch the file again.")
    if file.read(1):
        raise FileError(f"{_declared(name, layout)}, but more follow; fetch the file again.")
