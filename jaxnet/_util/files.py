"""Safe file I/O: `FileError`, and atomic writes."""

import os
import stat
import time
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from jaxnet._util import interrupts


class FileError(ValueError):
    """A file is missing, malformed or unsuitable; the message names it and a remedy."""


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a file for reading; rejects pipes and devices, which may never end."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise FileError(f"{path}: a pipe or a device; save it to a file first.")
    return open(path, "rb")


@contextmanager
def named(
    path: str | os.PathLike[str], hidden: str | os.PathLike[str] | None = None
) -> Generator[None]:
    """Adds the file's name to an OSError that has none, or that names the hidden file beside it."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename in (None, hidden and os.fspath(hidden)):
            error.filename = os.fspath(path)  # the name the caller knows
        raise


def check_free(path: Path, inputs: Iterable[Path | None] = (), *, overwrite: bool = True) -> None:
    """Fails early if the output folder is missing or the output would replace an input."""
    # Unless `overwrite` is true, it may replace no file.
    if not path.parent.is_dir():
        raise FileError(f"{path}: there is no folder {path.parent}; make it first.")
    if path.is_dir():
        raise FileError(f"{path}: this is a folder; name a file.")
    if path.exists() and any(
        p and p.exists() and (path.samefile(p) or path.parent.samefile(p)) for p in inputs
    ):
        raise FileError(f"{path}: this is one of the inputs; write to another file.")
    if path.exists() and not path.is_file():
        raise FileError(f"{path}: a pipe or a device; write to a file instead.")
    check_new(path, overwrite=overwrite)


def check_new(path: Path, *, overwrite: bool) -> None:
    """Raises if an output would replace a file; also called again right before writing."""
    if not overwrite and os.path.lexists(path):
        raise exists_already(path)


def exists_already(path: Path) -> FileError:
    """The error for an output that would replace a file."""
    return FileError(
        f"{path}: exists already; choose another output, or replace it with overwrite=True."
    )


@contextmanager
def replacing(path: str | os.PathLike[str], *, patience: int | float = 5) -> Generator[BinaryIO]:
    """Opens a temporary file that replaces `path` once it is completely written."""
    # If writing is interrupted (an exception, a full disk, a killed process), `path` keeps its old
    # content. One process at a time writes to a path; others wait for `patience` seconds at most.
    # A file that another program has put there meanwhile is not replaced.
    path = Path(os.path.realpath(path))  # keep a link, replace its target
    partial = _beside(path, "partial")
    with named(path, partial), ExitStack() as entered:
        file = _begin(entered, partial, path, patience)
        is_ours, is_new = True, not os.path.lexists(path)
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            with interrupts.not_now:
                is_ours = _is_still(file, partial)
                if not is_ours:  # where there are no locks
                    raise _taken(path)
                if path.exists():
                    os.chmod(partial, stat.S_IMODE(path.stat().st_mode))
                if os.name == "nt":  # Windows replaces by closed files only
                    file.close()
                if is_new and os.path.lexists(path):
                    raise exists_already(path)
                os.replace(partial, path)
                entered.close()
        except BaseException:
            if is_ours:
                with suppress(OSError):
                    os.unlink(partial)
            raise


@contextmanager
def alone(path: str | os.PathLike[str]) -> Generator[None]:
    """Holds an exclusive lock on a path for the duration of the block."""
    path = Path(os.path.realpath(path))
    held = _beside(path, "lock")
    with named(path, held), ExitStack() as entered:
        _begin(entered, held, path, patience=0)
        try:
            yield
        finally:
            with suppress(OSError):
                os.unlink(held)


def _beside(path: Path, ending: str) -> Path:
    """A hidden file beside a path, for this path alone; the name may be as long as names can be."""
    return path.with_name(f".jaxnet-{sha256(os.fsencode(path.name)).hexdigest()[:16]}.{ending}")


def _begin(entered: ExitStack, partial: Path, path: Path, patience: int | float) -> BinaryIO:
    """Creates the temporary file, for one process; replaces one that a killed process left."""
    until = time.monotonic() + patience
    while True:
        with interrupts.not_now:
            with suppress(FileNotFoundError), open(partial, "r+b") as left:
                if lock(left.fileno()) and _is_still(left, partial):
                    os.unlink(partial)
            with suppress(FileExistsError):
                file = entered.enter_context(open(partial, "x+b"))  # noqa: SIM115
                if lock(file.fileno()) and _is_still(file, partial):
                    entered.enter_context(interrupts.undone(partial.unlink))
                    return file
        if time.monotonic() > until:
            raise _taken(path)
        time.sleep(0.02)


def _taken(path: Path) -> FileError:
    return FileError(f"{path}: another process is writing here; wait until it has finished.")


def lock(descriptor: int) -> bool:
    """Locks an open file or folder until it is closed; False if another process has locked it."""
    # Windows and some file systems have no such locks; there nothing is locked.
    try:
        import fcntl
    except ModuleNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _is_still(file: BinaryIO, path: Path) -> bool:
    """Whether a path still leads to an open file."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path, follow_symlinks=False))
    return False
