"""Files read with suspicion and written whole: the error of a bad file, the atomic write."""

import os
import secrets
import stat
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


class FileError(ValueError):
    """A file does not hold what was asked of it; the message names it, and the remedy."""


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a file to read its bytes; not a pipe or a device, which may never end.

    Args:
        path: the file.

    Returns:
        A binary file.

    Raises:
        FileError: it is a pipe or a device.
        OSError: it cannot be opened.

    Example:
        >>> import jaxnet
        >>> with jaxnet.files.open_file(jaxnet.__file__) as file:
        ...     len(file.read(3))
        3
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise FileError(f"{path}: a pipe or a device; save it to a file first.")
    return open(path, "rb")


def check_free(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Raises, before any work, where a result has no folder or would replace what it is made of.

    Args:
        path: where to write.
        inputs: files that are read, or folders of such files.

    Raises:
        FileError: its folder does not exist, or it is a folder itself, or one of the inputs, or a
            file in one.

    Example:
        >>> import pathlib, jaxnet
        >>> jaxnet.files.check_free(pathlib.Path("new.csv"), [pathlib.Path("old.csv")])
    """
    if not path.parent.is_dir():
        raise FileError(f"{path}: there is no folder {path.parent}; make it first.")
    if path.is_dir():
        raise FileError(f"{path}: this is a folder; name a file.")
    if path.exists() and any(
        os.path.exists(p) and (path.samefile(p) or path.parent.samefile(p)) for p in inputs
    ):
        raise FileError(f"{path}: this is one of the inputs; write to another file.")


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
    path = Path(os.path.realpath(path))  # through a link, to the file that it stands for
    partial = path.with_name(f".jaxnet-{secrets.token_hex(8)}.partial")
    try:
        with open(partial, "x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            os.chmod(partial, stat.S_IMODE(path.stat().st_mode))
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(partial)
        ours = (None, os.fspath(partial))
        if isinstance(error, OSError) and error.errno and error.filename in ours:
            error.filename = os.fspath(path)  # the name that the caller knows
        raise
