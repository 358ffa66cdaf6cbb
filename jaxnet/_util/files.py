"""Safe file I/O: `FileError`, and atomic writes."""

import os
import secrets
import stat
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


class FileError(ValueError):
    """A file is missing, malformed or unsuitable; the message names it and a remedy."""


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a file for reading; rejects pipes and devices, which may never end."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise FileError(f"{path}: a pipe or a device; save it to a file first.")
    return open(path, "rb")


def check_free(path: Path, inputs: Iterable[Path | None] = ()) -> None:
    """Fails early if the output folder is missing or the output would overwrite an input."""
    if not path.parent.is_dir():
        raise FileError(f"{path}: there is no folder {path.parent}; make it first.")
    if path.is_dir():
        raise FileError(f"{path}: this is a folder; name a file.")
    if path.exists() and any(
        p and p.exists() and (path.samefile(p) or path.parent.samefile(p)) for p in inputs
    ):
        raise FileError(f"{path}: this is one of the inputs; write to another file.")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Generator[BinaryIO]:
    """Opens a temporary file that replaces `path` once it is completely written.

    If writing is interrupted (an exception, a full disk, a killed process), `path` keeps its old
    content.
    """
    path = Path(os.path.realpath(path))  # keep a link, replace its target
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
            error.filename = os.fspath(path)  # the name the caller knows
        raise
