"""Arrays in NumPy's `.npz` archives, such as Keras' `mnist.npz`.

Source: `numpy.savez`: a ZIP archive of one `.npy` file an array.
"""

import errno
import re
import zipfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError
from jaxnet.data import _npy
from jaxnet.data._arrays import MOST_FROM_ONE_BYTE, File, Layout, is_of_images, reopen
from jaxnet.data._labels import as_labels

MAGIC = b"PK"
IMAGES = ("x", "image", "images", "data", "pixels", "features")
LABELS = ("y", "label", "labels", "target", "targets", "digits")
_SPLITS = {"train": "train", "test": "test", "val": "validation"}
_SPLIT = re.compile("(train|test|val)(ing|id|idation)?")
_PIECE = 2**20  # bytes that are read at once; more than any directory of an honest archive
_MOST_LABELS = 2**28  # bytes
_MOST_ARRAYS = 1_000


class Arrays(NamedTuple):
    """The arrays of one split.

    Attributes:
        shown: what messages call them.
        images, labels: the members of the archive that hold them, if there are any.
    """

    shown: str
    images: str | None = None
    labels: str | None = None


def choose(file: File, split: str, fragment: str | None) -> Arrays:
    """Chooses a split: the one that is asked for, or the only one."""
    with _archive(file) as archive:
        layouts = _layouts(archive, file)
    splits = _by_names(layouts) or _by_shapes(layouts, file.side)
    if not splits:
        got = "; ".join(f"{name} {layout.shape}" for name, layout in layouts.items())
        raise FileError(
            f"{file.name}: expected arrays of images and labels, such as x_test and y_test or "
            f"images and labels; got {got or 'none':.120}."
        )
    if fragment is not None and fragment not in splits:
        several = ", ".join(f"#{name}" for name in splits if name)
        has = f"it has {several}" if several else "it has no parts"
        raise FileError(f"{file.name}: no part of this file is called {fragment!r:.40}; {has}.")
    wanted = split if fragment is None else fragment
    if wanted not in splits and len(splits) > 1:
        raise FileError(
            f"{file.name}: holds {' and '.join(name or 'others' for name in splits)}; name one, "
            f"as in {file.name}#{next(filter(None, splits))}."
        )
    chosen = wanted if wanted in splits else next(iter(splits))
    images, labels = splits[chosen]
    return Arrays(f"{file.name}#{chosen}" if len(splits) > 1 else file.name, images, labels)


def unpack(file: File, member: str, into: BinaryIO) -> None:
    """Unpacks an array into a `.npy` file, up to the size that it declares."""
    with _archive(file) as archive:
        left = archive.getinfo(member).file_size
        with archive.open(member) as packed:
            while piece := packed.read(min(left, _PIECE)):
                into.write(piece)
                left -= len(piece)
    if left:
        raise _damaged(file)


def read_labels(file: File, split: str, fragment: str | None) -> NDArray[np.uint8]:
    """Loads the labels of a split."""
    shown, _, member = choose(file, split, fragment)
    if member is None:
        raise FileError(f"{shown}: no labels beside the images ({', '.join(LABELS[:4])}, …).")
    with _archive(file) as archive:
        layout = _layout(archive, member, file)
    if layout.n_bytes > _MOST_LABELS:
        raise FileError(f"{shown}: too many labels: {layout.in_words}.")
    unpack(file, member, content := BytesIO())
    values = np.frombuffer(content.getbuffer()[layout.offset :], layout.dtype)
    return as_labels(values.reshape(layout.shape, order="F" if layout.fortran else "C"), shown)


def _by_names(layouts: Mapping[str, Layout]) -> dict[str, tuple[str | None, str | None]]:
    """The members that hold the images and the labels of each split, "" for one without a name."""
    found: dict[str, dict[int, str]] = {}
    for member in layouts:
        name = member.removesuffix(".npy").casefold()
        said = _SPLIT.search(name)
        split = _SPLITS[said[1]] if said else ""
        rest = (name.replace(said[0], "") if said else name).strip("_-. ")
        for which, names in enumerate((IMAGES, LABELS)):
            if rest in names:
                found.setdefault(split, {}).setdefault(which, member)
    return {split: (pair.get(0), pair.get(1)) for split, pair in found.items()}


def _by_shapes(
    layouts: Mapping[str, Layout], side: int
) -> dict[str, tuple[str | None, str | None]]:
    """The only array that can be of images, and the only one of labels."""
    images = [member for member, layout in layouts.items() if is_of_images(layout.shape, side)]
    labels = [
        member
        for member, layout in layouts.items()
        if layout.dtype.kind in "ui" and layout.shape[1:] in ((), (1,)) and member not in images
    ]
    if len(images) > 1 or len(labels) > 1 or not images + labels:
        return {}
    return {"": (images[0] if images else None, labels[0] if labels else None)}


def _layouts(archive: zipfile.ZipFile, file: File) -> dict[str, Layout]:
    members = archive.infolist()
    names = [member.filename for member in members]
    if not names or not all(name.endswith(".npy") for name in names):
        got = next((name for name in names if not name.endswith(".npy")), "nothing")
        raise FileError(
            f"{file.name}: a ZIP archive, but not of NumPy's arrays ({got!r:.60}): unpack it first."
        )
    if len({*names}) < len(names) or len(names) > _MOST_ARRAYS:
        raise FileError(f"{file.name}: expected a few arrays in this .npz file; got {len(names)}.")
    return {name: _layout(archive, name, file) for name in names}


def _layout(archive: zipfile.ZipFile, member: str, file: File) -> Layout:
    """The array that a member declares, checked against the sizes that the archive declares."""
    info, name = archive.getinfo(member), f"{file.name}: {member!r:.40}"
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FileError(f"{name}: encrypted or compressed otherwise than by NumPy.")
    if info.file_size > MOST_FROM_ONE_BYTE * file.size:
        raise FileError(f"{name}: declares {info.file_size:,} bytes, more than fit into this file.")
    with archive.open(info) as packed:
        layout = _npy.copy_header(cast(BinaryIO, packed), BytesIO(), name)
    if layout.offset + layout.n_bytes != info.file_size:
        raise FileError(
            f"{name}: the header declares {layout.in_words}, but {info.file_size:,} are there."
        )
    return layout


@contextmanager
def _archive(file: File) -> Generator[zipfile.ZipFile]:
    """Opens the archive; its damage is one sentence."""
    with reopen(file) as opened:
        opened.seek(0)
        try:
            with zipfile.ZipFile(cast(Any, _Sparing(opened))) as archive:
                yield archive
        except (FileError, MemoryError):
            raise
        # A damaged archive fails in as many ways as `zipfile` and `zlib` have lines.
        except Exception as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise  # the system's own, not one caused by a forged offset
            raise _damaged(file) from error


class _Sparing:
    """Caps each read, so that a forged directory cannot make zipfile allocate gigabytes."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, n: int = -1) -> bytes:
        if n > _PIECE:
            raise zipfile.BadZipFile
        return self.file.read(_PIECE if n < 0 else n)

    def close(self) -> None:
        """Does nothing: whoever opened the file closes it."""


def _damaged(file: File) -> FileError:
    return FileError(f"{file.name}: this .npz file is damaged.")
