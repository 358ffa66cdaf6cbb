"""Plots of neurons as circles, as bright as they are active."""

import numpy as np

from jaxnet import network
from jaxnet._util import palette
from jaxnet.network import Image, Params, Squash
from jaxnet.plot import _canvas
from jaxnet.plot._canvas import FAINT, MARK, TEXT, Figure, Sheet

_HIGH = 28.0  # the highest layer, in the units of the drawing
_MOST_IN_COLUMN = 20  # neurons beside their numbers; more are folded into a grid


def image(x: Image, *, colors: str = "video", figure: Sheet | None = None) -> Figure:
    """Plots an image as neurons: one circle per pixel, as bright as it is active.

    Where there is room, each has its number too, as in the video's look at a few neurons:
    of a part of an image, that is, such as `x.reshape(28, 28)[9:19, 9:19].ravel()`.

    Args:
        x: shape `(n,)`, from 0 (black) to 1 (white).
        colors: "video" or "safe", for numbers below zero, if there are any.
        figure: what to draw into; a new figure, if not given.

    Returns:
        The figure, the whole one if a part of it was given. Save it by `.savefig(path)`.

    Raises:
        ValueError: not one image of finite numbers, or no such colors.

    Example:
        >>> import jax, jaxnet
        >>> jaxnet.plot.image(jaxnet.data.synthetic.draw(jax.random.key(0), 7)).get_suptitle()
        '784 neurons, 28 × 28'
    """
    a = np.asarray(x, float)
    if a.ndim != 1 or not a.size:
        raise ValueError(f"Expected one image, shape (784,); got {a.shape} instead.")
    white, (rows, columns) = palette.white(a), palette.rows_and_columns(a.size)
    figure = _canvas.sheet(figure, 7, 6.6 * rows / columns + 1.2)
    ax = _canvas.bare(figure.subplots())
    y, x_ = np.divmod(np.arange(a.size), columns)
    _canvas.discs(ax, x_, y, palette.shades(a, white, colors), 0.9)
    ax.set(xlim=(-0.6, columns - 0.4), ylim=(rows - 0.4, -0.6))
    _canvas.numbers(ax, a, white)
    below = palette.whites_in_words([a], colors)
    _canvas.caption(figure, f"{a.size} neurons, {palette.as_grid(a.size)}", below)
    return _canvas.whole(figure)


def activations(
    params: Params,
    x: Image,
    *,
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
    colors: str = "video",
    figure: Sheet | None = None,
) -> Figure:
    """Plots every layer's activations, image first, with the largest output marked.

    Layers of up to 20 neurons are columns with a number each, longer ones grids.

    Args:
        params, x, squash, last_squash: as for `jaxnet.activations`.
        colors, figure: as for `image`.

    Returns:
        The figure.

    Raises:
        TypeError, ValueError: what `jaxnet.activations` refuses, or no such colors.

    Example:
        >>> import jax, jaxnet
        >>> x = jaxnet.data.synthetic.draw(jax.random.key(0), 7)
        >>> jaxnet.plot.activations(jaxnet.pretrained(), x).get_suptitle()
        'Every activation, layer by layer: predicted 7'
    """
    read = int(network.predict(params, x, squash=squash))
    layers = network.activations(params, x, squash=squash, last_squash=last_squash)
    wide = sum(_width(len(a)) for a in layers)
    high = max(_layout(len(a))[0] * _layout(len(a))[2] for a in layers)
    figure = _canvas.sheet(figure, min(0.18 * (wide + 2), 24), 0.18 * high + 2)
    ax = _canvas.bare(figure.subplots())
    left = 0.0
    for n, layer in enumerate(layers):
        a = np.asarray(layer, float)
        last, column = n == len(params), a.size <= _MOST_IN_COLUMN
        rows, columns, pitch = _layout(a.size)
        row, at = np.divmod(np.arange(a.size), columns)
        at_x, at_y = left + pitch * (at + 0.5), pitch * (row - (rows - 1) / 2)
        white = palette.white(a)
        _canvas.discs(ax, at_x, at_y, palette.shades(a, white, colors), 0.86 * pitch)
        for k, (y, value) in enumerate(zip(at_y, a, strict=True) if column else ()):
            read_here = last and k == read
            ax.text(
                left + pitch + 0.35, y, f"{k}:  {value:z.2f}".replace("-", "−"), va="center",
                color=MARK if read_here else TEXT if last else FAINT, fontsize=9.5,
                weight="bold" if read_here else "normal",
            )  # fmt: skip
        name = "image" if n == 0 else "output" if last else f"layer {n}"
        size = f"{a.size}" if column else palette.as_grid(a.size)
        middle = left + pitch * columns / 2
        ax.text(
            middle, high / 2 + 1.2, f"{name}\n{size}", color=FAINT,
            fontsize=10, ha="center", va="top", linespacing=1.4,
        )  # fmt: skip
        left += _width(a.size)
    ax.set(xlim=(-2, left), ylim=(high / 2 + 4.5, -high / 2 - 0.6))
    title = f"Every activation, layer by layer: predicted {read}"
    _canvas.caption(figure, title, palette.whites_in_words(layers, colors))
    return _canvas.whole(figure)


def _layout(n: int) -> tuple[int, int, float]:
    """The rows and columns of a layer, and the spacing of its neurons."""
    rows, columns = (n, 1) if n <= _MOST_IN_COLUMN else palette.rows_and_columns(n)
    return rows, columns, min(_HIGH / max(rows, columns), 2.8)


def _width(n: int) -> float:
    """The width of a layer with its labels."""
    _, columns, pitch = _layout(n)
    return pitch * columns + (6.0 if columns == 1 else 3.2)
