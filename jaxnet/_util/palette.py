"""How numbers are shown, in pictures and in a terminal alike: color, scale, sign, rows.

Zero is black and brightness is magnitude; the hue is the sign. The pair of hues goes by one
name everywhere, `colors`: "video" has green for positive and red for negative numbers, as in
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


def hues(colors: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The hues of positive and of negative numbers."""
    if colors not in PAIRS:
        raise ValueError(f"Expected colors as one of {', '.join(PAIRS)}; got {colors!r} instead.")
    positive, negative = (
        np.array([int(code[n : n + 2], 16) for n in (1, 3, 5)]) / 255 for code in PAIRS[colors][:2]
    )
    return positive, negative


def in_words(colors: str) -> str:
    """Which hue is which, for a picture's caption."""
    hues(colors)
    return "{2} positive, {3} negative".format(*PAIRS[colors])


def scale(numbers: ArrayLike, percentile: float = 97) -> float:
    """The magnitude shown at full brightness: the 97th percentile, rounded up to two digits."""
    magnitudes = np.abs(np.asarray(numbers, float))
    if not np.isfinite(magnitudes).all():
        raise ValueError("Expected finite numbers to draw; got NaN or infinity instead.")
    seen = magnitudes[magnitudes > 0]
    reached = float(np.percentile(seen, percentile)) if seen.size else 1.0
    if seen.size and seen.max() < 1.5 * reached:
        reached = float(seen.max())  # so that nothing exceeds it
    unit = 10.0 ** (math.floor(math.log10(reached)) - 1)
    return float(f"{math.ceil(reached / unit - 1e-9) * unit:.2g}")


def around_zero(numbers: ArrayLike, full: float, colors: str = "video") -> NDArray[Any]:
    """Numbers as colors: black at zero, the hue of their sign at `full` and beyond."""
    positive, negative = hues(colors)
    share = np.clip(np.asarray(numbers, float)[..., None] / full, -1, 1)
    return np.where(share > 0, positive, negative) * np.abs(share)


def shades(activations: ArrayLike, white: float = 1, colors: str = "video") -> NDArray[Any]:
    """Activations as grays: black at zero, white at `white`; below zero, the negative hue."""
    # Takes and returns what `around_zero` does.
    a = np.asarray(activations, float)[..., None]
    return np.where(a < 0, around_zero(a[..., 0], white, colors), np.clip(a / white, 0, 1))


def white(activations: ArrayLike) -> float:
    """The activation to show as white: 1, or the largest where that is more, as under ReLU."""
    return max(1.0, scale(activations, 100))


def signed(number: float) -> str:
    """A number with its sign, to three digits."""
    places = 2 if abs(number) < 100 else 0
    text = f"{number:+.{places}f}" if abs(number) >= 0.005 or number == 0 else f"{number:+.1g}"
    return "0" if number == 0 else text.replace("-", "−")


def rows_and_columns(n: int, longest: int = 16) -> tuple[int, int]:
    """The layout of `n` items: a square, or nearly one."""
    side = math.isqrt(n)
    rows = next(d for d in range(side, 0, -1) if n % d == 0)
    if n > longest * rows**2:
        rows = side
    return rows, math.ceil(n / rows)


def folded(numbers: ArrayLike) -> NDArray[Any]:
    """Numbers in the rows and columns of `rows_and_columns`, NaN where the last row ends early."""
    flat = np.asarray(numbers, float).ravel()
    rows, columns = rows_and_columns(flat.size)
    filled = np.pad(flat, (0, rows * columns - flat.size), constant_values=np.nan)
    return filled.reshape(rows, columns)


def as_grid(n: int) -> str:
    """The rows and columns of `n` numbers, in words."""
    rows, columns = rows_and_columns(n)
    if rows == 1:
        return f"{n} in a row"
    return f"{rows} × {columns}" if rows * columns == n else f"{n} in rows of {columns}"


def white_in_words(activations: ArrayLike, colors: str = "video") -> str:
    """What brightness says in a picture of a layer's activations, for its caption."""
    full = white(activations)
    below = f", {PAIRS[colors][3]} −{full:g}" if np.min(np.asarray(activations)) < 0 else ""
    return f"black 0, white {full:g}{below}"


def whites_in_words(layers: Sequence[ArrayLike], colors: str = "video") -> str:
    """What brightness says in a picture of several layers, in a line for each that differs."""
    each = [white_in_words(a, colors) for a in layers]
    if len({*each}) == 1:
        return f"activations: {each[0]}"
    names = ["the image", *(f"layer {n}" for n in range(1, len(each)))]
    return "\n".join(f"activations of {a}: {b}" for a, b in zip(names, each, strict=True))


def threshold_in_words(total: float, bias: float, activation: float) -> str:
    """The sum of a neuron's inputs, and the threshold that its bias sets."""
    beyond = total + bias
    how = "beats it" if beyond > 0 else "stays below it"
    return (
        f"They add up to {signed(total)}. The bias is {signed(bias)}, and so the "
        f"threshold {signed(-bias)}:\nthe sum {how} by {abs(beyond):.2f}, and the "
        f"activation is {activation:.3f}."
    )
