"""The network as in the video: circles in columns, and a line for each weight."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxnet import network as networks
from jaxnet._util import palette
from jaxnet.network import Image, Params, Squash
from jaxnet.plot import _canvas
from jaxnet.plot._canvas import (
    FAINT,
    MARK,
    TEXT,
    Axes,
    EllipseCollection,
    Figure,
    LineCollection,
    Rectangle,
    Sheet,
)

_APART = 8.5  # from column to column; a disc is 0.8 wide
_INCHES = 0.32  # of such a unit


class Drawing(NamedTuple):
    """The artists of a drawn network, for recoloring.

    Attributes:
        figure: on which it is drawn.
        neurons: for each layer, the discs that are drawn.
        edges: for each layer after the image, the lines into it.
        answers: the texts beside the outputs that are drawn.

    Example: see the source of `jaxnet.plot.flow`.
    """

    figure: Sheet
    neurons: list[EllipseCollection]
    edges: list[LineCollection]
    answers: list[Any]


def network(
    params: Params,
    x: Image | None = None,
    *,
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
    longest: int = 16,
    colors: str = "video",
    figure: Sheet | None = None,
) -> Figure:
    """Plots the network: neurons as circles, weights as lines, lit by an image.

    Every line is a weight, its hue the sign, its brightness and its width the magnitude. Of a
    layer with more than `longest` neurons, as many are drawn, evenly spaced, with their
    numbers, and a ⋮ in their middle.

    Args:
        params: the network.
        x: one image, shape `(784,)`, from 0 to 1; without it the discs are empty.
        squash, last_squash: as in `jaxnet.forward`.
        longest: neurons of a layer that are drawn, at most; 2 or more.
        colors: "video" (green positive, red negative) or "safe" (blue, orange).
        figure: what to draw into; a new figure, if not given.

    Returns:
        The figure, the whole one if a part of it was given. Save it by `.savefig(path)`.

    Raises:
        TypeError, ValueError: what `jaxnet.forward` refuses; `longest` below 2; no such
            colors; weights that are not finite.

    Example:
        >>> import jax, jaxnet
        >>> x = jaxnet.data.synthetic.draw(jax.random.key(0), 7)
        >>> jaxnet.plot.network(jaxnet.pretrained(), x).get_suptitle()
        '784 → 16 → 16 → 10: predicted 7'
    """
    drawn = draw(params, x, squash, last_squash, longest, colors, figure)
    return _canvas.whole(drawn.figure)


def draw(
    params: Params,
    x: Image | None,
    squash: Squash,
    last_squash: Squash,
    longest: int,
    colors: str,
    figure: Sheet | None,
) -> Drawing:
    """Draws what `network` draws, and returns the artists."""
    if longest < 2:
        raise ValueError(f"Expected longest as 2 or more; got {longest} instead.")
    n_in = params[0][0].shape[1]
    networks.check(params, np.zeros(n_in, np.float32) if x is None else x)
    sizes = [n_in, *(len(b) for _, b in params)]
    shown = [_evenly(n, longest) for n in sizes]
    high = max(
        4.0, *(1.06 * len(some) + (len(some) < n) for some, n in zip(shown, sizes, strict=True))
    )
    at_y = [_heights(len(some), n, high) for some, n in zip(shown, sizes, strict=True)]
    columns = [_APART * n for n in range(len(sizes))]
    layers, read = None, None
    if x is not None:
        layers = networks.activations(params, x, squash=squash, last_squash=last_squash)
        read = int(networks.predict(params, x, squash=squash))

    left = -10.6 if layers is not None and n_in > longest else -2.5
    width = columns[-1] + 4.5 - left
    figure = _canvas.sheet(figure, min(_INCHES * width, 24), _INCHES * high + 1.8)
    ax = _canvas.bare(figure.subplots())
    ax.set(xlim=(left, columns[-1] + 4.5), ylim=(high / 2 + 1.6, -high / 2 - 0.2))

    edges: list[LineCollection] = []
    for n, (w, _) in enumerate(params):
        full = palette.scale(w)
        some = np.asarray(w, float)[np.ix_(shown[n + 1], shown[n])]
        ends = (columns[n], at_y[n]), (columns[n + 1], at_y[n + 1])
        edges.append(_lines(ax, *ends, some, full, colors))
        between = (columns[n] + columns[n + 1]) / 2
        ax.text(between, high / 2 + 0.9, f"± {full:g}", color=FAINT, fontsize=9, ha="center")

    neurons, answers = [], []
    for n, (some, y) in enumerate(zip(shown, at_y, strict=True)):
        last = n == len(params)
        a = np.zeros(sizes[n]) if layers is None else np.asarray(layers[n], float)
        fill = palette.shades(a[some], palette.white(a), colors)
        outline = [MARK if last and k == read else FAINT for k in some]
        neurons.append(_canvas.discs(ax, np.full(len(y), columns[n]), y, fill, 0.8))
        neurons[-1].set(edgecolor=outline, linewidth=[1.8 if c == MARK else 0.7 for c in outline])
        if len(some) < sizes[n]:
            ax.text(columns[n], 0, "⋮", color=TEXT, fontsize=15, ha="center", va="center")
            for k, height in zip(some, y, strict=True) if not last else ():
                ax.text(
                    columns[n] - 0.6, height, f"{k}", color=FAINT, fontsize=7,
                    ha="right", va="center", zorder=3,
                    bbox={"facecolor": _canvas.BACKGROUND, "edgecolor": "none", "pad": 1},
                )  # fmt: skip
        for k, height in zip(some, y, strict=True) if last else ():
            value = "" if layers is None else f"   {a[k]:z.2f}".replace("-", "−")
            answers.append(
                ax.text(
                    columns[n] + 0.9, height, f"{k}{value}", fontsize=11.5, va="center",
                    color=MARK if k == read else TEXT, weight="bold" if k == read else "normal",
                )
            )  # fmt: skip
        name = "pixels" if n == 0 else "outputs" if last else "neurons"
        ax.text(
            columns[n], high / 2 + 0.9, f"{sizes[n]} {name}", color=TEXT, ha="center", fontsize=10
        )
    if layers is not None and n_in > longest:
        _thumbnail(ax, np.asarray(layers[0], float), shown[0], colors)
    title = " → ".join(map(str, sizes)) + ("" if read is None else f": predicted {read}")
    below = f"weights: {palette.in_words(colors)}, brightest at the magnitude below them"
    if layers is not None:
        below += "\n" + palette.whites_in_words(layers, colors)
    _canvas.caption(figure, title, below)
    return Drawing(figure, neurons, edges, answers)


def _evenly(n: int, longest: int) -> NDArray[Any]:
    """The neurons to draw: all, or some, evenly spaced."""
    m = min(n, longest)
    return (2 * np.arange(m) + 1) * n // (2 * m)


def _heights(m: int, n: int, high: float) -> NDArray[Any]:
    """The heights of a column's neurons, centered on zero, with a gap for the ⋮."""
    step = min(high / (m + (m < n)), 1.5)
    y = (np.arange(m) - (m - 1) / 2) * step
    return y + np.where(np.arange(m) < m // 2, -0.5, 0.5) * step * (m < n)


def _lines(
    ax: Axes, start: Any, end: Any, w: NDArray[Any], full: float, colors: str
) -> LineCollection:
    """A line for each weight, shape `(out, in)`, the strongest on top."""
    share = np.clip(np.abs(w) / full, 0, 1).ravel()
    order = np.argsort(share)
    (x0, y0), (x1, y1) = start, end
    segments = np.stack(
        [
            np.stack([np.full(w.shape, x0), np.tile(y0, (len(w), 1))], -1).reshape(-1, 2),
            np.stack([np.full(w.shape, x1), np.tile(y1[:, None], w.shape[1])], -1).reshape(-1, 2),
        ],
        1,
    )  # fmt: skip
    positive, negative = palette.hues(colors)
    hue = np.where(w.reshape(-1, 1) > 0, positive, negative)
    lines = LineCollection(
        [*segments[order]],
        colors=np.concatenate([hue, share[:, None]], 1)[order],
        linewidths=(0.4 + 1.6 * share)[order],
        zorder=1,
    )
    ax.add_collection(lines)
    return lines


def _thumbnail(ax: Axes, x: NDArray[Any], shown: NDArray[Any], colors: str) -> None:
    """The image left of the network, with a ring on each pixel drawn as a neuron."""
    grid = palette.folded(x)
    rows, columns = grid.shape
    pixel = 7.2 / max(rows, columns)
    wide, high = pixel * columns, pixel * rows
    right = -2.6
    picture = _canvas.grays(ax, grid, colors, palette.white(x))
    picture.set_extent((right - wide, right, high / 2, -high / 2))
    row, column = np.divmod(shown, columns)
    at_x = right - wide + (column + 0.5) * pixel
    at_y = (row + 0.5) * pixel - high / 2
    _canvas.discs(ax, at_x, at_y, np.zeros((len(shown), 3)), 1.3 * pixel).set(
        facecolor="none", edgecolor=MARK, linewidth=0.8
    )
    ax.add_patch(
        Rectangle((right - wide, -high / 2), wide, high, fill=False, edgecolor=_canvas.LINE)
    )
