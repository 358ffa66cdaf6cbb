"""Many grids in one figure, each with a name below."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxnet._util import palette
from jaxnet.plot import _canvas
from jaxnet.plot._canvas import FAINT, TEXT, Axes, Sheet

MOST = 100  # grids; of more, 99 are drawn, and the last tile says how many are missing


def tiles(
    figure: Sheet | None,
    rows: NDArray[Any],
    names: Sequence[str],
    draw: Callable[[Axes, NDArray[Any]], Any],
    color: str = FAINT,
) -> tuple[Sheet, Axes]:
    """Draws grids of numbers as tiles; if there are more than 100, the first 99."""
    whole, corners = tiled(rows)
    _, across = _down_and_across(len(rows))
    high, wide = palette.rows_and_columns(rows.shape[1])
    width = min(max(2.2 * across, 4.5), 11)
    height = (width - 0.5) * len(whole) / whole.shape[1]
    figure = _canvas.sheet(figure, width, min(height, 11) + 1.5)
    ax = _canvas.bare(figure.subplots())
    draw(ax, whole)

    inches = figure.bbox.width / figure.dpi / across  # that a name may be long
    size = min(10.0, 110 * inches / max(map(len, names)))
    ax.set_ylim(len(whole) + 0.02 * high, -0.5)
    for (top, left), name in zip(corners, names, strict=False):
        ax.annotate(
            name, (left + (wide - 1) / 2, top + high - 0.5), (0, -2), textcoords="offset points",
            color=color, fontsize=size, ha="center", va="top",
        )  # fmt: skip
    if len(corners) < len(rows):
        x, y = whole.shape[1] - wide / 2, len(whole) - high / 2
        more = f"⋮\n{len(rows) - len(corners)} more"
        ax.text(x, y, more, color=TEXT, fontsize=size, ha="center", va="center")
    return figure, ax


def tiled(rows: NDArray[Any]) -> tuple[NDArray[Any], list[tuple[int, int]]]:
    """Folds each row of numbers into a grid, and tiles the grids with gaps."""
    down, across = _down_and_across(len(rows))
    high, wide = palette.rows_and_columns(rows.shape[1])
    below, beside = max(1, round(0.2 * max(high, wide / 3))), max(1, wide // 10)
    whole = np.full((down * (high + below), across * (wide + beside) - beside), np.nan)
    corners = [
        (n // across * (high + below), n % across * (wide + beside))
        for n in range(len(rows) if len(rows) <= MOST else MOST - 1)
    ]
    for numbers, (top, left) in zip(rows, corners, strict=False):
        whole[top : top + high, left : left + wide] = palette.folded(numbers)
    return whole, corners


def _down_and_across(n: int) -> tuple[int, int]:
    return palette.rows_and_columns(min(n, MOST), longest=3)
