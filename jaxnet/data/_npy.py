"""NumPy's `.npy` files: a header in Python syntax, then the numbers.

Source: `numpy.lib.format`.
"""

import os
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format
from numpy.typing import NDArray

from jaxnet._util.files import FileError, open_file
from jaxnet.data._arrays import Layout, check_size

MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 2**16  # bytes


def read_header(file: BinaryIO, name: str) -> Layout:
    """Reads the location of the array and checks it against the file size."""
    layout = _layout(file, name)
    check_size(name, layout, os.fstat(file.fileno()).st_size)
    return layout


def copy_header(file: BinaryIO, into: BinaryIO, name: str) -> Layout:
    """Reads the location of the array, from a stream, and copies the header."""
    head = file.read(12)
    long = len(head) == 12 and head[6] != 1  # four bytes for the header's length, not two
    length = int.from_bytes(head[8 : 12 if long else 10], "little")
    head += file.read(min(length, _LONGEST_HEADER) - (0 if long else 2))
    into.write(head)
    return _layout(BytesIO(head), name)


def _layout(file: BinaryIO, name: str) -> Layout:
    try:
        version = format.read_magic(file)
        # The third differs from the second in the names of fields, which numbers have none of.
        first, second = format.read_array_header_1_0, format.read_array_header_2_0
        read = {(1, 0): first, (2, 0): second, (3, 0): second}[version]
        shape, fortran, dtype = read(file)
        sizes_fit = all(type(n) is int and 0 <= n < 2**48 for n in shape) and len(shape) <= 32
    # NumPy parses the header as Python, and damaged ones fail in as many ways.
    except Exception as error:
        raise FileError(f"{name}: the header of this .npy file is damaged.") from error
    if dtype.names and "digit" in dtype.names:
        raise FileError(f"{name}: these are answers of jaxnet's, not images.")
    if dtype.kind not in "buif":
        raise FileError(f"{name}: expected an array of numbers; got {dtype!s:.60}.")
    if not sizes_fit:
        raise FileError(f"{name}: the header declares the shape {shape!s:.60}.")
    return Layout(dtype, shape, file.tell(), fortran)


def read_npy(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Loads a `.npy` file after checking its header against the file size."""
    with open_file(path) as file:
        layout = read_header(file, os.fsdecode(path))
        if 0 in layout.shape:  # such as (0, 10**12), of which NumPy would take the product
            return np.empty(layout.shape, layout.dtype)
        file.seek(0)
        return np.load(file, allow_pickle=False)
