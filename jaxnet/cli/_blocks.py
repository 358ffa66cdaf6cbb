"""Weights and activations in the terminal, as blocks of color.

Without colors, one sign stands for a number above a quarter of the scale, two for one above half;
where the terminal is too narrow for two, one for both.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.text import Text

from jaxnet import analysis, network
from jaxnet._util import palette
from jaxnet.analysis._attribution import answering_output, check_neuron
from jaxnet.cli._terminal import bar, half_blocks, has_colors
from jaxnet.network import Image, Params, Squash

_MOST = 20  # neurons shown as bars; more are a grid


class Blocks(NamedTuple):
    """A grid of numbers in two colors or in grays; each line of text holds two rows.

    Attributes:
        grid: shape `(rows, columns)`; nothing is shown where it is NaN.
        full: the magnitude at full brightness.
        colors: "video" or "safe".
        gray: numbers above zero in grays, as activations are.
    """

    grid: NDArray[Any]
    full: float
    colors: str = "video"
    gray: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not has_colors(console):
            wide = options.max_width >= 2 * self.grid.shape[1]
            for row in self.grid:
                signs = "".join(self._signs(n) if wide else self._signs(n)[0] for n in row)
                yield Text(signs.rstrip())
            return
        paint = palette.shades if self.gray else palette.around_zero
        yield from half_blocks(paint(self.grid, self.full, self.colors))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        least = self.grid.shape[1]
        most = least if has_colors(console) else 2 * least
        return Measurement(min(least, options.max_width), min(most, options.max_width))

    def _signs(self, number: float) -> str:
        share = abs(number) / self.full
        sign = "-" if number < 0 else "+"
        return (sign * (2 if share > 0.5 else 1 if share > 0.25 else 0)).ljust(2)


def weights(
    params: Params, layer: int = 1, neuron: int | None = None, *, colors: str = "video"
) -> RenderableType:
    """Shows the weights into one neuron, or into every neuron of a layer."""
    check_neuron(params, layer, 0 if neuron is None else neuron)
    w, b = (np.asarray(part, float) for part in params[layer - 1])
    wanted = range(len(w)) if neuron is None else [neuron]
    full = palette.scale(w[[*wanted]])
    grids = [
        Group(
            Text(f"{k}   bias {palette.signed(b[k])}", "dim"),
            Blocks(palette.folded(w[k]), full, colors),
        )
        for k in wanted
    ]
    shown = Columns(grids, padding=(1, 3)) if len(grids) > 1 else grids[0]
    return Group(shown, _Scale(full, colors, np.abs(w[[*wanted]]).max()))


def contributions(
    params: Params,
    x: Image,
    layer: int = 1,
    neuron: int = 0,
    *,
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
    colors: str = "video",
) -> RenderableType:
    """Shows what each input contributes to a neuron's sum, and the sum."""
    parts = np.asarray(analysis.contributions(params, x, layer, neuron, squash=squash), float)
    layers = network.activations(params, x, squash=squash, last_squash=last_squash)
    said = palette.threshold_in_words(
        parts.sum(), float(params[layer - 1][1][neuron]), float(layers[layer][neuron])
    )
    return Group(signed(parts, colors=colors), said)


def saliency(
    params: Params,
    x: Image,
    neuron: int | None = None,
    *,
    squash: Squash = "sigmoid",
    colors: str = "video",
) -> RenderableType:
    """Shows which pixels raise an output and which lower it."""
    neuron = answering_output(params, x, squash=squash) if neuron is None else neuron
    return signed(analysis.saliency(params, x, neuron, squash=squash), colors=colors)


def image(x: Image, *, colors: str = "video") -> RenderableType:
    """Shows an image in grays."""
    return grays(x, colors=colors)


def signed(numbers: ArrayLike, *, colors: str = "video") -> RenderableType:
    """Shows one signed number per pixel, and the scale."""
    full = palette.scale(numbers)
    grid = Blocks(palette.folded(numbers), full, colors)
    return Group(grid, _Scale(full, colors, np.abs(np.asarray(numbers)).max()))


def grays(numbers: ArrayLike, *, colors: str = "video") -> Blocks:
    """Shows activations, such as an image, in grays."""
    return Blocks(palette.folded(numbers), palette.white(numbers), colors, gray=True)


def exciting(
    params: Params,
    layer: int | None = None,
    neuron: int | None = None,
    *,
    natural: bool = False,
    squash: Squash = "sigmoid",
) -> RenderableType:
    """Shows the image that maximizes a neuron, or one for each neuron of a layer."""
    layer = len(params) if layer is None else layer
    wanted, images, sums = analysis.maximizing_images(
        params, layer, neuron, natural=natural, squash=squash
    )
    grids = [
        Group(Text(f"{k}   sum {palette.signed(z)}", "dim"), grays(x))
        for k, x, z in zip(wanted, images, sums, strict=True)
    ]
    return Columns(grids, padding=(1, 3)) if len(grids) > 1 else grids[0]


def activations(
    params: Params,
    x: Image,
    *,
    squash: Squash = "sigmoid",
    last_squash: Squash = "sigmoid",
    colors: str = "video",
) -> RenderableType:
    """Shows every layer's activations, image first, side by side where there is room."""
    layers = network.activations(params, x, squash=squash, last_squash=last_squash)
    digit = int(network.predict(params, x, squash=squash))
    names = ["image", *(f"layer {n}" for n in range(1, len(params))), f"output: {digit}"]
    groups: list[RenderableType] = []
    for n, (name, layer) in enumerate(zip(names, layers, strict=True)):
        a = np.asarray(layer, float)
        white = palette.white(a)
        shown = [grays(a, colors=colors)]
        if len(a) <= _MOST:
            shown = [
                Text(
                    f"{k:>2} {bar(v / white)} {v:5.2f}".replace("-", "−"),
                    "bold" if n == len(params) and k == digit else "",
                )
                for k, v in enumerate(a)
            ]
        groups.append(Group(Text(name, "dim"), *shown, ""))
    return Columns(groups, padding=(0, 3))


class _Scale(NamedTuple):
    """What the colors or signs stand for."""

    full: float
    colors: str
    largest: float

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        more = self.largest > self.full
        beyond = f"; the largest is {palette.signed(self.largest)[1:]}" if more else ""
        signs = palette.in_words(self.colors) if has_colors(console) else "+ positive, - negative"
        yield Text(f"{signs}, brightest at {self.full:g}{beyond}", "dim")
