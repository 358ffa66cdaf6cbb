"""Random access to the images in a set of files, without loading them all.

A file's format is detected from its bytes, not its name: IDX, raw or gzipped; `.npy`; Parquet; or a
picture. Besides files there are folders of pictures, patterns such as `scans/**/*.png`, and `-`,
the standard input.
"""

import errno
import hashlib
import math
import os
import shutil
import sys
import tempfile
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import accumulate, groupby
from threading import Event
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

from jaxnet._util.files import FileError, named, open_file
from jaxnet.data import _idx, _npy, _parquet
from jaxnet.data._arrays import File, Layout, found, read_rows, reopen
from jaxnet.data._paths import STDIN, expand
from jaxnet.data._rows import (
    AT_ONCE,
    Numbered,
    Part,
    Rows,
    at_once,
    checked,
    decoded,
    together,
    whole,
)
from jaxnet.data.pictures import NAMES, SUFFIXES, Digits, Room, decode, is_picture
from jaxnet.data.pictures._find import thumbnails

STANDARD_INPUT = "standard input"
_PIECE = 2**20
_LARGEST_PICTURE = 2**28  # bytes on standard input


class Inputs(NamedTuple):
    """Images in files, read on demand.

    Attributes:
        n: the number of images, or of pictures.
        read: returns the `Rows` from a first row up to a last one, exclusive; from one thread at a
            time. Another thread may set the event that is an optional third argument to cancel it.
        identity: JSON that identifies what was opened: each file's path, size and modification
            time; for folders also their number and names; the digest of the standard input.
        at_once: how many images to read together; fewer for pictures, which take longer.
        floats: the name of a file with floating-point images, if any is known.
        pictures: whether any are pictures.
    """

    n: int
    read: Callable[..., Rows]
    identity: list[dict[str, Any]]
    at_once: int = AT_ONCE
    floats: str | None = None
    pictures: bool = False


def open_inputs(
    paths: Iterable[str | os.PathLike[str]],
    *,
    several: bool = False,
    without: str | os.PathLike[str] | None = None,
) -> Inputs:
    """Finds and counts the images in files, without reading their pixels.

    Args:
        paths: files; folders of pictures, in the order of their names; recursive patterns as for
            `glob.glob`, if no file has that name, in sorted order, whose `**` follows no links; and
            "-" for a file on the standard input.
        several: whether a picture may show more than one digit, and has a row for each; otherwise
            such a picture is an error of its row.
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
            part, about = _standard_input(several)
            contents.append(part)
        else:
            opened = [*_opened(path, without)]
            contents += [content for _, content in opened]
            about = _about(path, [file for file, _ in opened])
        identity.append(about)
    parts = [*_pictures_together(contents, several)]
    ends = [*accumulate(part.n for part in parts)]
    return Inputs(
        sum(part.n for part in parts),
        partial(_read, parts, ends),
        identity,
        min((part.at_once for part in parts), default=AT_ONCE),
        next((part.floats for part in parts if part.floats and part.n), None),
        any(part.pictures for part in parts),
    )


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
        with opened, named(file):
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
    found = together(rows)
    if any(part.pictures for part in parts) and not found.places:
        return found._replace(places=whole(found))
    return found


def _content(opened: BinaryIO, file: File) -> Part | None:
    """The images in a file, by how it begins; None if it is a picture."""
    head = opened.read(12)
    opened.seek(0)
    form = _format_of(head, file.name)
    return form.open(opened, file) if form else None


def _format_of(head: bytes, name: str) -> "Format | None":
    """The format of a file, by how it begins; None if it is a picture."""
    for form in FORMATS:
        if head.startswith(form.magic):
            return form
    if not is_picture(head) and not name.lower().endswith(SUFFIXES):
        if not head:
            raise FileError(f"{name}: this is empty.")
        known = ", ".join(form.name for form in FORMATS)
        raise FileError(f"{name}: expected {NAMES}, {known}.")
    return None


def _temporary(fill: Callable[[BinaryIO], None], name: str, several: bool = False) -> Part:
    """Images unpacked into an anonymous temporary file, deleted when no longer referenced."""
    try:
        with ExitStack() as stack:
            temporary = cast(BinaryIO, stack.enter_context(tempfile.TemporaryFile()))
            fill(temporary)
            temporary.seek(0)
            file = found(name, temporary, os.fstat(temporary.fileno()))
            part = _content(temporary, file) or _side_by_side([file], several)
            weakref.finalize(part.read, stack.pop_all().close)
            return part
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            says = f"{error.strerror}, while unpacking {name} (set TMPDIR to use another folder)"
            raise OSError(error.errno, says, tempfile.gettempdir()) from error
        raise


def _standard_input(several: bool) -> tuple[Part, dict[str, Any]]:
    if sys.stdin is None or sys.stdin.isatty():  # it is None where it was closed
        raise FileError(f"{STANDARD_INPUT}: no input; pipe a file into it.")
    given = _Given(sys.stdin.buffer)
    form = _format_of(given.head, STANDARD_INPUT)

    def fill(file: BinaryIO) -> None:
        if form:
            form.copy(cast(BinaryIO, given), file)
        else:
            _copy(given, file, _LARGEST_PICTURE)

    part = _temporary(fill, STANDARD_INPUT, several)
    digest = given.digest.hexdigest()
    return part, {"path": STDIN, "bytes": given.size, "sha256": digest}


class _Given:
    """Standard input, whose beginning is looked at before it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.head = file, file.read(12)
        self.again, self.size, self.digest = self.head, 0, hashlib.sha256()

    def read(self, n: int) -> bytes:
        piece, self.again = self.again[:n], self.again[n:]
        if len(piece) < n:
            piece += self.file.read(n - len(piece))
        self.size += len(piece)
        self.digest.update(piece)
        return piece


def _copy(given: "_Given | BinaryIO", file: BinaryIO, most: int) -> None:
    """Copies the rest of standard input to a file that may have so many bytes in all."""
    while piece := given.read(min(_PIECE, most - file.tell())):
        file.write(piece)
    if given.read(1):
        raise FileError(f"{STANDARD_INPUT}: more than the {most:,} bytes that it may have.")


def _copy_declared(
    copy_header: Callable[[BinaryIO, BinaryIO, str], Layout], given: BinaryIO, file: BinaryIO
) -> None:
    layout = copy_header(given, file, STANDARD_INPUT)
    _copy(given, file, layout.offset + layout.n_bytes)


def _copy_gzip(given: BinaryIO, file: BinaryIO) -> None:
    _idx.unpack(given, file, STANDARD_INPUT, math.inf)


def _copy_parquet(given: BinaryIO, file: BinaryIO) -> None:
    """Up to half of the room where temporary files are; the format declares no size."""
    _copy(given, file, shutil.disk_usage(tempfile.gettempdir()).free // 2)


class Format(NamedTuple):
    """A file format that holds many images.

    Attributes:
        name: for messages.
        magic: how such files begin.
        open: finds the images in an open file.
        copy: copies such a file from standard input to an open file, unpacked, and no more than
            it declares.
    """

    name: str
    magic: bytes
    open: Callable[[BinaryIO, File], Part]
    copy: Callable[[BinaryIO, BinaryIO], None]


def _open_gzip(opened: BinaryIO, file: File) -> Part:
    return _temporary(partial(_idx.unpack, opened, name=file.name, on_disk=file.size), file.name)


def _open_idx(opened: BinaryIO, file: File) -> Part:
    return _array(file, _idx.read_header(opened, file.name))


def _open_npy(opened: BinaryIO, file: File) -> Part:
    return _array(file, _npy.read_header(opened, file.name))


def _open_parquet(_: BinaryIO, file: File) -> Part:
    return _parquet.open_parquet(file)


# To add a format, write its reader in a file of its own and give it a line here.
FORMATS = (
    Format("IDX", bytes(2), _open_idx, partial(_copy_declared, _idx.copy_header)),
    Format("compressed IDX", _idx.GZIP, _open_gzip, _copy_gzip),
    Format(".npy", _npy.MAGIC, _open_npy, partial(_copy_declared, _npy.copy_header)),
    Format("Parquet", _parquet.MAGIC, _open_parquet, _copy_parquet),
)


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


def _pictures_together(contents: Iterable[File | Part], several: bool) -> Iterator[Part]:
    """Merges consecutive pictures into one part, to decode them in parallel."""
    for are_pictures, together_ in groupby(contents, lambda part: isinstance(part, File)):
        if are_pictures:
            yield _side_by_side(cast(list[File], [*together_]), several)
        else:
            yield from cast(Iterable[Part], together_)


def _side_by_side(files: Sequence[File], several: bool) -> Part:
    n_at_once = at_once(len(files), sum(max(file.size, 0) for file in files))
    read = partial(_read_pictures, files, several)
    return Part(len(files), read, n_at_once, files[0].name, pictures=True)


def _read_pictures(
    files: Sequence[File], several: bool, start: int, stop: int, over: Event | None
) -> Rows:
    files = files[start:stop]

    def picture(at: int, room: Room | None) -> Digits:
        with reopen(files[at]) as opened:
            opened.seek(0)
            return decode(opened, files[at].name, room, several=several)

    stored = [
        (file.place if isinstance(file.place, str) else "", file.size, file.mtime_ns)
        for file in files
    ]
    return decoded(picture, [file.name for file in files], over, thumbnails(stored))
