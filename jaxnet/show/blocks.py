"""Weights and activations in a terminal, in blocks of colour, drawn by rich.

Where there are no colours, a sign stands for a number beyond a quarter of the scale, two for
one beyond a half.
"""

from typing import Any, NamedTuple

import numpy as np
from jax.nn import sigmoid
from numpy.typing import ArrayLike, NDArray
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from jaxnet import attribution, network
from jaxnet.network import Image, Params, Squash
from jaxnet.show import values
from jaxnet.show.terminal import bar, half_blocks

_MOST = 20  # neurons shown as bars; more are a grid


class Blocks(NamedTuple):
    """Numbers in a grid, in colours around zero, or in greys: a line holds two rows.

    Attributes:
        grid: shape `(rows, columns)`; nothing is shown where it is NaN.
        full: the magnitude at full brightness.
        colours: "video" or "safe".
        grey: numbers above zero in greys, as activations are.

    Example:
        >>> import numpy, rich
        >>> from jaxnet.show.blocks import Blocks
        >>> rich.print(Blocks(numpy.array([[1.0, -1.0], [0.3, 0.0]]), full=1))
        ++--
        +
    """

    grid: NDArray[Any]
    full: float
    colours: str = "video"
    grey: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if console.color_system is None:
            for row in self.grid:
                yield Text("".join(map(self._signs, row)).rstrip())
            return
        paint = values.shades if self.grey else values.around_zero
        yield from half_blocks(paint(self.grid, self.full, self.colours))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = self.grid.shape[1] * (1 if console.color_system else 2)
        return Measurement(width, width)

    def _signs(self, number: float) -> str:
        share = abs(number) / self.full
        sign = "-" if number < 0 else "+"
        return (sign * (2 if share > 0.5 else 1 if share > 0.25 else 0)).ljust(2)


def weights(
    params: Params, layer: int, neuron: int | None = None, *, colours: str = "video"
) -> RenderableType:
    """Shows the weights into one neuron, or into all of a layer.

    Args:
        params: the network.
        layer: 1 or more.
        neuron: its place in the layer, from 0; all of them, if not given.
        colours: "video" (green positive, red negative) or "safe" (blue, orange).

    Returns:
        Grids with their biases, and the scale.

    Raises:
        TypeError, ValueError: no such layer, neuron or colours; weights that are not finite.

    Example:
        >>> import numpy, rich, jaxnet
        >>> from jaxnet.show import blocks
        >>> layer = jaxnet.Layer(numpy.array([[2.0, -1.0]]), numpy.array([0.5]))
        >>> rich.print(blocks.weights((layer,), 1, 0))
        0   bias +0.50
        ++-
        green positive, red negative, brightest at 2
    """
    attribution.check_neuron(params, layer, 0 if neuron is None else neuron)
    w, b = (np.asarray(part, float) for part in params[layer - 1])
    wanted = range(len(w)) if neuron is None else [neuron]
    full = values.scale(w[[*wanted]])
    grids = [
        Group(
            Text(f"{k}   bias {values.signed(b[k])}", "dim"),
            Blocks(values.folded(w[k]), full, colours),
        )
        for k in wanted
    ]
    shown = Columns(grids, padding=(1, 3)) if len(grids) > 1 else grids[0]
    return Group(shown, _scale(full, colours, np.abs(w[[*wanted]]).max()))


def contributions(
    params: Params,
    x: Image,
    layer: int,
    neuron: int,
    *,
    squash: Squash = sigmoid,
    last_squash: Squash = sigmoid,
    colours: str = "video",
) -> RenderableType:
    """Shows what each input adds to one neuron's sum, and what the sum comes to.

    Args:
        params, x, squash, last_squash: as for `jaxnet.forward`.
        layer, neuron, colours: as for `weights`.

    Returns:
        A grid, its scale and a sentence.

    Raises:
        TypeError, ValueError: no such layer, neuron or colours, or what `jaxnet.forward` refuses.

    Example:
        >>> import numpy, rich, jaxnet
        >>> from jaxnet.show import blocks
        >>> layer = jaxnet.Layer(numpy.float32([[2.0, -1.0]]), numpy.float32([0.5]))
        >>> rich.print(blocks.contributions((layer,), numpy.float32([1, 0.5]), 1, 0))
        ++
        green positive, red negative, brightest at 2
        They add up to +1.50. The bias is +0.50, and so the threshold −0.50:
        the sum beats it by 2.00, and the activation is 0.881.
    """
    parts = np.asarray(attribution.contributions(params, x, layer, neuron, squash=squash), float)
    layers = network.activations(params, x, squash=squash, last_squash=last_squash)
    said = values.threshold_in_words(
        parts.sum(), float(params[layer - 1][1][neuron]), float(layers[layer][neuron])
    )
    return Group(signed(parts, colours=colours), said)


def saliency(
    params: Params,
    x: Image,
    digit: int | None = None,
    *,
    squash: Squash = sigmoid,
    colours: str = "video",
) -> RenderableType:
    """Shows which pixels, made brighter, speak for an output and which against it.

    Args:
        params, x, squash: as for `jaxnet.logits`.
        digit: the output's place; the one that is read, if not given.
        colours: as for `weights`.

    Returns:
        A grid of slopes and its scale.

    Raises:
        TypeError, ValueError: no such output or colours, or what `jaxnet.logits` refuses.

    Example:
        >>> import numpy, rich, jaxnet
        >>> from jaxnet.show import blocks
        >>> layer = jaxnet.Layer(numpy.float32([[2.0, -1.0]]), numpy.float32([0.5]))
        >>> rich.print(blocks.saliency((layer,), numpy.float32([1, 0.5])))
        ++-
        green positive, red negative, brightest at 2
    """
    if digit is None:
        # A single output speaks for 1 and against 0.
        digit = min(int(network.predict(params, x, squash=squash)), len(params[-1][1]) - 1)
    return signed(attribution.saliency(params, x, digit, squash=squash), colours=colours)


def signed(numbers: ArrayLike, *, colours: str = "video") -> RenderableType:
    """Shows numbers around zero, as many as there are pixels, and their scale.

    Example:
        >>> import rich
        >>> from jaxnet.show import blocks
        >>> rich.print(blocks.signed([3, -3, 1, 0]))
        ++--
        +
        green positive, red negative, brightest at 3
    """
    full = values.scale(numbers)
    grid = Blocks(values.folded(numbers), full, colours)
    return Group(grid, _scale(full, colours, np.abs(np.asarray(numbers)).max()))


def greys(numbers: ArrayLike, *, colours: str = "video") -> Blocks:
    """Shows an image, or other activations, in greys.

    Example:
        >>> import rich
        >>> from jaxnet.show import blocks
        >>> rich.print(blocks.greys([0, 1, 1, 0]))
          ++
        ++
    """
    return Blocks(values.folded(numbers), values.white(numbers), colours, grey=True)


def exciting(
    params: Params, layer: int, neuron: int | None = None, *, squash: Squash = sigmoid
) -> RenderableType:
    """Shows the image that excites a neuron most, or one for each neuron of a layer.

    Args:
        params, squash: as for `jaxnet.forward`.
        layer, neuron: as for `weights`.

    Returns:
        Images, found from black by `jaxnet.attribution.exciting_image`.

    Raises:
        TypeError, ValueError: no such layer or neuron.

    Example:
        >>> import numpy, rich, jaxnet
        >>> from jaxnet.show import blocks
        >>> layer = jaxnet.Layer(numpy.float32([[2.0, -1.0]]), numpy.float32([0.5]))
        >>> rich.print(blocks.exciting((layer,), 1, 0))
        0   sum +2.50
        ++
    """
    wanted, images, sums = attribution.exciting_images(params, layer, neuron, squash=squash)
    grids = [
        Group(Text(f"{k}   sum {values.signed(z)}", "dim"), greys(x))
        for k, x, z in zip(wanted, images, sums, strict=True)
    ]
    return Columns(grids, padding=(1, 3)) if len(grids) > 1 else grids[0]


def activations(
    params: Params,
    x: Image,
    *,
    squash: Squash = sigmoid,
    last_squash: Squash = sigmoid,
    colours: str = "video",
) -> Table:
    """Shows every layer's activations beside each other, the image first.

    Args:
        params, x, squash, last_squash: as for `jaxnet.activations`.
        colours: "video" or "safe", for activations below zero, if there are any.

    Returns:
        A table: grids for layers of more than 20 neurons, bars and numbers for others, the
        brightest output in bold.

    Raises:
        TypeError, ValueError: what `jaxnet.activations` refuses.

    Example:
        >>> import jax, jaxnet
        >>> from jaxnet.show import blocks
        >>> params = jaxnet.init(jax.random.key(0), (4, 2))
        >>> blocks.activations(params, jax.numpy.zeros(4)).row_count
        3
    """
    layers = network.activations(params, x, squash=squash, last_squash=last_squash)
    read = int(network.predict(params, x, squash=squash))
    columns: list[RenderableType] = []
    for n, layer in enumerate(layers):
        a = np.asarray(layer, float)
        white = values.white(a)
        if len(a) > _MOST:
            columns.append(greys(a, colours=colours))
            continue
        lines = [
            Text(
                f"{k:>2} {bar(v / white)} {v:5.2f}".replace("-", "−"),
                "bold" if n == len(params) and k == read else "",
            )
            for k, v in enumerate(a)
        ]
        columns.append(Group(*lines))
    names = ["image", *(f"layer {n}" for n in range(1, len(layers)))]
    names[-1] = f"output: {read}"
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_row(*(Text(name, "dim") for name in names))
    table.add_row(*columns)
    table.add_row()
    return table


def _scale(full: float, colours: str, largest: float) -> Text:
    beyond = f"; the largest is {values.signed(largest)[1:]}" if largest > full else ""
    return Text(f"{values.in_words(colours)}, brightest at {full:g}{beyond}", "dim")
