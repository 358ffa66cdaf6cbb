"""What all plots share: the dark figure, its text, circles, grids and their scale.

Nothing is global: figures are made by `matplotlib.figure.Figure`, no style is set, no window
opened. Every picture takes `figure`, into which it is drawn: a part of a larger figure, say,
from `Figure.subfigures`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxnet._util import palette

try:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg as FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import EllipseCollection
    from matplotlib.collections import LineCollection as LineCollection
    from matplotlib.colors import ListedColormap, Normalize
    from matplotlib.colors import to_rgb as to_rgb
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage
    from matplotlib.patches import Rectangle as Rectangle
    from matplotlib.ticker import MaxNLocator as MaxNLocator
    from PIL import Image as Image
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "Pictures need matplotlib: pip install 'jaxnet-digits[plot]'", name="matplotlib"
    ) from error

Sheet = Figure | SubFigure

BACKGROUND, TEXT, FAINT, LINE, MARK = "#101218", "#eceef2", "#9aa1ad", "#3b4150", "#ffd84a"
_TITLE, _CAPTION = 14, 10.5  # points


def sheet(figure: Sheet | None, width: float, height: float) -> Sheet:
    """The dark figure to draw on: a new one of this size in inches, or the given one."""
    if figure is None:
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)  # pyright: ignore
    figure.set_facecolor(BACKGROUND)
    return figure


def whole(figure: Sheet) -> Figure:
    """The figure that this is, or is a subfigure of."""
    root = figure.get_figure(root=True)
    assert root is not None
    return root


def caption(figure: Sheet, title: str, below: str = "") -> None:
    """Adds a title, and a note below."""
    figure.suptitle(title, color=TEXT, fontsize=_fitting(figure, title, _TITLE))
    if below:
        size = _fitting(figure, below, _CAPTION)
        figure.supxlabel(below, color=FAINT, fontsize=size, linespacing=1.5)


def _fitting(figure: Sheet, text: str, points: float) -> float:
    """The largest font size, up to a limit, at which a text fits the figure's width."""
    width = 72 * figure.bbox.width / figure.dpi
    return min(points, width / (0.6 * max(map(len, text.splitlines()))))


def bare(ax: Axes, title: str = "") -> Axes:
    """Removes the frame and ticks from image axes."""
    ax.set_facecolor(BACKGROUND)
    ax.set(xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(False)
    ax.set_title(title, color=TEXT, fontsize=11)
    return ax


def ruled(ax: Axes) -> Axes:
    """Styles axes with ticks."""
    ax.set_facecolor(BACKGROUND)
    ax.tick_params(which="both", colors=FAINT, labelcolor=FAINT, length=0)
    ax.spines[:].set_visible(False)
    ax.xaxis.label.set_color(FAINT)
    ax.yaxis.label.set_color(FAINT)
    return ax


def discs(ax: Axes, x: ArrayLike, y: ArrayLike, fill: ArrayLike, width: float) -> EllipseCollection:
    """Draws neurons as circles with a thin outline, which shows dark ones too."""
    middles = np.stack([np.asarray(x, float), np.asarray(y, float)], 1)
    collection = EllipseCollection(
        widths=width,
        heights=width,
        angles=0,
        units="xy",
        offsets=middles,
        offset_transform=ax.transData,
        facecolors=np.asarray(fill),
        edgecolors=LINE,
        linewidths=0.6,
        zorder=2,
    )
    ax.add_collection(collection)
    return collection


def raster(ax: Axes, grid: NDArray[Any], full: float, colors: str) -> AxesImage:
    """Draws a grid of signed numbers; NaN is transparent."""
    return ax.imshow(grid, cmap=_map(colors), norm=Normalize(-full, full), interpolation="nearest")


def grays(ax: Axes, grid: NDArray[Any], colors: str, white: float) -> AxesImage:
    """Draws a grid of activations, black at zero and white at `white`; NaN is transparent."""
    opaque = np.isfinite(grid)[..., None].astype(float)
    shades = palette.shades(np.nan_to_num(grid), white, colors)
    return ax.imshow(np.concatenate([shades, opaque], -1), interpolation="nearest")


def numbers(ax: Axes, row: ArrayLike, full: float) -> None:
    """Writes each number into its cell, dark on bright cells, if there is room."""
    grid = palette.folded(row)
    points = 72 * ax.figure.bbox.width * ax.get_position().width / ax.figure.dpi
    size = min(9.0, points / grid.shape[1] / 3.4)
    if size < 4.5:
        return
    for y, x in np.argwhere(np.isfinite(grid)):
        ax.text(
            x, y, f"{grid[y, x]:z.2f}".replace("-", "−"), ha="center", va="center",
            fontsize=size, color=BACKGROUND if grid[y, x] > 0.45 * full else TEXT,
        )  # fmt: skip


def scale_bar(
    axes: Axes | Sequence[Axes], full: float, colors: str, label: str, *, largest: float
) -> None:
    """Draws the colorbar of `raster`; with pointed ends if some numbers exceed it."""
    note = f"{label} (the largest: {palette.signed(largest)[1:]})" if largest > full else label
    ends = f"−{full:g}", "0", f"+{full:g}"
    _bar(axes, _map(colors), (-full, 0, full), ends, note, pointed=largest > full)


def gray_bar(axes: Axes | Sequence[Axes], a: ArrayLike, colors: str, label: str) -> None:
    """Draws the colorbar of `grays`, and of negative activations if there are any."""
    white = palette.white(a)
    below = bool(np.min(np.asarray(a)) < 0)
    steps = ListedColormap(palette.shades(np.linspace(-below, 1, 257), 1, colors))
    places = (-white, 0, white) if below else (0, white)
    ends = [f"{place:g}".replace("-", "−") for place in places]
    _bar(axes, steps, places, ends, label, pointed=False)


def _bar(
    axes: Axes | Sequence[Axes],
    steps: ListedColormap,
    places: Sequence[float],
    names: Sequence[str],
    label: str,
    *,
    pointed: bool,
) -> None:
    several = [axes] if isinstance(axes, Axes) else [*axes]
    bar = several[0].figure.colorbar(
        ScalarMappable(Normalize(places[0], places[-1]), steps),
        ax=several,
        location="bottom",
        fraction=0.06,
        pad=0.03,
        aspect=32,
        shrink=0.6 / len(several),
        extend="both" if pointed else "neither",
        ticks=[*places],
    )
    bar.outline.set_edgecolor(LINE)  # pyright: ignore
    bar.ax.set_xticklabels(names)
    bar.ax.tick_params(colors=FAINT, labelcolor=FAINT, length=0, labelsize=9)
    bar.set_label(label, color=FAINT, fontsize=_CAPTION)


def _map(colors: str) -> ListedColormap:
    # An odd number of steps, so that zero is black and not beside it.
    return ListedColormap(palette.around_zero(np.linspace(-1, 1, 257), 1, colors))
