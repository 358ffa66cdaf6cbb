"""Standard input: its format is detected first, then it is copied to a seekable file."""

import hashlib
import math
import shutil
import tempfile
from collections.abc import Callable
from typing import BinaryIO

from jaxnet._util.files import FileError
from jaxnet.data import _idx
from jaxnet.data._arrays import Layout

STANDARD_INPUT = "standard input"
HEAD = 4_096  # bytes that a file is known by
LARGEST_PICTURE = 2**28  # bytes on standard input
_PIECE = 2**20


class Given:
    """Standard input, with a look at its beginning before it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.head = file, file.read(HEAD)
        self.again, self.size, self.digest = self.head, 0, hashlib.sha256()

    def read(self, n: int) -> bytes:
        piece, self.again = self.again[:n], self.again[n:]
        if len(piece) < n:
            piece += self.file.read(n - len(piece))
        self.size += len(piece)
        self.digest.update(piece)
        return piece


def copy(given: Given | BinaryIO, file: BinaryIO, most: int) -> None:
    """Copies the rest of standard input to a file of limited size."""
    while piece := given.read(min(_PIECE, most - file.tell())):
        file.write(piece)
    if given.read(1):
        raise FileError(f"{STANDARD_INPUT}: more than the {most:,} bytes that it may have.")


def copy_declared(
    copy_header: Callable[[BinaryIO, BinaryIO, str], Layout], given: BinaryIO, file: BinaryIO
) -> None:
    layout = copy_header(given, file, STANDARD_INPUT)
    copy(given, file, layout.offset + layout.n_bytes)


def copy_gzip(given: BinaryIO, file: BinaryIO) -> None:
    _idx.unpack(given, file, STANDARD_INPUT, math.inf)


def copy_undeclared(given: BinaryIO, file: BinaryIO) -> None:
    """Copies at most half of the free space for temporary files: the format declares no size."""
    copy(given, file, shutil.disk_usage(tempfile.gettempdir()).free // 2)
