"""Files read with suspicion and written whole: the error of a bad file, the atomic write."""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


class FileError(ValueError):
    """A file does not hold what was asked of it; the message names it, and the remedy."""


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Generator[BinaryIO]:
    """Opens a file that takes the place of `path` only once it is whole on the disk.

    Whatever interrupts the writing (an exception, a full disk, a killed process), `path`
    holds either its old bytes or all the new ones.

    Args:
        path: where the bytes shall end up; its folder must exist.

    Yields:
        A binary file beside `path`, open for writing and for reading back.

    Raises:
        OSError: the folder does not exist or cannot be written, or the disk is full.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "greeting")
        >>> with replacing(path) as file:
        ...     _ = file.write(b"hello")
        >>> path.read_bytes()
        b'hello'
    """
    path = Path(path)
    partial = path.with_name(f".jaxnet-{secrets.token_hex(8)}.partial")
    try:
        with open(partial, "x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(partial)
        if isinstance(error, OSError) and error.filename in (None, os.fspath(partial)):
            error.filename = os.fspath(path)  # the name that the caller knows
        raise
