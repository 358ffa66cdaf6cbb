"""Ruled lines, frames and cells: straightened, and taken out of the ink."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxnet.data.pictures._ground import Gray, Mask, is_rectangle, opencv

_TILT = 8.0  # degrees that paper may be turned by
_DENSE = 0.3  # of all pixels: denser than lines, so it is noise, too slow to search
_BINS = 64  # to find the angle that most lines have
_LONG = 0.4  # of the picture's shorter side: a run of ink that may be a line


def tilt(contrast: Gray, strength: float) -> NDArray[np.float64] | None:
    """The rotation that makes ruled lines level or upright, as OpenCV's matrix of 2 × 3."""
    cv2 = opencv()
    height, width = contrast.shape
    mask = (contrast > 0.3 * strength).astype(np.uint8)
    thin = mask & ~cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((15, 15), np.uint8))
    least = 0.45 * min(height, width)
    if thin.mean() > _DENSE:
        return None
    lines = cv2.HoughLinesP(thin, 1, np.pi / 720, int(least / 2), None, least, 15)
    if lines is None:
        return None
    x0, y0, x1, y1 = lines.reshape(-1, 4).T.astype(float)
    lengths = np.hypot(x1 - x0, y1 - y0)
    angles = (np.degrees(np.arctan2(y1 - y0, x1 - x0)) + 45) % 90 - 45
    near = abs(angles) < _TILT
    if lengths[near].sum() < 1.2 * min(height, width):
        return None
    total, edges = np.histogram(angles[near], _BINS, (-_TILT, _TILT), weights=lengths[near])
    most = np.convolve(total, np.ones(3), "same").argmax()
    those = near & (abs(angles - edges[most : most + 2].mean()) < 0.5)
    angle = float(np.average(angles[those], weights=lengths[those]))
    if abs(angle) < 0.15:
        return None
    return cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)


def without_boxes(mask: Mask) -> Mask:
    """Takes out rectangles drawn around something, and grids of them."""
    cv2 = opencv()
    outlines, tree = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_NONE)
    if tree is None:
        return mask
    inner: dict[int, list[int]] = {}
    for number, parent in enumerate(tree[0, :, 3].tolist()):
        inner.setdefault(parent, []).append(number)
    boxes = np.zeros_like(mask)
    for number, outline in enumerate(outlines):
        holes = inner.get(number, [])
        within = [ink for hole in holes for ink in inner.get(hole, [])]
        if not within or min(cv2.boundingRect(outline)[2:]) < 0.15 * min(mask.shape):
            continue
        whole = cv2.contourArea(outline)
        empty = sum(cv2.contourArea(outlines[hole]) for hole in holes)
        written = sum(cv2.contourArea(outlines[ink]) for ink in within)
        if empty > 0.55 * whole and written > 0.01 * whole and is_rectangle(outline):
            cv2.drawContours(boxes, outlines, number, 1, cv2.FILLED)
            for hole in holes:
                cv2.drawContours(boxes, outlines, hole, 0, cv2.FILLED)
                cv2.drawContours(boxes, outlines, hole, 1, 1)  # a hole's outline lies on the ink
            for ink in within:
                cv2.drawContours(boxes, outlines, ink, 0, cv2.FILLED)
    return mask & ~boxes if boxes.any() else mask


class _Run(NamedTuple):
    """A long straight run of ink.

    Attributes:
        mark: its number among those of its direction.
        start, stop: along it.
        near, far: across it, its two sides.
        thick: its mean thickness.
    """

    mark: int
    start: int
    stop: int
    near: int
    far: int
    thick: float


def without_lines(mask: Mask) -> Mask:
    """Removes horizontal and vertical lines, but not strokes that cross or follow them."""
    cv2 = opencv()
    level, upright = _runs(mask), _runs(mask.T)
    lines = _lines(level[1], upright[1], mask.shape)
    if not any(lines):
        return mask
    grown, crossing = np.zeros_like(mask), np.zeros_like(mask)
    both: list[tuple[Mask, int]] = []
    for (marks, _), those, flip in zip((level, upright), lines, (False, True), strict=True):
        there = _thin(np.isin(marks, [line.mark for line in those]).astype(np.uint8))
        there = cv2.dilate(there, np.ones((5, 3), np.uint8))
        there = np.ascontiguousarray(there.T) if flip else there
        both.append((there, int(max((line.thick for line in those), default=0))))
        grown |= there
    rest = mask & ~grown
    for (there, thick), flip in zip(both, (False, True), strict=True):
        # What has ink on both sides of a line crosses it. A line may be three times as thick where
        # a stroke touches it, and has grown by two pixels on each side.
        bridge = np.ones((1, 2 * thick + 10) if flip else (2 * thick + 10, 1), np.uint8)
        crossing |= cv2.morphologyEx(rest, cv2.MORPH_CLOSE, bridge) & there
    return rest | (crossing & mask)


def _runs(mask: Mask) -> tuple[NDArray[np.int32], list[_Run]]:
    """The long level runs of a mask: a number for each pixel, and what is known of each number."""
    cv2 = opencv()
    least = round(_LONG * min(mask.shape))
    if mask.sum(1, dtype=np.int32).max() < 0.8 * least:
        return np.zeros(mask.shape, np.int32), []
    joined = cv2.morphologyEx(
        np.ascontiguousarray(mask), cv2.MORPH_CLOSE, np.ones((1, 5), np.uint8)
    )
    runs = cv2.morphologyEx(joined, cv2.MORPH_OPEN, np.ones((1, least), np.uint8))
    _, marks, stats, _ = cv2.connectedComponentsWithStats(runs, connectivity=8)
    return marks, [
        _Run(mark, x, x + width, y, y + height, area / width)
        for mark, (x, y, width, height, area) in enumerate(stats.tolist())
        if mark
    ]


def _lines(
    level: list[_Run], upright: list[_Run], shape: tuple[int, int]
) -> tuple[list[_Run], list[_Run]]:
    """Those runs that are no digit's strokes: they cross the picture, or are sides of cells."""
    height, width = shape
    near = 0.03 * min(shape) + 3
    sure = [run for run in level if _crosses(run, width, height, near)]
    sure += [run for run in upright if _crosses(run, height, width, near)]
    widest = 1.5 * max((run.thick for run in sure), default=np.inf) + 1
    left = [
        [run for run in runs if run.thick <= widest or run in sure] for runs in (level, upright)
    ]
    while True:  # drop runs that do not meet a crossing run at both ends, until nothing changes
        met = [
            [run for run in runs if run in sure or _is_side(run, others, near)]
            for runs, others in (left, left[::-1])
        ]
        if met == left:
            return met[0], met[1]
        left = met


def _crosses(run: _Run, length: int, breadth: int, near: float) -> bool:
    """Whether a run goes from one edge of the picture to the other, or along an edge."""
    long = run.stop - run.start
    along_edge = run.near <= 1 or run.far >= breadth - 1
    from_edge_to_edge = run.start <= near and run.stop >= length - near
    return long >= 0.9 * length or from_edge_to_edge or (along_edge and long > 0.5 * length)


def _is_side(run: _Run, across: list[_Run], near: float) -> bool:
    """Whether both ends of a run meet others across it."""
    middle = (run.near + run.far) / 2
    return all(
        any(
            other.near - near <= end <= other.far + near
            and other.start - near <= middle <= other.stop + near
            for other in across
        )
        for end in (run.start, run.stop)
    )


def _thin(lines: Mask) -> Mask:
    """Horizontal lines without much thicker parts, which are strokes that run along them."""
    columns = lines[:, lines.any(0)]
    if not columns.size:
        return lines
    n_lines = (np.diff(columns.astype(np.int8), axis=0, prepend=0) == 1).sum(0)
    thick = int(np.median(columns.sum(0) / n_lines))
    cv2 = opencv()
    return lines & ~cv2.morphologyEx(lines, cv2.MORPH_OPEN, np.ones((2 * thick + 3, 1), np.uint8))
