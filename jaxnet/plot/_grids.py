"""Plots of weights as pixel grids: of one neuron or of a layer.

Weights of 784 pixels are squares of 28×28; others are the rectangle that comes nearest to a
square, and the picture says which. Neurons are named by layer and place, as in
`activations(params, x)[layer][neuron]`; layer 0 is the image.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxnet._util import palette
from jaxnet.analysis._attribution import check_neuron
from jaxnet.network import Params
from jaxnet.plot import _canvas
from jaxnet.plot._canvas import Figure, Sheet
from jaxnet.plot._tiles import tiles


def weights(
    params: Params,
    layer: int = 1,
    neuron: int | None = None,
    *,
    colors: str = "video",
    figure: Sheet | None = None,
) -> Figure:
    """Plots the weights into one neuron, or into every neuron of a layer.

    First-layer weights are drawn as one image per neuron. Those of a deeper layer are drawn as a
    matrix with one row per neuron and one column per input, and the biases beside it.

    Args:
        params: the network.
        layer: from 1.
        neuron: its index in the layer, from 0; by default, all of them.
        colors: "video" (green positive, red negative) or "safe" (blue, orange).
        figure: as for `image`.

    Returns:
        The figure.

    Raises:
        TypeError, ValueError: a layer, neuron or colors that do not exist; weights that are not
            finite.

    Example:
        >>> import jaxnet
        >>> jaxnet.plot.weights(jaxnet.pretrained(), layer=1, neuron=3).get_suptitle()
        'The weights into neuron 3 of layer 1'
    """
    check_neuron(params, layer, 0 if neuron is None else neuron)
    w, b = (np.asarray(part, float) for part in params[layer - 1])
    if neuron is not None:
        return _weights_of_one(w[neuron], b[neuron], layer, neuron, colors, figure)
    if layer > 1:
        return _matrix(w, b, layer, colors, figure)
    full = palette.scale(w)
    names = [f"{n}   bias {palette.signed(bias)}" for n, bias in enumerate(b)]
    if len(w) > 36:
        names = [str(n) for n in range(len(w))]
    figure, ax = tiles(figure, w, names, lambda ax, grid: _canvas.raster(ax, grid, full, colors))
    _canvas.scale_bar(ax, full, colors, "weight", largest=np.abs(w).max())
    title = f"The weights into the {len(w)} neurons of layer 1, {palette.as_grid(w.shape[1])} each"
    _canvas.caption(figure, title)
    return _canvas.whole(figure)


def _weights_of_one(
    w: NDArray[Any], b: float, layer: int, neuron: int, colors: str, figure: Sheet | None
) -> Figure:
    full = palette.scale(w)
    rows, columns = palette.rows_and_columns(w.size)
    figure = _canvas.sheet(figure, 6, min(max(5.4 * rows / columns, 0.8), 6) + 1.8)
    ax = _canvas.bare(figure.subplots(), f"{palette.as_grid(w.size)}, bias {palette.signed(b)}")
    _canvas.raster(ax, palette.folded(w), full, colors)
    _canvas.numbers(ax, w, np.inf)
    _canvas.scale_bar(ax, full, colors, "weight", largest=np.abs(w).max())
    _canvas.caption(figure, f"The weights into neuron {neuron} of layer {layer}")
    return _canvas.whole(figure)


def _matrix(
    w: NDArray[Any], b: NDArray[Any], layer: int, colors: str, figure: Sheet | None
) -> Figure:
    n_out, n_in = w.shape
    grid = np.concatenate([w, np.full((n_out, 1), np.nan), b[:, None]], 1)
    full = palette.scale([*w.flat, *b])
    height = max(6.4 * n_out / (n_in + 2), 0.22 * min(n_out, 20))
    figure = _canvas.sheet(figure, 7.6, min(height, 7) + 2)
    ax = _canvas.ruled(figure.subplots())
    _canvas.raster(ax, grid, full, colors)
    if not 1 / 3 < n_out / n_in < 3:
        ax.set_aspect("auto")
    every = max(1, -(-n_in // 20)), max(1, -(-n_out // 20))
    at = [*range(0, n_in, every[0])]
    ax.set_xticks([*at, n_in + 1], [*map(str, at), "bias"])
    ax.set_yticks(range(0, n_out, every[1]))
    if max(n_in, n_out) <= 32:
        ax.set_xticks(np.arange(n_in + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(n_out + 1) - 0.5, minor=True)
        ax.grid(which="minor", color=_canvas.BACKGROUND, linewidth=1.5)
    ax.set(xlabel=f"neuron of layer {layer - 1}", ylabel=f"neuron of layer {layer}")
    _canvas.scale_bar(ax, full, colors, "weight, bias", largest=np.abs([*w.flat, *b]).max())
    _canvas.caption(figure, f"The weights into the {n_out} neurons of layer {layer}")
    return _canvas.whole(figure)
