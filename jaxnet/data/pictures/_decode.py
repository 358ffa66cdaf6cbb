"""Picture files as arrays of gray, read by Pillow within a limit of memory."""

import errno
import math
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from threading import Condition
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.files import FileError
from jaxnet._util.optional import package
from jaxnet.data.pictures._ground import Gray

KINDS = {  # Pillow's names of formats, and how their files' names end
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "PPM": (".pbm", ".pgm", ".ppm"),
    "HEIF": (".heic", ".heif"),
}
SUFFIXES = tuple(suffix for suffixes in KINDS.values() for suffix in suffixes)
NAMES = "PNG, JPEG, WEBP, BMP, GIF, TIFF, AVIF, PBM, HEIC"
_MOST_BYTES = 400_000_000  # that all pictures that are decoded at a time may take
_MOST_SCANNED = 1_000_000_000  # pixels times scans of a progressive JPEG: two seconds
_LONGEST = 65_535  # pixels along a side
_SCALED = 1_024  # pixels along a side; larger pictures are scaled down to it, or to less
_PER_SCALED = 40  # bytes for each pixel that is left, on the way to MNIST's form
_STRIP = 2**22  # pixels of a large picture that are scaled down at a time
_HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_AVIF = (b"avif", b"avis")
_NETPBM = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")


class TooLargeToShare(Exception):
    """Too large to decode in parallel: decode it alone, on the calling thread.

    C libraries keep some of the memory of each thread for it.
    """


class Room:
    """Memory for which threads wait until others have left enough.

    Args:
        n_bytes: the most bytes in use at a time.

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


def is_picture(head: bytes) -> bool:
    """Whether a file with this beginning is a picture of one of the `KINDS`."""
    return (
        head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*"))
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[:2] == b"BM" and head[6:10] == bytes(4))
        or (head[4:8] == b"ftyp" and head[8:12] in _HEIC + _AVIF)
        or (head[:2] in _NETPBM and head[2:3].isspace())
    )


def read_gray(file: BinaryIO, name: str, room: Room | None = None) -> tuple[Gray, float]:
    """Reads a picture from an open file as gray."""
    image = _opened(file, name)
    longest = max(image.size)
    n_bytes = _bytes_needed(image, file, name)
    if room and n_bytes > _MOST_BYTES // 4:
        raise TooLargeToShare
    with room.taking(n_bytes) if room else nullcontext():
        try:
            gray = _gray(image)
        except Exception as error:
            raise _undecodable(error, name) from error
    return gray, longest / max(gray.shape)


def _opened(file: BinaryIO, name: str) -> Any:
    """An image of Pillow's, whose pixels are not decoded yet."""
    Image, head = package("PIL.Image", extra="images"), file.read(12)
    file.seek(0)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC:
        try:
            heif = package("pillow_heif", "pip install pillow-heif, or save it as JPEG")
        except ModuleNotFoundError as error:
            raise FileError(f"{name}: this is a HEIC picture. {error}.") from error
        opener = heif.HeifImageFile
    else:
        kinds = [kind for kind in KINDS if kind != "HEIF"]
        opener = lambda file: Image.open(file, formats=kinds)  # noqa: E731
    try:
        return opener(file)
    except package("PIL", extra="images").UnidentifiedImageError as error:
        raise FileError(f"{name}: expected {NAMES}, IDX, .npy or Parquet.") from error
    except Exception as error:
        raise _undecodable(error, name) from error


def _bytes_needed(image: Any, file: BinaryIO, name: str) -> int:
    """How much memory it takes to decode a picture, as its header says; raises if too much."""
    width, height = whole = image.size
    scans = components = 0
    if image.format in ("JPEG", "MPO"):
        with suppress(Exception):  # of a damaged header
            image.draft("L", (_SCALED, _SCALED))
        if "progressive" in image.info:
            components = len(image.getbands())
            scans = _count(file, b"\xff\xda")
    pixels = math.prod(image.size)
    n_bytes = pixels * {"1": 1, "L": 1, "P": 1, "I;16": 2}.get(image.mode, 4)
    n_bytes += math.prod(whole) * 2 * components  # all coefficients of a progressive JPEG
    n_bytes *= (
        3 if image.format in ("WEBP", "AVIF", "HEIF") else 1
    )  # these decoders hold two more frames
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


def _gray(image: Any) -> Gray:
    """A picture's pixels, upright and scaled down, a strip at a time to save memory."""
    Image = package("PIL.Image", extra="images")
    image.load()
    deep = image.mode[0] in "IF"  # 16 bits, or 32
    mode = "F" if deep else "RGBA" if image.has_transparency_data else "L"
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
    if image.info or image.format == "TIFF":
        with suppress(Exception):  # of a damaged note on how the camera was held
            small = package("PIL.ImageOps").exif_transpose(small)
    pixels = np.asarray(small)
    if deep:
        return (pixels * (255 / _full(pixels))).clip(0, 255).round().astype(np.uint8)
    return to_gray(pixels)


def _full(pixels: NDArray[np.float32]) -> float:
    """What white is in a picture of more than 8 bits: scanners put 10 or 12 bits into 16."""
    most = float(pixels.max())
    return next(full for full in (1, 255, 1023, 4095, 16383, 65535, max(most, 1)) if most <= full)


def _undecodable(error: Exception, name: str) -> Exception:
    """The message for a picture that Pillow cannot decode, whatever it raised."""
    no_fault = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
    if isinstance(error, MemoryError) or no_fault:  # EINVAL: it points to a place before the file
        return error
    if type(error).__name__ == "DecompressionBombError":
        return FileError(f"{name}: this picture is too large.")
    return FileError(f"{name}: this picture is damaged.")


def to_gray(picture: NDArray[Any]) -> Gray:
    """Brightness; transparency is composited over the background that contrasts."""
    channels = picture.shape[2:]
    if picture.size == 0 or picture.ndim < 2 or channels not in ((), (3,), (4,)):
        raise ValueError(
            "expected a picture of shape (height, width), (height, width, 3) or "
            f"(height, width, 4); got {picture.shape}"
        )
    if picture.dtype == np.uint8 and not channels:
        return np.ascontiguousarray(picture)
    pixels = picture.astype(np.float32) / np.float32(255 if picture.dtype == np.uint8 else 1)
    if picture.dtype.kind not in "ufb" or not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(f"expected uint8 from 0 to 255 or floats from 0 to 1; got {picture.dtype}")
    gray = pixels
    if channels:
        gray = pixels[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
    if channels == (4,):
        opacity = pixels[..., 3]
        ground = np.float32((gray * opacity).sum() < opacity.sum() / 2)
        gray = gray * opacity + ground * (1 - opacity)
    return (255 * gray).round().astype(np.uint8)
