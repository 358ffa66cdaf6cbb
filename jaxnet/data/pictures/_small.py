"""Small pictures of one digit each, taken at their word, many at a time."""

import os
import stat
import zlib

import numpy as np
from numpy.typing import NDArray

from jaxnet.data.pictures._frame import framed
from jaxnet.data.pictures._ground import Gray, opencv
from jaxnet.network import SIDE

SMALL = 64  # pixels of the shorter side, below which a picture is taken at its word
_LARGEST = 8_192  # bytes of a file that is read whole, to see whether it is a small PNG
_MODE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_FAINT = 0.1  # of the ink's full strength: below this it is paper, or a JPEG's ripples
_FRAMED = 18, 20  # pixels along the longer side of a digit that is in MNIST's form
_PNG = b"\x89PNG\r\n\x1a\n"
_KINDS = (b"\x08\0\0\0\0", b"\x08\x02\0\0\0")  # 8 bits of gray or of color, as IHDR says
_PLAIN = (b"IHDR", b"IDAT", b"IEND", b"tEXt", b"zTXt", b"tIME", b"pHYs", b"gAMA", b"sRGB", b"cHRM")


def inked(grays: NDArray[np.uint8], side: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Brings small pictures into MNIST's form; the ground is what the border shows."""
    # A digit that fills 18 to 20 pixels of 28×28, with its center of mass in the middle, is in that
    # form already, and stays where it is. So does any picture of a network's own size, if that is
    # another: how its digits are framed is not known.
    n, height, width = grays.shape
    edges = [grays[:, 0], grays[:, -1], grays[:, 1:-1, 0], grays[:, 1:-1, -1]]
    ground = np.median(np.concatenate(edges, 1), 1).astype(np.float32)
    ink = grays - ground[:, None, None]
    most, least = ink.max((1, 2)), ink.min((1, 2))
    strength = np.maximum(most, -least)
    is_drawn = strength >= np.float32(255 * _FAINT)
    ink /= np.where(is_drawn, np.where(most > -least, strength, -strength), np.inf)[:, None, None]
    ink[ink < _FAINT] = 0
    rows, columns = ink.any(2), ink.any(1)
    boxes = np.stack(
        [
            columns.argmax(1),
            rows.argmax(1),
            width - columns[:, ::-1].argmax(1),
            height - rows[:, ::-1].argmax(1),
        ],
        1,
    ).astype(np.int32)
    boxes[~is_drawn] = 0
    images = np.zeros((n, side**2), np.float32)
    fits = is_drawn
    if (height, width) == (side, side):
        fits = is_drawn & (_is_framed(ink, boxes) | (side != SIDE))
        images[fits] = ink[fits].reshape(-1, side**2)
        fits = is_drawn & ~fits
    for at in np.flatnonzero(fits).tolist():
        images[at] = framed(ink[at], side, with_pen=False)
    return images, boxes


def _is_framed(ink: NDArray[np.float32], boxes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which of the images have MNIST's form already."""
    longest = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    across, down = ink.sum(1), ink.sum(2)
    total = np.maximum(across.sum(1), np.float32(1e-6))
    at = np.arange(ink.shape[1], dtype=np.float32)
    middle = np.stack([across @ at, down @ at]) / total
    low, high = _FRAMED
    return (longest >= low) & (longest <= high) & (abs(middle - np.float32(13.75)) <= 1.25).all(0)


def thumbnail(path: str, size: int, mtime_ns: int) -> Gray | None:
    """Reads a plain small PNG; None of any other file, or of one that has changed."""
    if not 0 < size <= _LARGEST:
        return None
    try:
        file = os.open(
            path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )
    except OSError:
        return None
    try:
        now = os.fstat(file)
        if now.st_size != size or now.st_mtime_ns != mtime_ns or not stat.S_ISREG(now.st_mode):
            return None
        content = os.read(file, size)
    except OSError:
        return None
    finally:
        os.close(file)
    if len(content) != size or not _is_plain(content):
        return None
    cv2 = opencv()
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)


def _is_plain(content: bytes) -> bool:
    """Whether this is a whole PNG, small, of 8 bits, opaque, upright and not interlaced."""
    if content[:8] != _PNG or content[12:16] != b"IHDR" or content[24:29] not in _KINDS:
        return False
    width, height = (int.from_bytes(content[at : at + 4]) for at in (16, 20))
    if not (0 < width < SMALL and 0 < height < SMALL and width < 1.5 * height):
        return False
    at = 8
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4])
        kind = content[at + 4 : at + 8]
        check = int.from_bytes(content[end : end + 4])
        if kind not in _PLAIN or zlib.crc32(content[at + 4 : end]) != check:
            return False
        if kind == b"IEND":
            return True
        at = end + 4
    return False
