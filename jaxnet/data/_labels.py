"""Labels: what the images show, as one small integer each."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError

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
