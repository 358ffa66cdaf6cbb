"""Images by the paths of what holds them, however many: read a range at a time, from anywhere.

What a file is shows in its bytes, not in its name: an IDX file, raw or compressed by gzip; a
`.npy` or Parquet file; a picture. Beside files there are folders of pictures, patterns such as
`scans/**/*.png`, and `-`, the standard input.
"""

import glob
import hashlib
import os
import sys
import tempfile
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from jaxnet.data import idx, npy, parquet
from jaxnet.data.images import SUFFIXES, decode, is_picture
from jaxnet.data.rows import Part, Rows, checked, decoded, together
from jaxnet.data.stored import File, Layout, read_rows, reopen
from jaxnet.files import FileError, open_file

STANDARD_INPUT = "standard input"
_PIECE = 2**20


class Inputs(NamedTuple):
    """Images that have been found, and are read as they are asked for.

    Attributes:
        n: how many.
        read: takes the first row and the one after the last, and gives these `Rows`, in order
            and the same each time; for one thread at a time.
        identity: what was opened, as JSON can hold it: the path and size of each file, the
            number, names and sizes of a folder's, the digest of the standard input.
    """

    n: int
    read: Callable[[int, int], Rows]
    identity: list[dict[str, Any]]


def open_inputs(paths: Iterable[str | os.PathLike[str]]) -> Inputs:
    """Finds images and how many they are, without reading their pixels.

    Args:
        paths: files, folders of pictures (which are taken in the order of their names), patterns
            as `glob.glob` takes them, recursively, where no file is called so (the files that
            match are sorted), and "-" for a file on the standard input.

    Returns:
        The images, in that order. To read them raises FileError or OSError where a file has
        changed or gone since; pictures that are gone or bad are among the errors of their rows.

    Raises:
        FileError: nothing is found, or a file is none of these, or damaged, or not of images.
        ModuleNotFoundError: there is a Parquet file, and nothing that reads it.
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
    found: list[File | Part] = []  # a file is a picture
    identity: list[dict[str, Any]] = []
    for path in map(os.fsdecode, paths):
        if path == "-":
            part, about = _standard_input()
            found.append(part)
        elif os.path.isdir(path):
            pictures, about = _folder(path)
            found += pictures
        elif not os.path.lexists(path) and glob.has_magic(path):
            files = sorted(filter(os.path.isfile, glob.iglob(path, recursive=True)))
            if not files:
                raise FileError(f"{path}: no file is called so, nor matches it as a pattern.")
            about = _several(path, [(file, os.path.getsize(file)) for file in files])
            found += map(_file, files)
        else:
            found.append(_file(path))
            about = {"path": path, "bytes": os.path.getsize(path)}
        identity.append(about)
    parts = [*_pictures_together(found)]
    ends = [*accumulate(part.n for part in parts)]
    return Inputs(sum(part.n for part in parts), partial(_read, parts, ends), identity)


def _read(parts: Sequence[Part], ends: Sequence[int], start: int, stop: int) -> Rows:
    n = ends[-1] if ends else 0
    if not 0 <= start <= stop <= n:
        raise ValueError(f"Expected a range within 0 to {n:,}; got {start:,} to {stop:,} instead.")
    rows: list[Rows] = []
    while start < stop:
        at = bisect_right(ends, start)
        first = ends[at] - parts[at].n
        until = min(stop, ends[at])
        rows.append(parts[at].read(start - first, until - first))
        start = until
    return together(rows)


def _file(path: str) -> File | Part:
    """Opens a file; a picture stays one."""
    with open_file(path) as opened:
        file = File(path, path, os.fstat(opened.fileno()).st_size)
        return _content(opened, file) or file


def _content(opened: BinaryIO, file: File) -> Part | None:
    """The images in a file; none, if it is a picture."""
    head = opened.read(12)
    opened.seek(0)
    if head.startswith(idx.GZIP):
        return _temporary(partial(idx.unpack, opened, name=file.name), file.name)
    if head[:2] == bytes(2):
        return _array(file, idx.read_header(opened, file.name))
    if head.startswith(npy.MAGIC):
        return _array(file, npy.read_header(opened, file.name))
    if head.startswith(parquet.MAGIC):
        return parquet.open_parquet(file)
    if not is_picture(head) and not file.name.lower().endswith(SUFFIXES):
        raise FileError(f"{file.name}: none of PNG, JPEG, WEBP, BMP, GIF, IDX, .npy and Parquet.")
    return None


def _temporary(fill: Callable[[BinaryIO], None], name: str) -> Part:
    """The images in a file without a path, which goes with the last that can read from it."""
    with ExitStack() as stack:
        temporary = cast(BinaryIO, stack.enter_context(tempfile.TemporaryFile()))
        fill(temporary)
        file = File(name, temporary, temporary.tell())
        temporary.seek(0)
        part = _content(temporary, file) or Part(1, partial(_read_pictures, [file]))
        weakref.finalize(part.read, stack.pop_all().close)
        return part


def _standard_input() -> tuple[Part, dict[str, Any]]:
    if sys.stdin.isatty():
        raise FileError(f"{STANDARD_INPUT}: nothing comes from there; pipe a file into it.")
    digest = hashlib.sha256()
    size = 0

    def fill(file: BinaryIO) -> None:
        nonlocal size
        while piece := sys.stdin.buffer.read(_PIECE):
            digest.update(piece)
            size += file.write(piece)

    part = _temporary(fill, STANDARD_INPUT)
    return part, {"path": "-", "bytes": size, "sha256": digest.hexdigest()}


def _folder(path: str) -> tuple[list[File], dict[str, Any]]:
    """The pictures right in a folder."""
    with os.scandir(path) as entries:
        chosen = [
            entry
            for entry in entries
            if entry.name.lower().endswith(SUFFIXES)
            and not entry.name.startswith(".")
            and not entry.is_dir()
        ]
    if not chosen:
        raise FileError(f"{path}: no pictures in this folder ({', '.join(SUFFIXES)}).")
    files: list[File] = []
    for entry in sorted(chosen, key=lambda entry: entry.name):
        name = str(Path(path, entry.name))
        files.append(File(name, name, entry.stat().st_size))
    return files, _several(path, [(file.name, file.size) for file in files])


def _several(path: str, files: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """What to know a folder's or a pattern's files by."""
    digest = hashlib.sha256()
    for name, size in files:
        digest.update(os.fsencode(name) + b"\0%d\n" % size)
    return {"path": path, "files": len(files), "sha256": digest.hexdigest()}


def _array(file: File, layout: Layout) -> Part:
    """Images in an array: 28×28 or 784 each, or one alone."""
    dtype, shape = layout.dtype, layout.shape
    if shape in ((28, 28), (784,)):
        shape = (1, *shape)
    if shape[1:] not in ((28, 28), (784,)):
        raise FileError(
            f"{file.name}: expected images of shape (n, 28, 28) or (n, 784); got shape {shape}."
        )
    if dtype != np.uint8 and dtype.kind != "f":
        raise FileError(f"{file.name}: expected images in uint8 or floats; got {dtype}.")
    return Part(shape[0], partial(_read_array, file, layout._replace(shape=shape)))


def _read_array(file: File, layout: Layout, start: int, stop: int) -> Rows:
    images = read_rows(file, layout, start, stop).reshape(-1, 784)
    return checked(images, [f"{file.name}[{n}]" for n in range(start, stop)])


def _pictures_together(found: Iterable[File | Part]) -> Iterator[Part]:
    """Pictures that follow each other as one part, so that they are decoded side by side."""
    for are_pictures, several in groupby(found, lambda part: isinstance(part, File)):
        if are_pictures:
            files = cast(list[File], [*several])
            yield Part(len(files), partial(_read_pictures, files))
        else:
            yield from cast(Iterable[Part], several)


def _read_pictures(files: Sequence[File], start: int, stop: int) -> Rows:
    files = files[start:stop]

    def picture(row: int) -> NDArray[np.float32]:
        with reopen(files[row]) as opened:
            opened.seek(0)
            return decode(opened, files[row].name)

    return decoded(picture, [file.name for file in files])
