"""Pictures of networks and of how they learn, drawn by matplotlib: the extra `plot`."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxnet.training import History

SEEN, UNSEEN = "#c1440e", "#1b6ca8"  # told apart by eyes of every kind, and in grey


def learning_curves(history: History) -> Figure:
    """Draws cost and errors over the epochs; of several members, each, and the median in bold.

    Args:
        history: from `jaxnet.training.fit`, arrays of shape `(epochs,)`; or `(epochs, members)`.

    Returns:
        Two plots beside each other, both with logarithmic scales. Save it by `.savefig(path)`.

    Example:
        >>> import numpy, jaxnet
        >>> from jaxnet.show.figures import learning_curves
        >>> falling = 2.3 / numpy.arange(1, 11)
        >>> history = jaxnet.training.History(falling, 1 - falling / 3, None)
        >>> [ax.get_ylabel() for ax in learning_curves(history).axes]
        ['mean cost of an image', 'share misread']
    """
    epochs = np.arange(1, len(history.cost) + 1)
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw(left, epochs, history.cost, SEEN, "as it learns")
    _draw(right, epochs, 1 - np.asarray(history.accuracy), SEEN, "images learnt from")
    if history.held_out is not None:
        _draw(right, epochs, 1 - np.asarray(history.held_out), UNSEEN, "images held out")
    left.set_ylabel("mean cost of an image")
    right.set_ylabel("share misread")
    for ax, form in ((left, lambda v, _: f"{v:.3g}"), (right, lambda v, _: f"{100 * v:.3g} %")):
        ax.yaxis.set_major_formatter(form)
        ax.yaxis.set_minor_formatter(form)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("epoch")
        ax.legend(frameon=False)
        ax.grid(alpha=0.25, which="both")
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _draw(ax: Any, epochs: Any, values: Any, colour: str, label: str) -> None:
    members = np.asarray(values, float).reshape(len(epochs), -1)
    members = np.where(members > 0, members, np.nan)  # a logarithm of nothing is left out
    if members.shape[1] > 1:
        ax.plot(epochs, members, color=colour, alpha=0.15, linewidth=0.8)
    marker = "o" if len(epochs) == 1 else ""
    middle = [
        np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan for row in members
    ]
    ax.plot(epochs, middle, color=colour, linewidth=2, marker=marker, label=label)
    ax.set_yscale("log")
