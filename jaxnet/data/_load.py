"""Loads images and labels from a path into memory."""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.arguments import check_choice
from jaxnet._util.files import FileError, named, open_file
from jaxnet.data import _labels, _rows
from jaxnet.data._arrays import found
from jaxnet.data._inputs import SPLITS, Choice, Inputs, fitting, format_of, open_inputs
from jaxnet.data._paths import STDIN, find, split_fragment
from jaxnet.data._stdin import HEAD
from jaxnet.network import SIDE


class Source(NamedTuple):
    """Images and their names.

    Attributes:
        images: shape `(n, 784)`; uint8 from 0 to 255, or floats from 0 to 1.
        names: `n` strings, such as "digits/seven.png" or "mnist/t10k-images-idx3-ubyte[41]".
    """

    images: NDArray[Any]
    names: list[str]


def read_images(
    path: str | os.PathLike[str],
    *,
    split: str = "test",
    recursive: bool = False,
    transposed: bool = False,
    side: int = SIDE,
) -> Source:
    """Loads all images at a path; `open_inputs` reads them range by range.

    Args:
        path, split, recursive, transposed, side: as for `open_inputs`.

    Returns:
        The images and a name for each.

    Raises:
        FileError, OSError: as `open_inputs`, or if any image is bad.
        ValueError: another split.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.npy")
        >>> numpy.save(path, numpy.zeros((2, 28, 28), "uint8"))
        >>> jaxnet.data.read_images(path).images.shape
        (2, 784)
    """
    inputs = open_inputs([path], split=split, recursive=recursive, transposed=transposed, side=side)
    return _all_of(inputs)


def read_labeled(
    path: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    transposed: bool = False,
    **options: Any,
) -> tuple[NDArray[Any], NDArray[np.uint8], tuple[str, ...]]:
    """Loads images, their labels, and notes for people; `options` are as for `read_labels`."""
    inputs = open_inputs([path], transposed=transposed, **options)
    known, inputs = labels_of(inputs, labels, **options)
    return _all_of(inputs).images, known, inputs.notes


def _all_of(inputs: Inputs) -> Source:
    """All images of what was opened; a bad one is an error."""
    images, names, errors, _ = inputs.read(0, inputs.n)
    for says in errors.values():
        raise FileError(says)
    return Source(images, [*names])


def read_labels(
    path: str | os.PathLike[str],
    *,
    split: str = "test",
    recursive: bool = False,
    side: int = SIDE,
) -> NDArray[np.uint8]:
    """Loads labels, one for each image, from files of labels or of both.

    Args:
        path: a file of labels, or the path of the images where it holds their labels, too: a
            column `label` in CSV or Parquet, `y_test` or `labels` in `.npz`, QMNIST's numbers in
            IDX, or pictures in folders that are named for what they show, as `own/3/scan.png`.
        split, recursive, side: as for `open_inputs`.

    Returns:
        Integers from 0 to 255, uint8, shape `(n,)`, in the order of the file.

    Raises:
        FileError: in no known format, damaged, or without labels.
        ModuleNotFoundError: the package that reads CSV and Parquet is missing.
        OSError: the file cannot be opened or read.
        ValueError: another split.

    Example:
        >>> import numpy, pathlib, tempfile, jaxnet
        >>> path = pathlib.Path(tempfile.mkdtemp(), "digits.npz")
        >>> numpy.savez(path, x=numpy.zeros((3, 28, 28), "uint8"), y=numpy.array([3, 1, 4]))
        >>> jaxnet.data.read_labels(path)
        array([3, 1, 4], dtype=uint8)
    """
    options: Any = {"split": split, "recursive": recursive, "side": side}
    return np.concatenate([labels for labels, _ in open_labels(os.fsdecode(path), **options)])


def labels_of(
    inputs: Inputs, path: str | os.PathLike[str], **options: Any
) -> tuple[NDArray[np.uint8], Inputs]:
    """The labels of what was opened, by name if they have names, and a note if they have none."""
    path = os.fsdecode(path)
    parts = [*open_labels(path, **options)]
    labels = np.concatenate([labels for labels, _ in parts])
    if not inputs.files or path in [about.get("path") for about in inputs.identity]:
        return labels, inputs
    several = [names() for labels, names in parts if len(labels)]
    columns = [[*chain(*column)] for column in zip(*several, strict=False)]
    paired = _labels.by_name(labels, columns, inputs.files, path)
    if paired is not None:
        return paired, inputs
    begin = ", ".join(map(os.path.basename, inputs.files[:4]))
    note = f"{path}: names no pictures; its labels are taken for those of {begin}, … in this order."
    return labels, inputs._replace(notes=(*inputs.notes, note))


def open_labels(
    path: str, *, split: str = "test", recursive: bool = False, side: int = SIDE
) -> Iterator[tuple[NDArray[np.uint8], Callable[[], list[list[str]]]]]:
    """The labels in each file that a path stands for, and columns that may name pictures."""
    # Pictures are in folders named for what they show.
    check_choice(SPLITS, split, "split")
    if path == STDIN:
        raise FileError("-: labels are not read from standard input; name a file.")
    choice = Choice(split, split_fragment(path)[1])
    pictures: list[str] = []
    files, in_folder = find(path, recursive=recursive).files, os.path.isdir(path)
    for file in files:
        if not in_folder:
            with open_file(file) as opened, named(file):
                known = found(file, file, os.fstat(opened.fileno()), side)
                form = format_of(opened.read(HEAD), file, "labels in ")
            if form:
                yield _of_pictures(pictures)
                pictures = []
                yield form.labels(known, fitting(choice, form, file)), partial(form.names, known)
                continue
        pictures.append(file)
    yield _of_pictures(pictures)


def _of_pictures(files: list[str]) -> tuple[NDArray[np.uint8], Callable[[], list[list[str]]]]:
    return np.array([*map(_labels.of_folder, files)], np.uint8), lambda: [files]


def join(sources: Iterable[Source]) -> Source:
    """Concatenates one or more sources: uint8 if all are, otherwise floats."""
    images, names = zip(*sources, strict=True)
    return Source(_rows.join(images), [*chain(*names)])
