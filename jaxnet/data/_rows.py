"""Ranges of images with their names and per-image errors."""

import errno
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise, repeat
from threading import Event
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.cores import cores
from jaxnet._util.files import FileError
from jaxnet._util.pixels import ROUNDING
from jaxnet.data.pictures import Digits
from jaxnet.data.pictures._decode import Room, TooLargeToShare

AT_ONCE = 16_384
_OF_PICTURES = 2**22  # bytes that are decoded together
_OF_ITS_PATH = {  # errno values that mean the path is missing or not readable
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP,
    errno.ENAMETOOLONG,
}  # fmt: skip


class Numbered(Sequence[str]):
    """The names of a file's images, "digits.npy[0]" and so on, formatted lazily.

    Formatting a million names takes longer than classifying a million images.

    Attributes:
        file: what the file is called.
        numbers: of the images in it.

    Example:
        >>> names = Numbered("digits.npy", range(1_000_000))
        >>> names[41], len(names[41:])
        ('digits.npy[41]', 999959)
    """

    def __init__(self, file: str, numbers: range) -> None:
        self.file, self.numbers = file, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> "Numbered": ...
    def __getitem__(self, at: int | slice) -> "str | Numbered":
        if isinstance(at, slice):
            return Numbered(self.file, self.numbers[at])
        return f"{self.file}[{self.numbers[at]}]"

    def __iter__(self) -> Iterator[str]:
        return (f"{self.file}[{n}]" for n in self.numbers)


class Places(NamedTuple):
    """Where images were found in pictures.

    Attributes:
        of: which of the range's inputs each is from, from 0, shape `(m,)`.
        boxes: left, top, right and bottom edge in that picture's pixels, shape `(m, 4)`; zeros for
            a bad picture.
        lines: the line of writing in that picture, from 0, shape `(m,)`.
        touching: whether it is too wide for one digit, shape `(m,)`.
    """

    of: NDArray[np.int_]
    boxes: NDArray[np.int32]
    lines: NDArray[np.int32]
    touching: NDArray[np.bool_]


class Rows(NamedTuple):
    """A range of images; from a picture, one for each digit in it.

    Attributes:
        images: shape `(m, 784)`; uint8 from 0 to 255, or float32 from 0 to 1 if any image of this
            range is floating-point; zeros for a bad image. May be read-only.
        names: `m` strings, such as "digits/seven.png" or "mnist/t10k-images-idx3-ubyte[41]".
        errors: for each bad image, by its row in this range, a sentence that says what is wrong.
        places: where each is, if any of the inputs are pictures.
    """

    images: NDArray[Any]
    names: Sequence[str]
    errors: dict[int, str]
    places: Places | None = None


class Part(NamedTuple):
    """Consecutive images of which any range can be read.

    Attributes:
        n: how many.
        read: takes the first row, the one after the last, and an event or None, as `decoded`
            does; gives these rows.
        at_once: how many to read together.
        floats: the name of the file, if it is known that its images are in floats.
        note: a sentence for people about how the file was understood.
        pictures: whether these are pictures, whose rows have places.
    """

    n: int
    read: Callable[[int, int, Event | None], Rows]
    at_once: int = AT_ONCE
    floats: str | None = None
    note: str | None = None
    pictures: bool = False


def at_once(n: int, n_bytes: int) -> int:
    """How many pictures to decode together: fewer if they are large, so progress is visible."""
    return min(max(_OF_PICTURES * n // max(n_bytes, 1), 16), 4096)


def to_float32(images: NDArray[Any]) -> NDArray[np.float32]:
    """Scales uint8 images to float32 from 0 to 1; converts floats to float32."""
    return images.astype(np.float32) / np.float32(255 if images.dtype == np.uint8 else 1)


def join(images: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Concatenates images: uint8 if all are, otherwise floats."""
    if len(images) == 1:
        return images[0]
    if any(part.dtype != np.uint8 for part in images):
        images = [to_float32(part) for part in images]
    return np.concatenate(images)


def together(parts: Sequence[Rows], side: int) -> Rows:
    """Concatenates consecutive rows."""
    if not parts:
        return Rows(np.empty((0, side**2), np.uint8), [], {})
    errors: dict[int, str] = {}
    before = 0
    for part in parts:
        errors |= {before + row: says for row, says in sorted(part.errors.items())}
        before += len(part.names)
    places = _places_together(parts) if any(part.places for part in parts) else None
    return Rows(join([part.images for part in parts]), _chained(parts), errors, places)


def whole(rows: Rows) -> Places:
    """The places of images that are not in pictures: each is whole, and one input."""
    n = len(rows.names)
    side = math.isqrt(rows.images.shape[1])
    boxes = np.tile(np.array([0, 0, side, side], np.int32), (n, 1))
    return Places(np.arange(n), boxes, np.zeros(n, np.int32), np.zeros(n, bool))


def _places_together(parts: Sequence[Rows]) -> Places:
    several: list[Places] = []
    before = 0
    for part in parts:
        places = part.places or whole(part)
        several.append(places._replace(of=places.of + before))
        before += int(places.of[-1]) + 1 if len(places.of) else 0
    return Places(*(np.concatenate(each) for each in zip(*several, strict=True)))


def _chained(parts: Sequence[Rows]) -> Sequence[str]:
    """All names: those of consecutive images of one file stay unformatted."""
    several = [part.names for part in parts]
    if len(several) == 1:
        return several[0]
    numbered = [names for names in several if isinstance(names, Numbered)]
    if len(numbered) == len(several) > 0 and all(
        one.file == other.file and one.numbers.stop == other.numbers.start
        for one, other in pairwise(numbered)
    ):
        first, last = numbered[0], numbered[-1]
        return Numbered(first.file, range(first.numbers.start, last.numbers.stop))
    return [*chain.from_iterable(several)]


def checked(values: NDArray[Any], names: Sequence[str], white: int | None = None) -> Rows:
    """Scales numbers to bytes, or to floats from 0 to 1; those out of range are errors of rows."""
    # White is 255 for integers and 1 for floats, unless another number is known.
    integers, is_usual = values.dtype.kind in "ui", white is None
    if values.dtype == np.uint8 and is_usual:
        return Rows(values, names, {})
    kind, white = ("integers", white or 255) if integers else ("floats", white or 1)
    low, high = values.min(1), values.max(1)
    beyond = 0 if integers else ROUNDING
    bad = ~((low >= -beyond) & (high <= white + beyond))  # NaN is neither
    black_and_white = integers & is_usual & (high == 1)
    with np.errstate(over="ignore", invalid="ignore"):
        images = values.astype(np.uint8 if integers and is_usual else np.float32)
    images[bad | black_and_white] = 0
    if images.dtype != np.uint8 and white != 1:
        images /= np.float32(white)
    return Rows(
        np.ascontiguousarray(images),
        names,
        {
            row: f"{names[row]}: expected {kind} from 0 to {white}; got {low[row]} to {high[row]}"
            + ("; save zeros and ones as floats." if black_and_white[row] else ".")
            for row in np.flatnonzero(bad | black_and_white).tolist()
        },
    )


def decoded(
    decode: Callable[[int, Room | None], Digits],
    names: Sequence[str],
    side: int,
    over: Event | None = None,
    known: Mapping[int, Digits] | None = None,
) -> Rows:
    """Decodes pictures on all cores, unless they are known; bad ones are errors of their rows."""
    # The event cancels it.
    known = known or {}
    nothing = Digits(  # in a picture that could not be read
        np.zeros((1, side**2), np.float32),
        np.zeros((1, 4), np.int32),
        np.zeros(1, np.int32),
        np.zeros(1, np.bool_),
    )
    found: list[Digits] = [known.get(at, nothing) for at in range(len(names))]
    unknown = [at for at in range(len(names)) if at not in known]
    errors: dict[int, str] = {}
    large: list[int] = []

    def into_place(at: int, room: Room | None = None) -> None:
        if over and over.is_set():
            return
        try:
            found[at] = decode(at, room)
        except TooLargeToShare:
            large.append(at)
        except FileError as error:
            errors[at] = str(error)
        except OSError as error:
            if error.errno not in _OF_ITS_PATH:
                raise
            errors[at] = f"{names[at]}: {error.strerror}."

    # Pillow warns about what it tolerates. Filters are process-wide: set them around all threads.
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(cores()) as threads:
        for _ in threads.map(into_place, unknown, repeat(Room())):
            pass
        for at in large:
            into_place(at)
    of = np.repeat(np.arange(len(names)), [len(digits.images) for digits in found])
    first = np.searchsorted(of, np.arange(len(names)))  # each picture's first row
    return Rows(
        np.concatenate([nothing.images[:0], *(digits.images for digits in found)]),
        [names[at] for at in of.tolist()],
        {int(first[at]): says for at, says in errors.items()},
        Places(
            of,
            np.concatenate([nothing.boxes[:0], *(digits.boxes for digits in found)]),
            np.concatenate([nothing.lines[:0], *(digits.lines for digits in found)]),
            np.concatenate([nothing.touching[:0], *(digits.touching for digits in found)]),
        ),
    )
