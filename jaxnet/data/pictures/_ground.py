"""The paper under the ink: the sheet on its desk, its brightness under uneven light, its ink."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxnet._util.optional import package

Gray = NDArray[np.uint8]  # a picture, from 0 (black) to 255 (white)
Mask = NDArray[np.uint8]  # 0 or 1

FAINT = 0.12  # contrast below which nothing is drawn
_LEAST = 8  # pixels of ink, or nothing is drawn
_STROKE = 0.3  # of the picture's shorter side; anything wider than this is background
_SHEET = 240  # pixels of the longer side to which a picture is reduced to look for a sheet
_DARKEST = 50  # of 255: paper in the dark, below which noise would be taken for ink
_DARKER = 25  # of 255: the least by which a desk is darker than the sheet, and ink than paper


def opencv() -> Any:
    """OpenCV, which finds what is connected, straight or thick."""
    return package("cv2", extra="images")


def on_sheet(gray: Gray) -> tuple[Gray, int, int]:
    """Cuts out the sheet of paper if it lies on a darker desk."""
    cv2 = opencv()
    small, factor = reduced(gray, _SHEET)
    smooth = cv2.morphologyEx(cv2.medianBlur(small, 5), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    _, bright = cv2.threshold(smooth, 0, 1, cv2.THRESH_OTSU)
    n, regions, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=4)
    if n < 2:
        return gray, 0, 0
    largest = (regions == 1 + np.argmax(stats[1:, 4])).astype(np.uint8)
    outline = outer(largest)
    hull = cv2.convexHull(outline)
    left, top, width, height = cv2.boundingRect(hull)
    rows, columns = small.shape
    n_cut_off = sum((left == 0, top == 0, left + width == columns, top + height == rows))
    if n_cut_off > 1 or min(width, height) < 0.2 * min(small.shape) or not is_rectangle(hull):
        return gray, 0, 0
    if cv2.contourArea(outline) < 0.93 * cv2.contourArea(hull):
        return gray, 0, 0
    filled = cv2.drawContours(np.zeros_like(small), [hull], 0, 1, -1)
    paper = np.median(small[filled == 1])
    inner = cv2.erode(np.pad(filled, 1), np.ones((9, 9), np.uint8))[1:-1, 1:-1]
    ink = (small[inner == 1] < paper - _DARKER).mean() if inner.any() else 0
    if paper - np.median(small[filled == 0]) < _DARKER or not 0 < ink < 0.35:
        return gray, 0, 0
    there = cv2.resize(inner, gray.shape[::-1], interpolation=cv2.INTER_NEAREST)
    x, y = int(left / factor), int(top / factor)
    part = slice(y, int((top + height) / factor)), slice(x, int((left + width) / factor))
    return np.where(there[part] == 1, gray[part], np.uint8(paper)), x, y


def is_light(gray: Gray) -> bool:
    """Whether the ink is lighter than the paper, which is what is most around each place."""
    cv2 = opencv()
    small, _ = reduced(gray, 100)
    side = max(round(0.5 * min(small.shape)) | 1, 3)
    edge = side // 2
    padded = cv2.copyMakeBorder(small, edge, edge, edge, edge, cv2.BORDER_REFLECT)
    ground = cv2.medianBlur(padded, side)[edge:-edge, edge:-edge]
    return int(cv2.subtract(small, ground).sum()) > int(cv2.subtract(ground, small).sum())


def contrast(gray: Gray) -> Gray:
    """Ink contrast: the fraction of the local paper brightness that is missing at each pixel."""
    # The paper is what remains when gaps narrower than a stroke are closed: the brightest pixel
    # around, but not beyond the edge of a shadow.
    cv2 = opencv()
    side = max(round(_STROKE * min(gray.shape)) | 1, 3)
    smooth = cv2.medianBlur(gray, 3)
    paper = cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    return cv2.divide(cv2.subtract(paper, smooth), cv2.max(paper, _DARKEST), scale=255)


def strength_of(contrast: Gray) -> float:
    """The contrast of the ink itself, not of its blurred edges; 0 where nothing is drawn."""
    drawn = contrast[contrast >= 255 * FAINT]
    if drawn.size < _LEAST:
        return 0.0
    return float(np.median(drawn[drawn >= np.percentile(drawn, 95) / 2]))


def reduced(gray: Gray, longest: int) -> tuple[Gray, float]:
    """Averages a picture down to so many pixels along its longer side, and says by what factor."""
    factor = longest / max(gray.shape)
    if factor >= 1:
        return gray, 1.0
    height, width = (max(round(side * factor), 1) for side in gray.shape)
    cv2 = opencv()
    return cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA), factor


def binned(gray: Gray, least: int) -> tuple[Gray, int]:
    """Averages blocks of pixels, so that at least so many are left along the longer side."""
    factor = max(max(gray.shape) // least, 1)
    if factor == 1:
        return gray, 1
    height, width = (side // factor for side in gray.shape)
    if not height or not width:
        return gray, 1
    whole = gray[: height * factor, : width * factor]
    cv2 = opencv()
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), factor


def outer(mask: Mask) -> Any:
    """The outline of the largest connected region."""
    cv2 = opencv()
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return max(outlines, key=cv2.contourArea)


def is_rectangle(outline: Any) -> bool:
    """Whether an outline fills the smallest rectangle around it, however that is turned."""
    cv2 = opencv()
    _, (width, height), _ = cv2.minAreaRect(outline)
    return cv2.contourArea(outline) > 0.88 * width * height
