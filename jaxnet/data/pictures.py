"""Pictures of digits, of any size and polarity, normalized like MNIST.

Source of that form: LeCun, Cortes and Burges, "The MNIST database of handwritten digits":
fitted into 20×20 pixels with their proportions kept and the edges smoothed, then placed in
28×28 with the center of mass in the middle.
"""

import math
import os
import warnings
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from threading import Condition
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError, open_file

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
_MOST_BYTES = 400_000_000  # that all pictures that are decoded at a time may take
_MOST_SCANNED = 1_000_000_000  # pixels times scans of a progressive JPEG: two seconds
_LONGEST = 65_535  # pixels along a side
_SCALED = 1_024  # pixels along a side; larger pictures are scaled down to it, or to less
_PER_SCALED = 40  # bytes for each pixel that is left, on the way to MNIST's form
_STRIP = 2**22  # pixels of a large picture that are scaled down at a time
_PHOTO = 64  # pixels of the shorter side, from which on a picture is treated as a photo
_SHARP = 240  # pixels of the longer side that such a picture is averaged down to
_FAINT = 0.1  # of the ink's full strength: below this it is paper, noise, or a JPEG's ripples
_ENOUGH = 4_096  # pixels of a border, to see the light by


def read_image(path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """Reads a picture of one digit from a file.

    Args:
        path: PNG, JPEG, WebP, BMP or GIF, with any number of colors; the first frame.

    Returns:
        One image in MNIST's form, shape `(784,)`, from 0 (black) to 1 (white).

    Raises:
        FileError: not a picture, damaged, unreasonably large, or nothing drawn on it.
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
    with open_file(path) as file, warnings.catch_warnings(action="ignore"):
        return decode(file, os.fsdecode(path))  # Pillow warns of what it forgives


class TooLargeToShare(Exception):
    """A picture is to be decoded while no others are, and by a thread that is there already.

    C libraries keep some of the memory of each thread for it.
    """


class Room:
    """Memory for which threads wait until others have left enough.

    Args:
        n_bytes: how many may be taken at a time.

    Example:
        >>> room = Room(100)
        >>> with room.taking(60), room.taking(40):
        ...     pass
    """

    def __init__(self, n_bytes: int = _MOST_BYTES) -> None:
        self._n_bytes, self._taken, self._left = n_bytes, 0, Condition()

    @contextmanager
    def taking(self, n: int) -> Generator[None]:
        """Takes some of it for as long as the block takes."""
        with self._left:
            self._left.wait_for(lambda: self._taken == 0 or self._taken + n <= self._n_bytes)
            self._taken += n
        try:
            yield
        finally:
            with self._left:
                self._taken -= n
                self._left.notify_all()


def decode(file: BinaryIO, name: str, room: Room | None = None) -> NDArray[np.float32]:
    """Reads a picture of one digit from an open file, or from `io.BytesIO`.

    Pillow's warnings pass: to ignore them is a matter of the whole process, hence the caller's.

    Args:
        file: at its beginning, what `read_image` takes the path of.
        name: what to call it.
        room: memory shared with other threads that decode pictures; by default, there are none.

    Returns:
        One image in MNIST's form, shape `(784,)`, from 0 (black) to 1 (white).

    Raises:
        FileError: not a picture, damaged, unreasonably large, or nothing drawn on it.
        TooLargeToShare: it takes so much memory that it wants to be decoded alone.
        MemoryError, OSError: there is no room for it, or the system fails.

    Example:
        >>> import io, numpy, PIL.Image, jaxnet
        >>> page = numpy.full((30, 20), 255, "uint8")
        >>> page[6:24, 9:11] = 30
        >>> file = io.BytesIO()
        >>> PIL.Image.fromarray(page).save(file, "PNG")
        >>> jaxnet.data.pictures.decode(file, "one.png").shape
        (784,)
    """
    Image, _, UnidentifiedImageError = _pillow()
    try:
        image = Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError as error:
        kinds = ", ".join(_FORMATS)
        raise FileError(f"{name}: expected {kinds}, IDX, .npy or Parquet.") from error
    except Exception as error:
        raise _undecodable(error, name) from error
    n_bytes = _bytes_needed(image, file, name)
    if room and n_bytes > _MOST_BYTES // 4:
        raise TooLargeToShare
    with room.taking(n_bytes) if room else nullcontext():
        try:
            pixels = _pixels(image)
        except Exception as error:
            raise _undecodable(error, name) from error
        try:
            return as_mnist(pixels if pixels.dtype == np.uint8 else pixels / 65535)
        except ValueError as error:
            raise FileError(f"{name}: {error}.") from error


def _bytes_needed(image: Any, file: BinaryIO, name: str) -> int:
    """How much memory it takes to decode a picture, as its header says; raises if too much."""
    width, height = whole = image.size
    scans = components = 0
    if image.format == "JPEG":
        with suppress(Exception):  # of a damaged header
            image.draft("RGB", (_SCALED, _SCALED))
        if "progressive" in image.info:
            components = len(image.getbands())
            scans = _count(file, b"\xff\xda")
    pixels = math.prod(image.size)
    n_bytes = pixels * {"1": 1, "L": 1, "P": 1, "I;16": 2}.get(image.mode, 4)
    n_bytes += math.prod(whole) * 2 * components  # all coefficients of a progressive JPEG
    n_bytes *= 3 if image.format == "WEBP" else 1  # which has room for two frames besides
    n_bytes += _PER_SCALED * min(pixels, _SCALED**2)
    if n_bytes > _MOST_BYTES or max(whole) > _LONGEST or math.prod(whole) * scans > _MOST_SCANNED:
        raise FileError(f"{name}: this picture is too large: {width:,} × {height:,} pixels.")
    return n_bytes


def _count(file: BinaryIO, mark: bytes) -> int:
    """How often a mark occurs in a file, which is left where it was."""
    at, n, end = file.tell(), 0, b""
    file.seek(0)
    while piece := file.read(2**20):
        n += (end + piece).count(mark)
        end = piece[1 - len(mark) :]
    file.seek(at)
    return n


def _pixels(image: Any) -> NDArray[Any]:
    """A picture's pixels, upright and scaled down, a strip at a time to save memory."""
    Image, ImageOps, _ = _pillow()
    image.load()
    mode = "I" if image.mode.startswith("I") else "RGBA"  # I: 16 bits
    (width, height), factor = image.size, -(-max(image.size) // _SCALED)
    if factor == 1:
        small = image.convert(mode)
    else:
        small = Image.new(mode, (-(-width // factor), -(-height // factor)))
        rows = max(_STRIP // (width * factor), 1) * factor
        for top in range(0, height, rows):
            strip = image.crop((0, top, width, min(top + rows, height))).convert(mode)
            small.paste(strip.reduce(factor), (0, top // factor))
        small.info = image.info
    with suppress(Exception):  # of a damaged note on how the camera was held
        small = ImageOps.exif_transpose(small)
    return np.asarray(small)


def _undecodable(error: Exception, name: str) -> Exception:
    """What to say of a picture at which Pillow failed; its decoders raise almost every kind."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
        return error  # this is not the picture's fault
    if type(error).__name__ == "DecompressionBombError":
        return FileError(f"{name}: this picture is too large.")
    return FileError(f"{name}: this picture is damaged.")


def is_picture(head: bytes) -> bool:
    """Whether a file with this beginning is a picture that `read_image` can read.

    Args:
        head: its first 12 bytes.

    Example:
        >>> is_picture(b"GIF89a, and so on")
        True
    """
    return (
        head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8"))
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[:2] == b"BM" and head[6:10] == bytes(4))
    )


def as_mnist(picture: NDArray[Any]) -> NDArray[np.float32]:
    """Normalizes a picture of one digit like MNIST.

    The ground is what the border shows; the digit is what stands out from it, lighter or
    darker, at its strongest as 1. Anything else that is drawn there counts as part of it.

    Args:
        picture: shape `(height, width)` gray, `(height, width, 3)` color, or
            `(height, width, 4)` with opacity; uint8 from 0 to 255, or floats from 0 to 1.

    Returns:
        One image, shape `(784,)`, from 0 (ground) to 1 (ink).

    Raises:
        ValueError: another shape or type, or nothing stands out from the ground.

    Example:
        >>> import numpy, jaxnet
        >>> page = numpy.ones((90, 60))
        >>> page[20:70, 28:33] = 0.2
        >>> jaxnet.data.as_mnist(page).reshape(28, 28).any(1).sum()
        np.int64(20)
    """
    Image, *_ = _pillow()
    ink = _ink(_gray(np.asarray(picture)))
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    height, width = (max(1, round(20 * side / max(ink.shape))) for side in ink.shape)
    small = Image.fromarray(ink).resize((width, height), Image.Resampling.BICUBIC)
    ink = np.asarray(small).clip(0, 1)
    ink /= ink.max()

    middle_y = ink.sum(1) @ np.arange(height) / ink.sum()
    middle_x = ink.sum(0) @ np.arange(width) / ink.sum()
    top = min(max(round(14 - middle_y), 0), 28 - height)
    left = min(max(round(14 - middle_x), 0), 28 - width)
    image = np.zeros((28, 28), np.float32)
    image[top : top + height, left : left + width] = ink
    return image.reshape(784)


def _gray(picture: NDArray[Any]) -> NDArray[Any]:
    """Brightness from 0 to 1; transparency is composited over the background that contrasts."""
    channels = picture.shape[2:]
    if picture.size == 0 or picture.ndim < 2 or channels not in ((), (3,), (4,)):
        raise ValueError(
            "expected a picture of shape (height, width), (height, width, 3) or "
            f"(height, width, 4); got {picture.shape}"
        )
    pixels = picture.astype(np.float32) / np.float32(255 if picture.dtype == np.uint8 else 1)
    if picture.dtype.kind not in "ufb" or not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(f"expected uint8 from 0 to 255 or floats from 0 to 1; got {picture.dtype}")
    if not channels:
        return pixels
    gray = pixels[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
    if channels == (3,):
        return gray
    opacity = pixels[..., 3]
    ground = float((gray * opacity).sum() < opacity.sum() / 2)
    return gray * opacity + np.float32(ground) * (1 - opacity)


def _ink(gray: NDArray[Any]) -> NDArray[Any]:
    """How much each pixel contrasts with the background, from 0 to 1.

    Of a picture large enough to be a photo, noise is averaged away and the light's fall over
    the paper is allowed for; a small one is taken at its word.
    """
    photo = min(gray.shape) >= _PHOTO
    if photo:
        Image, *_ = _pillow()
        height, width = (round(side * min(1, _SHARP / max(gray.shape))) for side in gray.shape)
        small = Image.fromarray(gray).resize((width, height), Image.Resampling.BOX)
        gray = np.asarray(small)
    lighter = gray - (_ground(gray) if photo else np.median(_border(gray, 1)))
    ink = (lighter if lighter.max() > -lighter.min() else -lighter).clip(0)
    if ink.max() < _FAINT:
        raise ValueError("nothing is drawn here: no pixel stands out from the ground")
    if photo:
        strength = np.median(ink[ink > ink.max() / 2])
        ink = ((ink / strength - 0.25) / 0.6).clip(0, 1)
    else:
        ink /= ink.max()
        ink[ink < _FAINT] = 0
    return ink


def _ground(gray: NDArray[Any]) -> NDArray[Any]:
    """The quadratic surface that best fits the border, ignoring strokes: the background."""
    height, width = gray.shape
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    margin = round(0.08 * min(gray.shape))
    there = [_border(np.broadcast_to(part, gray.shape), margin) for part in (y, x, gray)]
    some = slice(None, None, max(len(there[0]) // _ENOUGH, 1))
    known_y, known_x, seen = (part[some] for part in there)
    known = np.stack(_terms(known_y, known_x), -1)
    trust, fit = (abs(seen - np.median(seen)) < 0.35).astype(float), np.zeros(6)
    for _ in range(6):  # each time, trust those more that fit
        weighted = known * (trust**2)[:, None]  # six equations, as many pixels as there may be
        fit = np.linalg.solve(weighted.T @ known + 1e-9 * np.eye(6), weighted.T @ seen)
        off = abs(seen - known @ fit)
        trust = 1 / (1 + (off / max(2 * np.median(off), 0.02)) ** 2)
    surface = sum(n * term for n, term in zip(fit, _terms(y, x), strict=True))
    return np.broadcast_to(surface, gray.shape).astype(np.float32)


def _terms(y: NDArray[Any], x: NDArray[Any]) -> list[NDArray[Any]]:
    return [np.ones_like(x), x, y, x * y, x**2, y**2]


def _border(pixels: NDArray[Any], margin: int) -> NDArray[Any]:
    """The pixels within a margin of the edge, flattened."""
    edge = np.ones(pixels.shape[:2], bool)
    edge[margin:-margin, margin:-margin] = False
    return pixels[edge]


def _pillow() -> tuple[Any, Any, Any]:
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "reading pictures needs Pillow: pip install 'jaxnet-digits[images]'"
        ) from error
    return Image, ImageOps, UnidentifiedImageError
