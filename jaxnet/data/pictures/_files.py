"""Pictures in files: the digit in one, the digits in one, or the picture itself."""

import os
import warnings
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError, open_file
from jaxnet.data.pictures._decode import Room, read_gray
from jaxnet.data.pictures._find import Digits, find
from jaxnet.network import SIDE


def read_image(path: str | os.PathLike[str], *, side: int = SIDE) -> NDArray[np.float32]:
    """Reads a picture of one digit from a file.

    Args:
        path: PNG, JPEG, WebP, BMP, GIF, TIFF, AVIF or PBM, PGM and PPM, with any number of colors,
            the first frame; or HEIC where `pillow-heif` is installed.
        side: as for `as_mnist`.

    Returns:
        One image in MNIST's form, shape `(side²,)`, from 0 (black) to 1 (white).

    Raises:
        FileError: not a picture, damaged, unreasonably large, nothing drawn on it, or more than
            one digit.
        OSError: the file cannot be opened or read.

    Example:
        >>> import numpy, pathlib, tempfile, PIL.Image, jaxnet
        >>> page = numpy.full((300, 200), 255, "uint8")
        >>> page[60:240, 90:105] = 30
        >>> path = pathlib.Path(tempfile.mkdtemp(), "one.png")
        >>> PIL.Image.fromarray(page).save(path)
        >>> int(jaxnet.predict(jaxnet.pretrained(), jaxnet.data.read_image(path)))
        1
    """
    return _read(path, several=False, side=side).images[0]


def read_digits(path: str | os.PathLike[str], *, side: int = SIDE) -> Digits:
    """Reads a picture of any number of digits from a file: a number, rows, a filled form.

    Args:
        path, side: as for `read_image`.

    Returns:
        At least one digit, in reading order; boxes are in the picture's pixels, as it is upright.

    Raises:
        FileError: not a picture, damaged, unreasonably large, or nothing drawn on it.
        OSError: the file cannot be opened or read.

    Example:
        >>> import numpy, pathlib, tempfile, PIL.Image, jaxnet
        >>> page = numpy.full((300, 300), 255, "uint8")
        >>> page[60:240, 90:105] = page[60:240, 190:205] = 30
        >>> path = pathlib.Path(tempfile.mkdtemp(), "eleven.png")
        >>> PIL.Image.fromarray(page).save(path)
        >>> digits = jaxnet.data.read_digits(path)
        >>> jaxnet.classify(jaxnet.pretrained(), digits.images).digits.tolist()
        [1, 1]
    """
    return _read(path, several=True, side=side)


def _read(path: str | os.PathLike[str], *, several: bool, side: int) -> Digits:
    # Pillow warns about what it tolerates.
    with open_file(path) as file, warnings.catch_warnings(action="ignore"):
        return decode(file, os.fsdecode(path), several=several, side=side)


def read_picture(path: str | os.PathLike[str]) -> tuple[NDArray[np.uint8], float]:
    """Reads a picture as it is, in gray, to draw boxes of `Digits` into it."""
    with open_file(path) as file, warnings.catch_warnings(action="ignore"):
        return read_gray(file, os.fsdecode(path))


def decode(
    file: BinaryIO, name: str, room: Room | None = None, *, several: bool = False, side: int
) -> Digits:
    """Reads the digits in a picture from an open file, or from `io.BytesIO`."""
    # Pillow's warnings pass through; filters are process-wide, so the caller sets them.
    gray, scale = read_gray(file, name, room)
    try:
        found = find(gray, several=several, side=side)
    except ValueError as error:
        raise FileError(f"{name}: {error}.") from error
    return found._replace(boxes=(found.boxes * scale).round().astype(np.int32))
