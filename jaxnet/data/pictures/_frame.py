"""One digit's ink in MNIST's form: 20 pixels along its longer side, MNIST's pen, centered by mass.

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits". Of its training images
nine in ten have strokes between 1.8 and 3.7 pixels wide.
"""

import numpy as np
from numpy.typing import NDArray

from jaxnet.data.pictures._ground import Mask, opencv
from jaxnet.network import SIDE

_THIN, _THICK = 1.9, 3.6  # pixels, the digit being 20 high: strokes that are left as they are
_THICKENED, _THINNED = 2.3, 3.1  # what others become
_DRAWN_AT = 100  # pixels of the longer side, to draw strokes thinner or thicker


def framed(ink: NDArray[np.float32], side: int, *, with_pen: bool = True) -> NDArray[np.float32]:
    """Brings one digit's ink into MNIST's form, enlarged or reduced to a square of this side."""
    ink = _cropped(_with_usual_pen(ink) if with_pen else ink)
    scale = side / SIDE
    longest, center = 20 * scale, SIDE / 2 * scale + (scale - 1) / 2
    height, width = (max(1, round(longest * length / max(ink.shape))) for length in ink.shape)
    from PIL import Image

    small = Image.fromarray(ink).resize((width, height), Image.Resampling.BICUBIC)
    ink = np.asarray(small).clip(0, 1)
    ink /= ink.max()
    middle_y = ink.sum(1) @ np.arange(height) / ink.sum()
    middle_x = ink.sum(0) @ np.arange(width) / ink.sum()
    top = min(max(round(center - middle_y), 0), side - height)
    left = min(max(round(center - middle_x), 0), side - width)
    image = np.zeros((side, side), np.float32)
    image[top : top + height, left : left + width] = ink
    return image.reshape(-1)


def _cropped(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """The box around the ink."""
    drawn = ink > 0
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def pen_width(ink: NDArray[np.float32]) -> float:
    """The mean width of the strokes, as a share of the longer side."""
    # Across a stroke, the distance from its edge rises and falls evenly, so that its mean is a
    # quarter of the width.
    cv2 = opencv()
    smooth = cv2.blur(ink, (3, 3))  # otherwise every noise hole counts as an edge
    inside = np.pad((smooth > 0.5).astype(np.uint8), 1)
    if not inside.any():
        return 0.0
    away = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    half_a_pixel = 0.25  # distances are taken to the middle of the nearest pixel without ink
    return float(4 * (away[inside > 0].mean() - half_a_pixel)) / max(ink.shape)


def _with_usual_pen(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """Redraws strokes that are thinner or thicker than MNIST's with a pen of its width."""
    cv2 = opencv()
    factor = _DRAWN_AT / max(ink.shape)
    if not 0.5 < factor < 2:
        height, width = (max(round(side * factor), 1) for side in ink.shape)
        way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        ink = cv2.resize(ink, (width, height), interpolation=way)
    pixels = 20 * pen_width(ink)
    if _THIN <= pixels <= _THICK or not pixels:
        return ink
    longest = max(ink.shape)
    more = ((_THICKENED if pixels < _THIN else _THINNED) - pixels) * longest / 20
    ink = np.pad(ink, round(0.12 * longest))
    edge = _inwards((ink > 0.5).astype(np.uint8))
    return (edge + more / 2 + 0.5).clip(0, 1).astype(np.float32)


def _inwards(mask: Mask) -> NDArray[np.float32]:
    """The distance from the edge of the ink, in pixels; negative outside."""
    cv2 = opencv()
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    return inside - outside - (mask - np.float32(0.5))
