"""Plots of a probe: each neuron with its best edge or drawing, and what it detects."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxnet import analysis
from jaxnet._util import palette
from jaxnet.data.synthetic import COMPONENTS
from jaxnet.design import Edges, edge_layer
from jaxnet.network import Params, Squash
from jaxnet.plot import _canvas
from jaxnet.plot._canvas import FAINT, TEXT, Axes, Figure, Sheet

_ACROSS, _MOST = 8, 32  # neurons in a row, and of a layer
_COLORS = ("#5ab4ff", "#ff8a4c", "#c9a0ff")  # distinguishable with any color vision


def probe(
    report: analysis.Probe,
    params: Params,
    *,
    squash: Squash = "sigmoid",
    colors: str = "video",
    figure: Sheet | None = None,
) -> Figure:
    """Plots what each hidden neuron looks for: edges first, then components.

    A neuron of layer 1 is its grid of weights, with the outline of the edge that fits it best; a
    neuron of the last hidden layer is the drawing that excites it most. Below each: the component
    it detects best, with the lesser area under the ROC curve of those alone and within digits, and
    the accuracy lost if it is silent.

    Args:
        report: of this network, from `jaxnet.analysis.probe`.
        params: the network.
        squash: the hidden layers' activation function.
        colors, figure: as for `weights`.

    Returns:
        The figure.

    Raises:
        ValueError: no such colors, or weights that are not finite.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 500)
        >>> params = jaxnet.init(jax.random.key(1), (784, 4, 10))
        >>> report = jaxnet.analysis.probe(jax.random.key(2), params, images, labels)
        >>> jaxnet.plot.probe(report, params).get_suptitle()[:20]
        '0 of 4 neurons of la'
    """
    last_hidden = max(1, len(params) - 1)
    w = np.asarray(params[0][0], float)
    shown = [min(len(params[0][1]), _MOST)]
    if last_hidden > 1:
        shown.append(min(len(params[last_hidden - 1][1]), _MOST))
    rows = sum(-(-n // _ACROSS) for n in shown)
    figure = _canvas.sheet(figure, 13.5, 2.3 * rows + 1.6)
    axes = figure.subplots(rows, _ACROSS)
    flat: list[Axes] = [_canvas.bare(ax) for ax in np.reshape(axes, -1)]

    edges, full = _edges(report.edges), palette.scale(w)
    for n in range(shown[0]):
        ax, one = flat[n], edges[n].reshape(palette.folded(w[n]).shape)
        _canvas.raster(ax, palette.folded(w[n]), full, colors)
        levels = sorted({-0.4 * abs(one).max(), 0.4 * abs(one).max()} - {0.0})
        ax.contour(one, levels, colors=TEXT, linewidths=0.9, linestyles=["dotted", "solid"])
        fit = f"edge: R² {report.edges.explained[n]:.2f}"
        _below(ax, f"1.{n}   {fit}\n{_told(report, 1, n)}")
    if last_hidden > 1:
        first = _ACROSS * -(-shown[0] // _ACROSS)
        _, images, _ = analysis.maximizing_images(params, last_hidden, natural=True, squash=squash)
        for n in range(shown[1]):
            _canvas.grays(flat[first + n], palette.folded(images[n]), colors, 1)
            _below(flat[first + n], f"{last_hidden}.{n}\n{_told(report, last_hidden, n)}")
    for ax in flat:
        ax.set_visible(ax.has_data())

    below = (
        f"layer 1: its weights, {palette.in_words(colors)}; outlined, the edge that fits best "
        "(dotted where negative)\n"
        f"layer {last_hidden}: the drawing that excites it most\n"
        "below: R², with each pixel counting by its variance; the component it detects best and "
        "the area under the ROC curve; the accuracy lost without the neuron"
    )
    hidden = sum(len(b) for _, b in params[:-1]) or len(params[0][1])
    if sum(shown) < hidden:
        below += f"\n{sum(shown)} of {hidden} neurons"
    title = f"{report.summary()[:-1]}\n{100 * report.accuracy:.1f} % classified correctly"
    _canvas.caption(figure, title.replace("; layer", ";\nlayer"), below)
    return _canvas.whole(figure)


def _told(report: analysis.Probe, layer: int, neuron: int) -> str:
    name = COMPONENTS[int(report.component(layer)[neuron])]
    lost = 100 * float(report.silence[layer - 1][neuron])
    return f"{name} {report.detects(layer)[neuron]:.2f}\nsilent: {palette.signed(-lost)} points"


def _below(ax: Axes, text: str) -> None:
    ax.set_xlabel(text, color=FAINT, fontsize=7.5, linespacing=1.35)


def _edges(fit: analysis.EdgeFit) -> NDArray[Any]:
    """The fitted edges' weights, shape `(neurons, 784)`."""
    place = fit.x, fit.y, fit.angle, fit.length, fit.width, fit.gain
    return np.asarray(edge_layer(Edges(*place, threshold=fit.gain * 0)).weights, float)
