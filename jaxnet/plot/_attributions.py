"""Plots of attributions: contributions, saliency, and maximizing images."""

import numpy as np

from jaxnet import analysis, network
from jaxnet._util import palette
from jaxnet.analysis._attribution import answering_output
from jaxnet.network import Image, Params, Squash
from jaxnet.plot import _canvas
from jaxnet.plot._canvas import TEXT, Figure, Sheet
from jaxnet.plot._tiles import tiles


def contributions(
    params: Params,
    x: Image,
    layer: int = 1,
    neuron: int = 0,
    *,
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
    colors: str = "video",
    figure: Sheet | None = None,
) -> Figure:
    """Plots how a neuron gets its activation: inputs × weights, their sum, its threshold.

    Args:
        params, x, squash, last_squash: as for `jaxnet.forward`.
        layer: from 1.
        neuron: its index in the layer, from 0.
        colors, figure: as for `weights`.

    Returns:
        The figure.

    Raises:
        TypeError, ValueError: no such layer or neuron, or what `jaxnet.forward` refuses.

    Example:
        >>> import jax, jaxnet
        >>> x = jaxnet.data.synthetic.draw(jax.random.key(0), 7)
        >>> figure = jaxnet.plot.contributions(jaxnet.pretrained(), x, layer=1, neuron=3)
        >>> [ax.get_title() for ax in figure.axes[:3]]
        ['activations', 'times weights', 'is what each contributes']
    """
    parts = np.asarray(analysis.contributions(params, x, layer, neuron, squash=squash), float)
    w, b = (np.asarray(part, float)[neuron] for part in params[layer - 1])
    layers = network.activations(params, x, squash=squash, last_squash=last_squash)
    inputs, a = np.asarray(layers[layer - 1], float), float(layers[layer][neuron])

    rows, columns = palette.rows_and_columns(w.size)
    figure = _canvas.sheet(figure, 12, min(max(3.6 * rows / columns, 0.8), 4.2) + 2.3)
    axes = figure.subplots(1, 3)
    titles = "activations", "times weights", "is what each contributes"
    for ax, title, numbers in zip(axes, titles, (inputs, w, parts), strict=True):
        _canvas.bare(ax, title)
        full = np.inf if ax is not axes[0] else palette.white(inputs)
        _canvas.numbers(ax, numbers, full)
    _canvas.grays(axes[0], palette.folded(inputs), colors, palette.white(inputs))
    _canvas.gray_bar(axes[0], inputs, colors, "activation")
    for ax, numbers, label in ((axes[1], w, "weight"), (axes[2], parts, "weight × activation")):
        full = palette.scale(numbers)
        _canvas.raster(ax, palette.folded(numbers), full, colors)
        _canvas.scale_bar(ax, full, colors, label, largest=np.abs(numbers).max())
    kind = "pixels" if layer == 1 else f"neurons of layer {layer - 1}"
    title = f"What the {w.size} {kind} contribute to neuron {neuron} of layer {layer}"
    _canvas.caption(figure, title, palette.threshold_in_words(parts.sum(), b, a))
    return _canvas.whole(figure)


def exciting(
    params: Params,
    layer: int | None = None,
    neuron: int | None = None,
    *,
    natural: bool = False,
    squash: Squash = "sigmoid",
    colors: str = "video",
    figure: Sheet | None = None,
) -> Figure:
    """Plots the image that maximizes a neuron, or one for each neuron of a layer.

    Found from black by `jaxnet.analysis.maximizing_image`, which may set every pixel, or among
    drawings by `jaxnet.analysis.maximizing_drawing`.

    Args:
        params, squash: as for `jaxnet.forward`.
        layer: from 1; by default, the last.
        neuron: its index in the layer, from 0; by default, all of them.
        natural: search among drawn digits and components of digits.
        colors, figure: as for `image`.

    Returns:
        The figure.

    Raises:
        TypeError, ValueError: a layer, neuron or colors that do not exist.

    Example:
        >>> import jaxnet
        >>> jaxnet.plot.exciting(jaxnet.pretrained(), layer=3, neuron=7).get_suptitle()
        'The image that excites neuron 7 of layer 3 most'
    """
    layer = len(params) if layer is None else layer
    wanted, images, sums = analysis.maximizing_images(
        params, layer, neuron, natural=natural, squash=squash
    )
    names = [f"{k}   sum {palette.signed(z)}" for k, z in zip(wanted, sums, strict=True)]
    figure, _ = tiles(figure, images, names, lambda ax, whole: _canvas.grays(ax, whole, colors, 1))
    which = f"neuron {neuron} of layer {layer}"
    kind = "drawing" if natural else "image"
    title = f"The {kind} that excites {which} most"
    if neuron is None:
        title = f"The {kind}s that excite the {len(wanted)} neurons of layer {layer} most"
    how = "the best there is" if layer == 1 else "found by ascent from black"
    how = "found among drawn digits and their components" if natural else how
    below = f"{palette.as_grid(images.shape[1])}, black 0, white 1; {how}"
    _canvas.caption(figure, title, f"{below}\nsum: weights × activations, and the bias")
    return _canvas.whole(figure)


def saliency(
    params: Params,
    x: Image,
    neuron: int | None = None,
    *,
    squash: Squash = "sigmoid",
    colors: str = "video",
    figure: Sheet | None = None,
) -> Figure:
    """Plots which pixels raise an output and which lower it.

    Args:
        params, x, squash: as for `jaxnet.logits`.
        neuron: the output; by default, the one that decides the answer.
        colors, figure: as for `weights`.

    Returns:
        The figure: the image, and beside it the slopes, with the outline of the image.

    Raises:
        TypeError, ValueError: no such output or colors, or what `jaxnet.logits` refuses.

    Example:
        >>> import jax, jaxnet
        >>> x = jaxnet.data.synthetic.draw(jax.random.key(0), 7)
        >>> jaxnet.plot.saliency(jaxnet.pretrained(), x).get_suptitle()
        'What speaks for a 7, and what against it'
    """
    neuron = answering_output(params, x, squash=squash) if neuron is None else neuron
    slopes = np.asarray(analysis.saliency(params, x, neuron, squash=squash), float)
    seen, grid = np.asarray(x, float), palette.folded(x)
    rows, columns = grid.shape
    figure = _canvas.sheet(figure, 9.4, min(max(4.4 * rows / columns, 0.8), 4.6) + 1.8)
    left, right = figure.subplots(1, 2)
    _canvas.grays(_canvas.bare(left, "the image"), grid, colors, palette.white(seen))
    full = palette.scale(slopes)
    _canvas.bare(right, "slope of the logit by each pixel")
    _canvas.raster(right, palette.folded(slopes), full, colors)
    if min(grid.shape) > 1 and seen.min() < 0.5 < seen.max():
        right.contour(np.nan_to_num(grid), [0.5], colors=TEXT, linewidths=1, alpha=0.8)
    _canvas.scale_bar([left, right], full, colors, "slope", largest=np.abs(slopes).max())
    _canvas.caption(figure, f"What speaks for a {neuron}, and what against it")
    return _canvas.whole(figure)
