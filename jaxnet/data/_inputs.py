"""Random access to the images in a set of files, without loading them all.

A file's format is detected from its bytes, not its name: IDX, raw or gzipped; `.npy`; Parquet; or a
picture. Besides files there are folders of pictures, patterns such as `scans/**/*.png`, and `-`,
the standard input.
"""

import errno
import glob
import hashlib
import os
import re
import sys
import tempfile
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from itertools import accumulate, groupby
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError, open_file
from jaxnet.data import _idx, _npy, _parquet
from jaxnet.data._arrays import File, Layout, found, read_rows, reopen
from jaxnet.data._rows import AT_ONCE, Numbered, Part, Rows, at_once, checked, decoded, together
from jaxnet.data.pictures import SUFFIXES, Room, decode, is_picture

STDIN, STANDARD_INPUT = "-", "standard input"
_PIECE = 2**20


class Inputs(NamedTuple):
    """Images in files, read on demand.

    Attributes:
        n: the number of images.
        read: returns the `Rows` from a first row up to a last one, exclusive; from one thread at a
            time. Another thread may set the event that is an optional third argument to cancel it.
        identity: JSON that identifies what was opened: each file's path, size and modification
            time; for folders also their number and names; the digest of the standard input.
        at_once: how many images to read together; fewer for pictures, which take longer.
        floats: the name of a file with floating-point images, if any is known.
        pictures: whether each image is a file of its own.
    """

    n: int
    read: Callable[..., Rows]
    identity: list[dict[str, Any]]
    at_once: int = AT_ONCE
    floats: str | None = None
    pictures: bool = False


def open_inputs(
    paths: Iterable[str | os.PathLike[str]], *, without: str | os.PathLike[str] | None = None
) -> Inputs:
    """Finds and counts the images in files, without reading their pixels.

    Args:
        paths: files; folders of pictures, in the order of their names; recursive patterns as for
            `glob.glob`, if no file has that name, in sorted order; and "-" for a file on the
            standard input.
        without: a folder that patterns skip: the one that answers are written to.

    Returns:
        The images, in that order. Reading them raises FileError or OSError if a file has changed
        or disappeared. A picture that is missing or bad is an error of its row instead.

    Raises:
        FileError: nothing was found, or a file is damaged, in no known format, or not of images.
        ModuleNotFoundError: the package that reads Parquet is missing.
        OSError: a file or folder cannot be opened or read.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> numpy.save(folder / "a.npy", numpy.zeros((3, 28, 28), "uint8"))
        >>> numpy.save(folder / "b.npy", numpy.zeros((2, 784), "float32"))
        >>> inputs = jaxnet.data.open_inputs([folder / "*.npy"])
        >>> inputs.n
        5
        >>> rows = inputs.read(2, 4)
        >>> rows.images.shape, [name[-8:] for name in rows.names]
        ((2, 784), ['a.npy[2]', 'b.npy[0]'])
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    contents: list[File | Part] = []  # a file is a picture
    identity: list[dict[str, Any]] = []
    for path in map(os.fsdecode, paths):
        if path == STDIN:
            part, about = _standard_input()
            contents.append(part)
        else:
            several = [*_opened(path, without)]
            contents += [content for _, content in several]
            about = _about(path, [file for file, _ in several])
        identity.append(about)
    parts = [*_pictures_together(contents)]
    ends = [*accumulate(part.n for part in parts)]
    return Inputs(
        sum(part.n for part in parts),
        partial(_read, parts, ends),
        identity,
        min((part.at_once for part in parts), default=AT_ONCE),
        next((part.floats for part in parts if part.floats and part.n), None),
        all(isinstance(content, File) for content in contents),
    )


def expand(path: str, without: str | os.PathLike[str] | None = None) -> list[str]:
    """Expands a path to files, as `open_inputs` does.

    Args:
        path: a file, a folder of pictures, a pattern, or "-", which expands to none.
        without: as for `open_inputs`.

    Returns:
        Their paths; at least one, except for "-".

    Raises:
        FileError: no file matches.
        OSError: a folder cannot be read.

    Example:
        >>> import pathlib, jaxnet
        >>> [pathlib.Path(file).name for file in expand(f"{jaxnet.__path__[0]}/network.p[xy]")]
        ['network.py']
    """
    if path == STDIN:
        return []
    if os.path.isdir(path):
        return _pictures(path)
    if os.path.lexists(path) or not glob.has_magic(path):
        return [path]
    _check_readable(path)
    files = [file for file in glob.iglob(path, recursive=True) if not os.path.isdir(file)]
    if without is not None:
        apart = os.path.join(os.path.realpath(without), "")
        folders = {folder: os.path.realpath(folder) for folder in map(os.path.dirname, files)}
        files = [
            file
            for file in files
            if not os.path.join(folders[os.path.dirname(file)], "").startswith(apart)
        ]
    if not files:
        raise FileError(f"{path}: no file has this name or matches it as a pattern.")
    return sorted(files)


def _check_readable(pattern: str) -> None:
    """Raises PermissionError where `glob` would silently skip an unreadable folder."""
    head = ""
    for part in re.findall(r"/+|[^/]+", pattern.replace(os.sep, "/")):
        has_magic = glob.has_magic(part)
        if part[0] != "/" and not (has_magic and head.endswith("**/")):  # checked already
            looked_into = f"{head}**/" if part == "**" else head
            for folder in glob.iglob(looked_into, recursive=True) if looked_into else [""]:
                with suppress(FileNotFoundError, NotADirectoryError):
                    if has_magic:
                        os.scandir(folder or ".").close()
                    else:
                        os.lstat(os.path.join(folder, part))
        head += part


def _opened(
    path: str, without: str | os.PathLike[str] | None
) -> Iterator[tuple[File, File | Part]]:
    """The files that a path expands to, and the content of each; a picture stays a file."""
    files, in_folder = expand(path, without), os.path.isdir(path)
    for file in files:
        opened = None
        try:
            if not in_folder:
                opened = open_file(file)
        except (OSError, FileError):
            if files == [path] or not file.lower().endswith(SUFFIXES):
                raise
        if opened is None:
            picture = _picture(file)
            yield picture, picture
            continue
        with opened:
            known = found(file, file, os.fstat(opened.fileno()))
            yield known, _content(opened, known) or known


def _picture(path: str) -> File:
    """One of several pictures; if it cannot be opened, its row reports that."""
    try:
        return found(path, path, os.stat(path))
    except OSError:
        return File(path, path, -1, -1)


def _read(
    parts: Sequence[Part], ends: Sequence[int], start: int, stop: int, over: Event | None = None
) -> Rows:
    n = ends[-1] if ends else 0
    if not 0 <= start <= stop <= n:
        raise ValueError(f"Expected a range within 0 to {n:,}; got {start:,} to {stop:,} instead.")
    rows: list[Rows] = []
    while start < stop:
        at = bisect_right(ends, start)
        first = ends[at] - parts[at].n
        until = min(stop, ends[at])
        rows.append(parts[at].read(start - first, until - first, over))
        start = until
    return together(rows)


class Format(NamedTuple):
    """A file format that holds many images.

    Attributes:
        name: for messages.
        magic: how such files begin.
        open: finds the images in an open file.
    """

    name: str
    magic: bytes
    open: Callable[[BinaryIO, File], Part]


def _open_gzip(opened: BinaryIO, file: File) -> Part:
    return _temporary(partial(_idx.unpack, opened, name=file.name), file.name)


def _open_idx(opened: BinaryIO, file: File) -> Part:
    return _array(file, _idx.read_header(opened, file.name))


def _open_npy(opened: BinaryIO, file: File) -> Part:
    return _array(file, _npy.read_header(opened, file.name))


# To add a format, write its reader in a file of its own and give it a line here.
FORMATS = (
    Format("IDX", bytes(2), _open_idx),
    Format("compressed IDX", _idx.GZIP, _open_gzip),
    Format(".npy", _npy.MAGIC, _open_npy),
    Format("Parquet", _parquet.MAGIC, lambda _, file: _parquet.open_parquet(file)),
)


def _content(opened: BinaryIO, file: File) -> Part | None:
    """The images in a file, by how it begins; None if it is a picture."""
    head = opened.read(12)
    opened.seek(0)
    for format in FORMATS:
        if head.startswith(format.magic):
            return format.open(opened, file)
    if not is_picture(head) and not file.name.lower().endswith(SUFFIXES):
        known = ", ".join(format.name for format in FORMATS)
        raise FileError(f"{file.name}: expected PNG, JPEG, WEBP, BMP, GIF, {known}.")
    return None


def _temporary(fill: Callable[[BinaryIO], None], name: str) -> Part:
    """Images unpacked into an anonymous temporary file, deleted when no longer referenced."""
    try:
        with ExitStack() as stack:
            temporary = cast(BinaryIO, stack.enter_context(tempfile.TemporaryFile()))
            fill(temporary)
            temporary.seek(0)
            file = found(name, temporary, os.fstat(temporary.fileno()))
            part = _content(temporary, file) or _side_by_side([file])
            weakref.finalize(part.read, stack.pop_all().close)
            return part
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            says = f"{error.strerror}, while unpacking {name} (set TMPDIR to use another folder)"
            raise OSError(error.errno, says, tempfile.gettempdir()) from error
        raise


def _standard_input() -> tuple[Part, dict[str, Any]]:
    if sys.stdin is None or sys.stdin.isatty():  # it is None where it was closed
        raise FileError(f"{STANDARD_INPUT}: no input; pipe a file into it.")
    digest = hashlib.sha256()
    size = 0

    def fill(file: BinaryIO) -> None:
        nonlocal size
        while piece := sys.stdin.buffer.read(_PIECE):
            digest.update(piece)
            size += file.write(piece)

    part = _temporary(fill, STANDARD_INPUT)
    return part, {"path": STDIN, "bytes": size, "sha256": digest.hexdigest()}


def _pictures(path: str) -> list[str]:
    """The pictures in a folder, without its subfolders."""
    with os.scandir(path) as entries:
        chosen = [
            entry.name
            for entry in entries
            if entry.name.lower().endswith(SUFFIXES)
            and not entry.name.startswith(".")
            and not (os.path.isdir(entry) if entry.is_symlink() else entry.is_dir())
        ]
    if not chosen:
        raise FileError(f"{path}: no pictures in this folder ({', '.join(SUFFIXES)}).")
    return [str(Path(path, name)) for name in sorted(chosen)]


def _about(path: str, files: Sequence[File]) -> dict[str, Any]:
    """A fingerprint of the input files, for resuming."""
    about: dict[str, Any] = {"path": path, "absolute": os.path.abspath(path)}
    if [file.name for file in files] == [path]:
        return {**about, "bytes": files[0].size, "mtime_ns": files[0].mtime_ns}
    digest = hashlib.sha256()
    for file in files:
        digest.update(os.fsencode(file.name) + b"\0%d %d\n" % (file.size, file.mtime_ns))
    return {**about, "files": len(files), "sha256": digest.hexdigest()}


def _array(file: File, layout: Layout) -> Part:
    """Images in an array of shape (n, 28, 28) or (n, 784), or a single image."""
    dtype, shape = layout.dtype, layout.shape
    if shape in ((28, 28), (784,)):
        shape = (1, *shape)
    if shape[1:] not in ((28, 28), (784,)):
        raise FileError(
            f"{file.name}: expected images of shape (n, 28, 28) or (n, 784); got shape {shape}."
        )
    if dtype != np.uint8 and dtype.kind != "f":
        raise FileError(f"{file.name}: expected images in uint8 or floats; got {dtype}.")
    read = partial(_read_array, file, layout._replace(shape=shape))
    return Part(shape[0], read, floats=None if dtype == np.uint8 else file.name)


def _read_array(file: File, layout: Layout, start: int, stop: int, _: Event | None) -> Rows:
    images = read_rows(file, layout, start, stop).reshape(-1, 784)
    return checked(images, Numbered(file.name, range(start, stop)))


def _pictures_together(contents: Iterable[File | Part]) -> Iterator[Part]:
    """Merges consecutive pictures into one part, to decode them in parallel."""
    for are_pictures, several in groupby(contents, lambda part: isinstance(part, File)):
        if are_pictures:
            yield _side_by_side(cast(list[File], [*several]))
        else:
            yield from cast(Iterable[Part], several)


def _side_by_side(files: Sequence[File]) -> Part:
    several = at_once(len(files), sum(max(file.size, 0) for file in files))
    return Part(len(files), partial(_read_pictures, files), several, files[0].name)


def _read_pictures(files: Sequence[File], start: int, stop: int, over: Event | None) -> Rows:
    files = files[start:stop]

    def picture(row: int, room: Room) -> NDArray[np.float32]:
        with reopen(files[row]) as opened:
            opened.seek(0)
            return decode(opened, files[row].name, room)

    return decoded(picture, [file.name for file in files], over)
