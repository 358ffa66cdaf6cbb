"""How far an answer can be trusted."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxnet.network import SQUASHES, Squash, as_function

UNSURE = 0.5  # below this, an answer is more likely wrong than right
# `python -m tests.calibration` prints these three: a logistic regression on the trained network's
# answers to validation images, and to drawings that are no digits.
_BRIGHTEST, _SECOND, _NONE = 0.65, -0.22, -1.47
_MOST = 16.0  # a logit beyond which float32's sigmoid is 1


def confidence(activations: ArrayLike, *, last_squash: Squash = "sigmoid") -> NDArray[np.float32]:
    """Estimates how likely each answer is right, given that some images may show no digit.

    A logistic function of the two largest outputs' logits: high where one output is bright and all
    others are dark. It is calibrated for the network that comes with jaxnet; for another, it
    orders answers by how far they can be trusted.

    Source: Platt, "Probabilistic outputs for support vector machines".

    Args:
        activations: of the last layer, shape `(n, outputs)`.
        last_squash: the last layer's squashing function, or its name; outputs of any other than
            "sigmoid" and "softmax" are taken for the logits of a softmax.

    Returns:
        From 0 to 1, shape `(n,)`.

    Raises:
        ValueError: another shape.

    Example:
        >>> import numpy
        >>> sure, torn, blind = numpy.full((3, 10), 0.01)
        >>> sure[7], torn[4], torn[9] = 0.99, 0.8, 0.75
        >>> confidence([sure, torn, blind]).round(2)
        array([0.93, 0.31, 0.03], dtype=float32)
    """
    a = np.asarray(activations, np.float64)
    if a.ndim != 2 or not a.shape[1]:
        raise ValueError(f"Expected activations of shape (n, outputs); got {a.shape}.")
    are_logits = as_function(last_squash) not in (SQUASHES["sigmoid"], SQUASHES["softmax"])
    if a.shape[1] == 1:  # it answers 0 or 1 by its threshold
        p = _sigmoid(abs(a[:, 0])) if are_logits else a[:, 0].astype(np.float32)
        return np.maximum(p, 1 - p)
    if are_logits:
        a = np.exp(a - a.max(1, keepdims=True))
        a /= a.sum(1, keepdims=True)
    with np.errstate(divide="ignore"):
        z = np.sort((np.log(a) - np.log1p(-a)).clip(-_MOST, _MOST), 1)
    return _sigmoid(_BRIGHTEST * z[:, -1] + _SECOND * z[:, -2] + _NONE)


def _sigmoid(z: NDArray[Any]) -> NDArray[np.float32]:
    return (1 / (1 + np.exp(-z))).astype(np.float32)
