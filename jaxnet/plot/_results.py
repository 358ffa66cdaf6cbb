"""Plots of results: the confusion matrix, misclassified images, learning curves."""

import math
from typing import Any

import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from jaxnet._util import palette
from jaxnet.data._rows import to_float32
from jaxnet.inference import Answers
from jaxnet.plot import _canvas
from jaxnet.plot._canvas import BACKGROUND, LINE, TEXT, Axes, Figure, MaxNLocator, Sheet
from jaxnet.plot._tiles import tiles
from jaxnet.training import History

SEEN, UNSEEN = "#ff8a4c", "#5ab4ff"  # distinguishable with any color vision, and in gray


def confusion(
    answers: Answers, labels: NDArray[Any] | Array, *, figure: Sheet | None = None
) -> Figure:
    """Plots the confusion matrix: one row per true digit, one column per prediction.

    Args:
        answers: what was read, from `jaxnet.classify`.
        labels: what the images show, shape `(n,)`, from 0 to the number of outputs.
        figure: what to draw into; a new figure, if not given.

    Returns:
        The figure, the whole one if a part of it was given. Save it by `.savefig(path)`.

    Raises:
        ValueError: no images, not one label per image, or labels without an output.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 1000)
        >>> answers = jaxnet.classify(jaxnet.pretrained(), images)
        >>> jaxnet.plot.confusion(answers, labels).axes[0].get_xlabel()
        'predicted'
    """
    labels = _labels(answers, labels)
    n = max(answers.activations.shape[1], 2)  # a single output tells 1 from 0
    counts = np.zeros((n, n), int)
    np.add.at(counts, (labels, answers.digits), 1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = _canvas.sheet(figure, 7.4, 7.9)
    ax = _canvas.ruled(figure.subplots())
    right = np.eye(n, dtype=bool)
    worst = palette.scale(shares[~right], 100)  # mistakes are few, and have a scale of their own
    bright = np.where(right, shares, shares / worst)[..., None]
    blue, orange = palette.hues("safe")
    ax.imshow(bright * np.where(right[..., None], blue, orange))
    every = [*range(0, n, -(-n // 20))]
    ax.set(xticks=every, yticks=every, xlabel="predicted", ylabel="true")
    for i, k in np.argwhere(counts) if n <= 20 else ():
        ax.text(
            k, i, f"{counts[i, k]:,}", color=BACKGROUND if bright[i, k] > 0.7 else TEXT,
            fontsize=min(9.5, 110 / n), ha="center", va="center",
        )  # fmt: skip
    ax.set_xticks(np.arange(n + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    ax.grid(which="minor", color=LINE, linewidth=0.5)
    good = int(counts.trace())
    title = f"{good:,} of {len(labels):,} correct, {100 * good / len(labels):.2f} %"
    below = "blue: correct, brightest at 100 % of a digit's images; orange: misclassified, "
    below += f"brightest at {100 * worst:.3g} %"
    _canvas.caption(figure, title, below)
    return _canvas.whole(figure)


def misclassified(
    images: NDArray[Any] | Array,
    answers: Answers,
    labels: NDArray[Any] | Array,
    *,
    figure: Sheet | None = None,
) -> Figure:
    """Plots misclassified images, most confident first.

    Args:
        images: shape `(n, pixels)`; uint8 from 0 to 255, or floats from 0 to 1.
        answers: what was read in them, from `jaxnet.classify`.
        labels: what they show, as for `confusion`.
        figure: as for `confusion`.

    Returns:
        The figure; of more than 100 images, it has the first 99.

    Raises:
        ValueError: what `confusion` refuses, or not an image for each answer.

    Example:
        >>> import jax, jaxnet
        >>> images, labels = jaxnet.data.synthetic.sample(jax.random.key(0), 1000)
        >>> answers = jaxnet.classify(jaxnet.pretrained(), images)
        >>> texts = jaxnet.plot.misclassified(images, answers, labels).axes[0].texts
        >>> bool(len(texts) == (answers.digits != labels).sum())
        True
    """
    labels = _labels(answers, labels)
    if images.ndim != 2 or len(images) != len(labels):
        raise ValueError(
            f"Expected images of shape ({len(labels)}, pixels); got {images.shape} instead."
        )
    (wrong,) = np.nonzero(answers.digits != labels)
    a = answers.activations
    a = np.hstack([1 - a, a]) if a.shape[1] == 1 else a
    sure = a[wrong, answers.digits[wrong]]
    wrong = wrong[np.argsort(-sure, kind="stable")]
    title = f"{len(wrong):,} of {len(labels):,} images misclassified"
    if not len(wrong):
        figure = _canvas.sheet(figure, 6, 1.5)
        _canvas.caption(figure, title)
        return _canvas.whole(figure)
    rows = to_float32(np.asarray(images[wrong])).astype(float)
    names = [f"[{k}] {answers.digits[k]}, is {labels[k]}" for k in wrong]
    figure, _ = tiles(figure, rows, names, lambda ax, whole: _canvas.grays(ax, whole, "safe", 1))
    below = "[index] predicted digit, and the label; the most confident first"
    _canvas.caption(figure, title, below)
    return _canvas.whole(figure)


def learning_curves(history: History, *, figure: Sheet | None = None) -> Figure:
    """Plots cost and error rate by epoch; for an ensemble, each member and the median.

    Args:
        history: from `jaxnet.training.fit`, arrays of shape `(epochs,)`; or `(epochs, members)`.
        figure: as for `confusion`.

    Returns:
        The figure: two plots beside each other, both with logarithmic scales.

    Example:
        >>> import numpy, jaxnet
        >>> from jaxnet.plot._results import learning_curves
        >>> falling = 2.3 / numpy.arange(1, 11)
        >>> history = jaxnet.training.History(falling, {"accuracy": 1 - falling / 3}, None)
        >>> [ax.get_ylabel() for ax in learning_curves(history).axes]
        ['mean cost per image', 'error rate']
    """
    epochs = np.arange(1, len(history.cost) + 1)
    figure = _canvas.sheet(figure, 10, 4)
    left, right = figure.subplots(1, 2)
    scores: dict[str, tuple[str, Any]] = {"training images": (SEEN, history)}
    if history.validation is not None:
        scores["validation images"] = (UNSEEN, history.validation)
    for name, (color, score) in scores.items():
        _draw(left, epochs, score.cost, color, name)
        _draw(right, epochs, 1 - np.asarray(score.accuracy), color, name)
    left.set_ylabel("mean cost per image")
    right.set_ylabel("error rate")
    for ax, form in ((left, "{:.3g}"), (right, "{:.3g} %")):
        low, high = ax.get_ylim()
        decades = math.log10(high / low)
        digits = "" if decades > 2.5 else "25" if decades > 1 else "23456789"  # that have room
        factor = 100 if ax is right else 1
        ax.yaxis.set_major_formatter(lambda v, _, f=form, k=factor: f.format(k * v))
        ax.yaxis.set_minor_formatter(
            lambda v, _, f=form, k=factor, d=digits: f.format(k * v) if f"{v:e}"[0] in d else ""
        )
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("epoch")
        ax.legend(frameon=False, labelcolor=TEXT)
        ax.grid(color=LINE, linewidth=0.6)
        ax.grid(color=LINE, linewidth=0.6, alpha=0.4, which="minor")
        _canvas.ruled(ax)
    return _canvas.whole(figure)


def _draw(ax: Axes, epochs: Any, numbers: Any, color: str, label: str) -> None:
    members = np.asarray(numbers, float).reshape(len(epochs), -1)
    members = np.where(members > 0, members, np.nan)  # a logarithm of nothing is left out
    if members.shape[1] > 1:
        ax.plot(epochs, members, color=color, alpha=0.2, linewidth=0.8)
    marker = "o" if len(epochs) == 1 else ""
    middle = [
        np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan for row in members
    ]
    ax.plot(epochs, middle, color=color, linewidth=2, marker=marker, label=label)
    ax.set_yscale("log")


def _labels(answers: Answers, labels: Any) -> NDArray[Any]:
    labels, n = np.asarray(labels), len(answers.digits)
    if not n or labels.shape != (n,) or labels.dtype.kind not in "ui":
        got = f"{labels.dtype} of shape {labels.shape} for {n} answers"
        raise ValueError(f"Expected a label for each answer, one at least; got {got} instead.")
    outputs = max(answers.activations.shape[1], 2)
    if not 0 <= labels.min() <= labels.max() < outputs:
        raise ValueError(
            f"Expected labels from 0 to {outputs - 1}; got {labels.min()} to {labels.max()}."
        )
    return labels
