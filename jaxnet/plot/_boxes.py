"""A plot of the digits found in a picture."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxnet._util import palette
from jaxnet._util.pixels import side_of
from jaxnet.data import find_digits
from jaxnet.inference import classify, confidence
from jaxnet.inference._confidence import UNSURE
from jaxnet.network import Params, Squash
from jaxnet.plot import _canvas
from jaxnet.plot._canvas import Figure, Rectangle, Sheet


def boxes(
    params: Params,
    picture: NDArray[Any],
    *,
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
    figure: Sheet | None = None,
) -> Figure:
    """Plots a picture with a box around each digit that is found in it, and the answer.

    Args:
        params: the network, of square images.
        picture: as for `jaxnet.data.find_digits`.
        squash, last_squash: as in `forward`.
        figure: as for `confusion`.

    Returns:
        The figure. Boxes are blue, or orange with a question mark where the answer is more likely
        wrong than right; a question mark alone stands for digits that touch, or another mark.

    Raises:
        ValueError: what `find_digits` refuses.

    Example:
        >>> import numpy, jaxnet
        >>> page = numpy.ones((90, 120))
        >>> page[20:70, 30:36] = page[20:70, 70:76] = 0.2
        >>> figure = jaxnet.plot.boxes(jaxnet.pretrained(), page)
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['1', '1']
    """
    found = find_digits(picture, side=side_of(params[0][0].shape[1], "params"))
    digits, activations = classify(params, found.images, squash=squash, last_squash=last_squash)
    sure = (confidence(activations, last_squash=last_squash) >= UNSURE) & ~found.touching
    height, width = picture.shape[:2]
    figure = _canvas.sheet(figure, 7.4, 7.4 * height / width + 0.6)
    ax = figure.subplots()
    ax.imshow(picture, cmap="gray", vmin=0, vmax=255 if picture.dtype == np.uint8 else 1)
    _canvas.bare(ax)
    blue, orange = palette.hues("safe")
    size = float(np.median(found.boxes[:, 3] - found.boxes[:, 1]))
    for n, (left, top, right, bottom) in enumerate(found.boxes.tolist()):
        color = blue if sure[n] else orange
        ax.add_patch(
            Rectangle((left, top), right - left, bottom - top, fill=False, ec=color, lw=1.5)
        )
        answer = "?" if found.touching[n] else f"{digits[n]}{'' if sure[n] else '?'}"
        points = min(max(0.25 * size * 7.4 * 72 / width, 6), 16)
        ax.text(left, top, answer, color=color, fontsize=points, va="bottom", weight="bold")
    unsure = int((~sure).sum())
    title = f"{len(digits)} digit{'s' if len(digits) > 1 else ''}"
    _canvas.caption(figure, title, f"{unsure} unsure" if unsure else "")
    return _canvas.whole(figure)
