"""The digits in a picture, found among what surrounds them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxnet.data.pictures._decode import to_gray
from jaxnet.data.pictures._frame import framed
from jaxnet.data.pictures._ground import (
    FAINT,
    Gray,
    binned,
    contrast,
    is_light,
    is_rectangle,
    on_sheet,
    opencv,
    strength_of,
)  # fmt: skip
from jaxnet.data.pictures._lines import tilt, without_boxes, without_lines
from jaxnet.data.pictures._marks import WIDE, Mark, marks_in
from jaxnet.data.pictures._small import SMALL, inked, thumbnail
from jaxnet.network import SIDE

_ENLARGED = 200  # pixels to which the shorter side of a small picture of several digits is enlarged
_LOWEST = 12  # pixels of a line of digits, which would be a blur otherwise
_GLANCE = 112  # pixels of the longer side, to see whether a picture is clean
_EVEN = 6  # of 255: how far the border of a clean picture may be from even
_LEAST = 24  # pixels of a digit, at that size
_ALONE = 4  # times as much ink as all other marks together: then it is the only digit


_FIRST_LINE, _NOT_TOUCHING = np.zeros(1, np.int32), np.zeros(1, np.bool_)


class Digits(NamedTuple):
    """Digits in reading order.

    Attributes:
        images: in MNIST's form, shape `(n, side²)`, from 0 (paper) to 1 (ink).
        boxes: left, top, right and bottom edge of each in pixels of the picture, shape `(n, 4)`.
        lines: the line of writing that each is in, from 0, shape `(n,)`.
        touching: whether each is too wide for one digit: several that touch, or another mark.
    """

    images: NDArray[np.float32]
    boxes: NDArray[np.int32]
    lines: NDArray[np.int32]
    touching: NDArray[np.bool_]


def as_mnist(picture: NDArray[Any], *, side: int = SIDE) -> NDArray[np.float32]:
    """Finds the one digit in a picture and normalizes it like MNIST.

    Args:
        picture: shape `(height, width)` gray, `(height, width, 3)` color, or
            `(height, width, 4)` with opacity; uint8 from 0 to 255, or floats from 0 to 1.
        side: pixels along each side of the image, as the network takes it.

    Returns:
        One image, shape `(side²,)`, from 0 (ground) to 1 (ink).

    Raises:
        ValueError: another shape or type, nothing stands out from the ground, or more than one
            digit does.

    Example:
        >>> import numpy, jaxnet
        >>> page = numpy.ones((90, 60))
        >>> page[20:70, 28:33] = 0.2
        >>> jaxnet.data.as_mnist(page).reshape(28, 28).any(1).sum()
        np.int64(20)
    """
    return find(to_gray(np.asarray(picture)), several=False, side=side).images[0]


def find_digits(picture: NDArray[Any], *, side: int = SIDE) -> Digits:
    """Finds the digits in a picture and normalizes each like MNIST.

    Args:
        picture, side: as for `as_mnist`.

    Returns:
        At least one digit, in reading order.

    Raises:
        ValueError: another shape or type, or nothing stands out from the ground.

    Example:
        >>> import numpy, jaxnet
        >>> page = numpy.ones((90, 120))
        >>> page[20:70, 30:36] = page[20:70, 70:76] = 0.2
        >>> digits = jaxnet.data.find_digits(page)
        >>> digits.images.shape, digits.lines.tolist()
        ((2, 784), [0, 0])
    """
    return find(to_gray(np.asarray(picture)), several=True, side=side)


def find(gray: Gray, *, several: bool, side: int) -> Digits:
    """Finds the digits in a picture."""
    height, width = gray.shape
    if min(gray.shape) < SMALL:
        if not several or width < WIDE * height or height < _LOWEST:
            return _small(gray, side)
        factor = _ENLARGED / height
        cv2 = opencv()
        size = (round(width * factor), _ENLARGED)
        gray = cv2.resize(gray, size, interpolation=cv2.INTER_CUBIC)
        found = find(gray, several=True, side=side)
        return found._replace(boxes=(found.boxes / factor).round().astype(np.int32))
    found = _at_a_glance(gray, side)
    return found or _among_others(gray, several, side)


def _small(gray: Gray, side: int) -> Digits:
    """The digit in a small picture."""
    images, boxes = inked(gray[None], side)
    if not boxes.any():
        raise ValueError("nothing is drawn here: no pixel stands out from the ground")
    return _digits([images[0]], boxes, [0], [False])


def thumbnails(files: Sequence[tuple[str, int, int]], side: int) -> dict[int, Digits]:
    """The digits in those files that are small plain PNGs, such as MNIST's images one by one."""
    by_size: dict[tuple[int, ...], list[tuple[int, Gray]]] = {}
    for at, file in enumerate(files):
        if (gray := thumbnail(*file)) is not None:
            by_size.setdefault(gray.shape, []).append((at, gray))
    found: dict[int, Digits] = {}
    for several in by_size.values():
        images, boxes = inked(np.stack([gray for _, gray in several]), side)
        for n in np.flatnonzero(boxes.any(1)).tolist():
            digits = Digits(images[n : n + 1], boxes[n : n + 1], _FIRST_LINE, _NOT_TOUCHING)
            found[several[n][0]] = digits
    return found


def _at_a_glance(gray: Gray, side: int) -> Digits | None:
    """The only digit of a clean picture: one mark, on even ground; None if it is not so simple."""
    cv2 = opencv()
    small, factor = binned(gray, _GLANCE)
    edge = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    if int(edge.max()) - int(edge.min()) > 2 * _EVEN:
        return None
    ground = int(np.median(edge))
    lightest, darkest = int(small.max()) - ground, ground - int(small.min())
    is_dark = darkest > lightest
    strength, most = (darkest, ground) if is_dark else (lightest, 255 - ground)
    if strength < FAINT * most or min(lightest, darkest) > max(2 * _EVEN, strength // 8):
        return None
    away = cv2.absdiff(small, ground)
    mask = (away > 0.4 * strength).view(np.uint8)
    outlines, inside = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if (
        inside is None or np.count_nonzero(inside[0, :, 3] < 0) != 1
    ):  # outlines other than those of holes
        return None
    outline = max(outlines, key=len)
    left, top, width, height = cv2.boundingRect(outline)
    if max(width, height) < _LEAST or width > height * WIDE:
        return None
    if len(outlines) > 1 and is_rectangle(outline):  # a sheet on a desk, or a frame
        return None
    box = factor * np.array([left, top, left + width, top + height])
    x, y = max(factor * (left - 1), 0), max(factor * (top - 1), 0)
    part = gray[y : factor * (top + height + 1), x : factor * (left + width + 1)]
    ink = (
        cv2.absdiff(binned(part, _GLANCE)[0], ground) / np.float32(strength) - np.float32(0.25)
    ) / np.float32(0.6)
    return _digits([framed(ink.clip(0, 1), side)], [box], [0], [False])


def _among_others(gray: Gray, several: bool, side: int) -> Digits:
    """The digits among lines, shadows, frames and dust."""
    cv2 = opencv()
    sheet, x, y = on_sheet(gray)
    sheet = 255 - sheet if is_light(sheet) else sheet
    ink = contrast(sheet)
    turn = tilt(ink, strength_of(ink))
    if turn is not None:
        size = sheet.shape[::-1]
        sheet = cv2.warpAffine(sheet, turn, size, borderMode=cv2.BORDER_REPLICATE)
        ink = contrast(sheet)
    strength = strength_of(ink)
    if not strength:
        raise ValueError("nothing is drawn here: no pixel stands out from the ground")
    mask = without_lines(without_boxes((ink > 0.4 * strength).astype(np.uint8)))
    parts, lines = marks_in(mask)
    marks = [(number, mark) for number, line in enumerate(lines) for mark in line]
    if not marks:
        raise ValueError("no digit is drawn here")
    if not several:
        most = max((mark.area for _, mark in marks))
        if len(marks) > 1 and sum(mark.area for _, mark in marks) > most * (1 + 1 / _ALONE):
            raise ValueError(f"expected one digit; {len(marks)} are drawn here")
        marks = [(0, mark) for _, mark in marks if mark.area == most][:1]
    ink = ((ink / np.float32(strength) - np.float32(0.25)) / np.float32(0.6)).clip(0, 1)
    boxes = np.array([mark[:4] for _, mark in marks])
    if turn is not None:
        boxes = _turned_back(boxes, turn)
    return _digits(
        [framed(_of(mark, parts, ink), side) for _, mark in marks],
        boxes + np.array([x, y, x, y]),
        [number for number, _ in marks],
        [mark.width > WIDE * mark.height for _, mark in marks],
    )


def _of(mark: Mark, parts: NDArray[np.int32], ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """A mark's ink, with the blurred edge around it."""
    height, width = ink.shape
    rows = slice(max(mark.top - 2, 0), min(mark.bottom + 2, height))
    columns = slice(max(mark.left - 2, 0), min(mark.right + 2, width))
    its = np.isin(parts[rows, columns], mark.parts).astype(np.uint8)
    return ink[rows, columns] * opencv().dilate(its, np.ones((3, 3), np.uint8))


def _turned_back(boxes: NDArray[np.int_], turn: NDArray[np.float64]) -> NDArray[np.int_]:
    """Boxes around what was turned, in the picture as it was."""
    back = opencv().invertAffineTransform(turn)
    x, y = boxes[:, [0, 2, 0, 2]], boxes[:, [1, 1, 3, 3]]
    x, y = (row[0] * x + row[1] * y + row[2] for row in back)
    return np.stack([x.min(1), y.min(1), x.max(1), y.max(1)], 1).round().astype(int)


def _digits(
    images: list[NDArray[np.float32]], boxes: ArrayLike, lines: list[int], touching: list[bool]
) -> Digits:
    return Digits(
        np.stack(images),
        np.asarray(boxes, np.int32),
        np.asarray(lines, np.int32),
        np.asarray(touching, np.bool_),
    )
