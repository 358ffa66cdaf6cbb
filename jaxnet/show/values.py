"""How numbers are shown, in pictures and in a terminal alike: colour, scale, sign, rows.

Zero is black and brightness is magnitude; the hue is the sign. The pair of hues goes by one
name everywhere, `colours`: "video" has green for positive and red for negative numbers, as in
the video; "safe" has blue and orange, which eyes of every kind tell apart.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

PAIRS = {
    "video": ("#46c95a", "#ff5346", "green", "red"),
    "safe": ("#4aa8ff", "#ff9a1f", "blue", "orange"),
}


def hues(colours: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The hues of positive and of negative numbers.

    Args:
        colours: "video" or "safe".

    Returns:
        Two arrays of shape `(3,)`: red, green and blue, from 0 to 1.

    Raises:
        ValueError: another name.

    Example:
        >>> from jaxnet.show import values
        >>> [hue.argmax() for hue in values.hues("video")]  # most of it green, most of it red
        [np.int64(1), np.int64(0)]
    """
    if colours not in PAIRS:
        raise ValueError(f"Expected colours as one of {', '.join(PAIRS)}; got {colours!r} instead.")
    positive, negative = (
        np.array([int(code[n : n + 2], 16) for n in (1, 3, 5)]) / 255 for code in PAIRS[colours][:2]
    )
    return positive, negative


def in_words(colours: str) -> str:
    """Which hue is which, for a picture's caption.

    Example:
        >>> from jaxnet.show import values
        >>> values.in_words("safe")
        'blue positive, orange negative'
    """
    hues(colours)
    return "{2} positive, {3} negative".format(*PAIRS[colours])


def scale(numbers: ArrayLike, percentile: float = 97) -> float:
    """The magnitude to show at full brightness: few numbers are larger, and none much smaller.

    Args:
        numbers: any shape; finite.
        percentile: of the magnitudes of those that are not zero, 0 to 100.

    Returns:
        That percentile, up to two digits that can be stated as they are; 1 where all are zero.

    Raises:
        ValueError: some are not finite.

    Example:
        >>> from jaxnet.show import values
        >>> values.scale([0.0, -1.234], percentile=100)
        1.3
    """
    magnitudes = np.abs(np.asarray(numbers, float))
    if not np.isfinite(magnitudes).all():
        raise ValueError("Expected finite numbers to draw; got NaN or infinity instead.")
    seen = magnitudes[magnitudes > 0]
    reached = float(np.percentile(seen, percentile)) if seen.size else 1.0
    if seen.size and seen.max() < 1.5 * reached:
        reached = float(seen.max())  # and so none is beyond
    unit = 10.0 ** (math.floor(math.log10(reached)) - 1)
    return float(f"{math.ceil(reached / unit - 1e-9) * unit:.2g}")


def around_zero(numbers: ArrayLike, full: float, colours: str = "video") -> NDArray[Any]:
    """Numbers as colours: black at zero, the hue of their sign at `full` and beyond.

    Args:
        numbers: any shape.
        full: the magnitude at full brightness, above zero.
        colours: "video" or "safe".

    Returns:
        The same shape and three more: red, green and blue, from 0 to 1.

    Example:
        >>> from jaxnet.show import values
        >>> values.around_zero([0, 5], full=5, colours="safe").round(2).tolist()
        [[0.0, 0.0, 0.0], [0.29, 0.66, 1.0]]
    """
    positive, negative = hues(colours)
    share = np.clip(np.asarray(numbers, float)[..., None] / full, -1, 1)
    return np.where(share > 0, positive, negative) * np.abs(share)


def shades(activations: ArrayLike, white: float = 1, colours: str = "video") -> NDArray[Any]:
    """Activations as greys: black at zero, white at `white`; below zero, the negative hue.

    Takes and returns what `around_zero` does.

    Example:
        >>> from jaxnet.show import values
        >>> values.shades([0, 0.5, 1]).tolist()
        [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [1.0, 1.0, 1.0]]
    """
    a = np.asarray(activations, float)[..., None]
    return np.where(a < 0, around_zero(a[..., 0], white, colours), np.clip(a / white, 0, 1))


def white(activations: ArrayLike) -> float:
    """The activation to show as white: 1, or the largest where that is more, as under ReLU.

    Example:
        >>> from jaxnet.show import values
        >>> values.white([0.2, 0.9]), values.white([0.2, 7.31])
        (1.0, 7.4)
    """
    return max(1.0, scale(activations, 100))


def signed(number: float) -> str:
    """A number with its sign, to three digits.

    Example:
        >>> from jaxnet.show import values
        >>> values.signed(-2.345), values.signed(0), values.signed(1234.5)
        ('−2.35', '0', '+1234')
    """
    places = 2 if abs(number) < 100 else 0
    text = f"{number:+.{places}f}" if abs(number) >= 0.005 or number == 0 else f"{number:+.1g}"
    return "0" if number == 0 else text.replace("-", "−")


def rows_and_columns(n: int, longest: int = 16) -> tuple[int, int]:
    """How `n` things are laid out: a square, or what comes nearest to it.

    Args:
        n: one or more.
        longest: how many times as long as high the rectangle may be; where no rectangle of
            just `n` fits, the last row of a larger one is not filled.

    Returns:
        Rows and columns.

    Example:
        >>> from jaxnet.show import values
        >>> [values.rows_and_columns(n) for n in (784, 10, 7, 97)]
        [(28, 28), (2, 5), (1, 7), (9, 11)]
    """
    side = math.isqrt(n)
    rows = next(d for d in range(side, 0, -1) if n % d == 0)
    if n > longest * rows**2:
        rows = side
    return rows, math.ceil(n / rows)


def folded(numbers: ArrayLike) -> NDArray[Any]:
    """Numbers in the rows and columns of `rows_and_columns`, NaN where the last row ends early.

    Example:
        >>> import numpy
        >>> from jaxnet.show import values
        >>> values.folded(numpy.arange(6.0)).tolist()
        [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    """
    flat = np.asarray(numbers, float).ravel()
    rows, columns = rows_and_columns(flat.size)
    filled = np.pad(flat, (0, rows * columns - flat.size), constant_values=np.nan)
    return filled.reshape(rows, columns)


def as_grid(n: int) -> str:
    """The rows and columns of `n` numbers, in words.

    Example:
        >>> from jaxnet.show import values
        >>> values.as_grid(784), values.as_grid(7), values.as_grid(97)
        ('28 × 28', '7 in a row', '97 in rows of 11')
    """
    rows, columns = rows_and_columns(n)
    if rows == 1:
        return f"{n} in a row"
    return f"{rows} × {columns}" if rows * columns == n else f"{n} in rows of {columns}"


def white_in_words(activations: ArrayLike, colours: str = "video") -> str:
    """What brightness says in a picture of a layer's activations, for its caption.

    Example:
        >>> from jaxnet.show import values
        >>> values.white_in_words([0.0, 0.3])
        'black 0, white 1'
        >>> values.white_in_words([-2.0, 7.1], "safe")
        'black 0, white 7.1, orange −7.1'
    """
    full = white(activations)
    below = f", {PAIRS[colours][3]} −{full:g}" if np.min(np.asarray(activations)) < 0 else ""
    return f"black 0, white {full:g}{below}"


def whites_in_words(layers: Sequence[ArrayLike], colours: str = "video") -> str:
    """What brightness says in a picture of several layers, in a line for each that differs.

    Example:
        >>> from jaxnet.show import values
        >>> values.whites_in_words([[0.0, 0.3], [1.0, 0.2, 0.1]])
        'activations: black 0, white 1'
        >>> print(values.whites_in_words([[0.0, 0.3], [0.1, 3.0]]))
        activations of the image: black 0, white 1
        activations of layer 1: black 0, white 3
    """
    each = [white_in_words(a, colours) for a in layers]
    if len({*each}) == 1:
        return f"activations: {each[0]}"
    names = ["the image", *(f"layer {n}" for n in range(1, len(each)))]
    return "\n".join(f"activations of {a}: {b}" for a, b in zip(names, each, strict=True))


def threshold_in_words(total: float, bias: float, activation: float) -> str:
    """What a neuron's inputs add up to, and the threshold that its bias sets them.

    Example:
        >>> from jaxnet.show import values
        >>> print(values.threshold_in_words(3.5, -1.25, 0.905))
        They add up to +3.50. The bias is −1.25, and so the threshold +1.25:
        the sum beats it by 2.25, and the activation is 0.905.
    """
    beyond = total + bias
    how = "beats it" if beyond > 0 else "stays below it"
    return (
        f"They add up to {signed(total)}. The bias is {signed(bias)}, and so the "
        f"threshold {signed(-bias)}:\nthe sum {how} by {abs(beyond):.2f}, and the "
        f"activation is {activation:.3f}."
    )
