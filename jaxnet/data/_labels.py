"""Labels: what the images show, as one small integer each."""

import os
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError
from jaxnet.data.pictures._decode import SUFFIXES

COLUMNS = ("label", "labels", "class", "target", "digit", "y")  # names of a column of labels


def as_labels(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Checks that an array holds labels, and converts it to bytes."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "ui":
        raise FileError(
            f"{name}: expected labels, integers of shape (n,); got {values.dtype} {values.shape}."
        )
    if values.size and not (values.min() >= 0 and values.max() <= 255):
        raise FileError(
            f"{name}: expected labels from 0 to 255; got {values.min()} to {values.max()}."
        )
    return values.astype(np.uint8, copy=False)


def by_name(
    labels: NDArray[np.uint8],
    columns: Sequence[Sequence[str]],
    pictures: Sequence[str],
    table: str,
) -> NDArray[np.uint8] | None:
    """Sorts a table's labels like the pictures that one of its columns names; None if none does."""
    best: tuple[int, Any] = 0, None
    paths = [_parts(name) for name in pictures]
    # With and without folders and endings, which a table may leave out.
    for column, ending, depth in product(columns, (True, False), (1, 2, 3, 0)):
        wanted = [_key(path, depth, ending=ending) for path in paths]
        given = [_key(_parts(name), depth, ending=ending) for name in column]
        rows = {key: n for n, key in enumerate(given)}
        n_found = sum(key in rows for key in wanted) if len({*wanted}) == len(wanted) else 0
        if n_found > best[0]:
            best = n_found, (column, given, wanted, rows)
        if n_found == len(wanted):
            break
    if best[1] is None:
        named = [name for column in columns for name in column[:1] if _is_file(name)]
        if named:
            raise FileError(f"{table}: names pictures, such as {named[0]}, but none of those here.")
        return None
    column, given, wanted, rows = best[1]
    here = {*wanted}
    twice = [name for n, name in enumerate(column) if rows[given[n]] != n]
    absent = [name for name, key in zip(pictures, wanted, strict=True) if key not in rows]
    spare = [name for name, key in zip(column, given, strict=True) if key not in here]
    for names, what in (
        (twice, "names some pictures more than once"),
        (absent, "has no labels for some pictures"),
        (spare, "names some pictures that are not here"),
    ):
        if names:
            raise FileError(f"{table}: {what}: {len(names):,}, such as {names[0]}.")
    return labels[[rows[key] for key in wanted]]


def _parts(name: str) -> list[str]:
    return os.path.normpath(name.strip().replace("\\", "/")).split("/")


def _key(parts: list[str], depth: int, *, ending: bool) -> str:
    """The last parts of a path, to compare with others; a depth of 0 takes all."""
    *folders, last = parts[-depth:]
    if not ending:
        last = os.path.splitext(last)[0]
        last = last.lstrip("0") if last.isdigit() else last  # 12 may stand for 00012.png
    return "/".join([*folders, last])


def _is_file(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def of_folder(path: str) -> int:
    """The label of a picture: the name of its folder, as in `own/3/scan.png`."""
    folder = os.path.basename(os.path.dirname(os.path.abspath(path)))
    if not is_label(folder):
        raise FileError(
            f"{path}: expected this picture in a folder that is named for what it shows, as in "
            f"3/{os.path.basename(path)}; got {folder or os.sep!r:.40}."
        )
    return int(folder)


def is_label(name: str) -> bool:
    """Whether the name of a folder or a text is a label, an integer from 0 to 255."""
    return name.isascii() and name.isdigit() and len(name) <= 3 and int(name) <= 255
