"""Random access to the images in a set of files, without loading them all.

A file's format is detected from its bytes, not its name: IDX, raw or gzipped; `.npy`; `.npz`;
Parquet; CSV; or a picture. Besides files there are folders of pictures, patterns such as
`scans/**/*.png`, and `-`, the standard input.
"""

import errno
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
from threading import Event
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.arguments import check_choice
from jaxnet._util.files import FileError, named, open_file
from jaxnet.data import _csv, _idx, _labels, _npy, _npz, _parquet
from jaxnet.data._arrays import File, found, images_of, transpose
from jaxnet.data._paths import STDIN, find, split_fragment
from jaxnet.data._pictures import side_by_side
from jaxnet.data._rows import AT_ONCE, Part, Rows, together, whole
from jaxnet.data._stdin import (
    HEAD,
    LARGEST_PICTURE,
    STANDARD_INPUT,
    Given,
    copy,
    copy_declared,
    copy_gzip,
    copy_undeclared,
)
from jaxnet.data.pictures._decode import NAMES, SUFFIXES, is_picture
from jaxnet.network import SIDE

SPLITS = ("train", "test", "validation")


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
        notes: sentences for people: what a folder has besides, or how a file was understood.
        files: the pictures' files, in order, if there is nothing but pictures.
    """

    n: int
    read: Callable[..., Rows]
    identity: list[dict[str, Any]]
    at_once: int = AT_ONCE
    floats: str | None = None
    pictures: bool = False
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class Choice(NamedTuple):
    """Which of a file's images are meant.

    Attributes:
        split: the split of an archive to take where there are several.
        fragment: what a path ends with after "#", which comes first.
        several: whether a picture may show more than one digit.
    """

    split: str = "test"
    fragment: str | None = None
    several: bool = False


def open_inputs(
    paths: Iterable[str | os.PathLike[str]],
    *,
    several: bool = False,
    without: str | os.PathLike[str] | None = None,
    split: str = "test",
    recursive: bool = False,
    transposed: bool = False,
    side: int = SIDE,
    skip: bool = False,
) -> Inputs:
    """Finds and counts the images in files, without reading their pixels.

    Args:
        paths: files; folders of pictures, in the order of their names, and of the subfolders'
            names if there are pictures only in subfolders such as `3`; recursive patterns as for
            `glob.glob`, if no file has that name, in sorted order, whose `**` follows no links; and
            "-" for a file on the standard input.
        several: whether a picture may show more than one digit, and has a row for each; otherwise
            such a picture is an error of its row.
        without: a folder that patterns skip: the one that answers are written to.
        split: "train", "test" or "validation", where a `.npz` file holds several; a path may name
            another, as in `mnist.npz#train`.
        recursive: take the pictures in all subfolders of a folder, too.
        transposed: swap the rows and columns of every image, as EMNIST's files need.
        side: pixels along each side of the images, as the network takes them. If it is at most 16,
            and the pixels all over a file are whole numbers up to 16, as in scikit-learn's digits,
            16 is white.
        skip: make pictures that cannot be opened errors of their rows, and pass over folders that
            cannot be read; otherwise only pictures in folders and patterns are.

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
    check_choice(SPLITS, split, "split")
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    notes: list[str] = []
    contents: list[File | Part] = []  # a file is a picture
    identity: list[dict[str, Any]] = []
    for path in map(os.fsdecode, paths):
        if path == STDIN:
            part, about = _standard_input(Choice(split, several=several), side)
            contents.append(part)
        else:
            try:
                there = find(path, without, recursive=recursive)
            except OSError as error:
                if not skip:
                    raise
                notes.append(f"{path}: passed over: {error.strerror}.")
                continue
            opened = [*_opened(path, there.files, split, side, skip=skip)]
            notes += [there.note] if there.note else []
            contents += [content for _, content in opened]
            about = _about(path, [file for file, _ in opened])
        identity.append(about)
    identity += [{"transposed": True}] if transposed else []
    notes += [part.note for part in contents if isinstance(part, Part) and part.note]
    files = [content.name for content in contents if isinstance(content, File)]
    parts = [*_pictures_together(contents, several)]
    ends = [*accumulate(part.n for part in parts)]
    read = partial(_read, parts, ends, side)
    return Inputs(
        sum(part.n for part in parts),
        partial(_read_transposed, read) if transposed else read,
        identity,
        min((part.at_once for part in parts), default=AT_ONCE),
        next((part.floats for part in parts if part.floats and part.n), None),
        any(part.pictures for part in parts),
        tuple(notes),
        tuple(files) if len(files) == len(contents) else (),
    )


def _opened(
    path: str, files: Sequence[str], split: str, side: int, *, skip: bool
) -> Iterator[tuple[File, File | Part]]:
    """The content of each of the files that a path stands for; a picture stays a file."""
    in_folder, choice = os.path.isdir(path), Choice(split, split_fragment(path)[1])
    for file in files:
        opened = None
        try:
            if not in_folder:
                opened = open_file(file)
        except (OSError, FileError):
            if (files == [path] and not skip) or not file.lower().endswith(SUFFIXES):
                raise
        if opened is None:
            picture = _picture(file, side)
            yield picture, picture
            continue
        with opened, named(file):
            known = found(file, file, os.fstat(opened.fileno()), side)
            yield known, _content(opened, known, choice) or known


def _picture(path: str, side: int) -> File:
    """One of several pictures; if it cannot be opened, its row reports that."""
    try:
        return found(path, path, os.stat(path), side)
    except OSError:
        return File(path, path, -1, -1, side)


def _read(
    parts: Sequence[Part],
    ends: Sequence[int],
    side: int,
    start: int,
    stop: int,
    over: Event | None = None,
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
    found = together(rows, side)
    if any(part.pictures for part in parts) and not found.places:
        return found._replace(places=whole(found))
    return found


def _read_transposed(
    read: Callable[..., Rows], start: int, stop: int, over: Event | None = None
) -> Rows:
    rows = read(start, stop, over)
    return rows._replace(images=transpose(rows.images))


def _content(opened: BinaryIO, file: File, choice: Choice) -> Part | None:
    """The images in a file, by how it begins; None if it is a picture."""
    head = opened.read(HEAD)
    opened.seek(0)
    form = format_of(head, file.name)
    return form.open(opened, file, fitting(choice, form, file.name)) if form else None


def format_of(head: bytes, name: str, what: str = "") -> "Format | None":
    """The format of a file, by how it begins; None if it is a picture."""
    if not is_picture(head):
        for form in FORMATS:
            if form.begins(head):
                return form
    if not is_picture(head) and not name.lower().endswith(SUFFIXES):
        if not head:
            raise FileError(f"{name}: this is empty.")
        known = ", ".join(form.name for form in FORMATS)
        known = known if what else f"{NAMES}, {known}"
        raise FileError(f"{name}: expected {what}{known}.")
    return None


def fitting(choice: Choice, form: "Format", name: str) -> Choice:
    """The choice, if the format has parts to choose from or none is named."""
    if choice.fragment is not None and form.name != ".npz":
        raise FileError(
            f"{name}: no file is called {name}#{choice.fragment}, and this has no parts."
        )
    return choice


def _temporary(
    fill: Callable[[BinaryIO], object],
    name: str,
    side: int,
    choice: Choice,
) -> Part:
    """Images unpacked into an anonymous temporary file, deleted when no longer referenced."""
    try:
        with ExitStack() as stack:
            temporary = cast(BinaryIO, stack.enter_context(tempfile.TemporaryFile()))
            fill(temporary)
            temporary.seek(0)
            file = found(name, temporary, os.fstat(temporary.fileno()), side)
            part = _content(temporary, file, choice) or side_by_side([file], choice.several)
            weakref.finalize(part.read, stack.pop_all().close)
            return part
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            says = f"{error.strerror}, while unpacking {name} (set TMPDIR to use another folder)"
            raise OSError(error.errno, says, tempfile.gettempdir()) from error
        raise


def _standard_input(choice: Choice, side: int) -> tuple[Part, dict[str, Any]]:
    if sys.stdin is None or sys.stdin.isatty():  # it is None where it was closed
        raise FileError(f"{STANDARD_INPUT}: no input; pipe a file into it.")
    given = Given(sys.stdin.buffer)
    form = format_of(given.head, STANDARD_INPUT)

    def fill(file: BinaryIO) -> None:
        if form:
            form.copy(cast(BinaryIO, given), file)
        else:
            copy(given, file, LARGEST_PICTURE)

    part = _temporary(fill, STANDARD_INPUT, side, choice)
    digest = given.digest.hexdigest()
    return part, {"path": STDIN, "bytes": given.size, "sha256": digest}


class Format(NamedTuple):
    """A file format that holds many images, labels or both.

    Attributes:
        name: for messages.
        begins: whether a file is one, by how it begins.
        open: finds the images in an open file.
        labels: loads the labels in a file.
        names: loads the columns beside the labels, one of which may name pictures.
        copy: copies such a file from standard input to an open file, unpacked, and no more than
            it declares.
    """

    name: str
    begins: Callable[[bytes], bool]
    open: Callable[[BinaryIO, File, Choice], Part]
    labels: Callable[[File, Choice], NDArray[np.uint8]]
    copy: Callable[[BinaryIO, BinaryIO], None]
    names: Callable[[File], list[list[str]]] = lambda _: []


def _open_gzip(opened: BinaryIO, file: File, choice: Choice) -> Part:
    fill = partial(_idx.unpack, opened, name=file.name, on_disk=file.size)
    return _temporary(fill, file.name, file.side, choice)


def _open_idx(opened: BinaryIO, file: File, _: Choice) -> Part:
    return images_of(file, _idx.read_header(opened, file.name))


def _open_npy(opened: BinaryIO, file: File, _: Choice) -> Part:
    return images_of(file, _npy.read_header(opened, file.name))


def _open_npz(_: BinaryIO, file: File, choice: Choice) -> Part:
    arrays = _npz.choose(file, choice.split, choice.fragment)
    if arrays.images is None:
        raise FileError(f"{arrays.shown}: no images beside the labels.")
    fill = partial(_npz.unpack, file, arrays.images)
    return _temporary(fill, arrays.shown, file.side, choice._replace(fragment=None))


# To add a format, write its reader in a file of its own and give it a line here.
FORMATS = (
    Format(
        "IDX",
        _idx.begins_idx,
        _open_idx,
        lambda file, _: _idx.read_labels(file),
        partial(copy_declared, _idx.copy_header),
    ),
    Format(
        "compressed IDX",
        lambda head: head.startswith(_idx.GZIP),
        _open_gzip,
        lambda file, _: _idx.read_labels(file),
        copy_gzip,
    ),
    Format(
        ".npy",
        lambda head: head.startswith(_npy.MAGIC),
        _open_npy,
        lambda file, _: _labels.as_labels(_npy.read_npy(file.name), file.name),
        partial(copy_declared, _npy.copy_header),
    ),
    Format(
        ".npz",
        lambda head: head.startswith(_npz.MAGIC),
        _open_npz,
        lambda file, choice: _npz.read_labels(file, choice.split, choice.fragment),
        copy_undeclared,
    ),
    Format(
        "Parquet",
        lambda head: head.startswith(_parquet.MAGIC),
        lambda _, file, __: _parquet.open_parquet(file),
        lambda file, _: _parquet.read_labels(file),
        copy_undeclared,
        _parquet.read_names,
    ),
    Format(
        "CSV",
        _csv.begins_csv,
        lambda _, file, __: _csv.open_csv(file),
        lambda file, _: _csv.read_labels(file),
        copy_undeclared,
        _csv.read_names,
    ),
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


def _pictures_together(contents: Iterable[File | Part], several: bool) -> Iterator[Part]:
    """Merges consecutive pictures into one part, to decode them in parallel."""
    for are_pictures, group in groupby(contents, lambda part: isinstance(part, File)):
        if are_pictures:
            yield side_by_side(cast(list[File], [*group]), several)
        else:
            yield from cast(Iterable[Part], group)
