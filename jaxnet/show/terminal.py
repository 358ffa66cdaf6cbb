"""What a network sees and says, in a terminal, drawn by rich."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from jaxnet.data.sources import Source, unit
from jaxnet.inference import Answers
from jaxnet.jobs import Tally
from jaxnet.show.values import shades
from jaxnet.training import History

_EIGHTHS = " ▏▎▍▌▋▊▉█"


class Picture(NamedTuple):
    """An image, drawn in half blocks: each character holds two pixels, one above the other.

    Where there are no colours, a pixel is on where it is brighter than one half.

    Attributes:
        image: a square, shape `(784,)`, from 0 (black) to 1 (white).

    Example:
        >>> import numpy, rich
        >>> from jaxnet.show.terminal import Picture
        >>> rich.print(Picture(numpy.eye(4).reshape(16)))  # doctest: +NORMALIZE_WHITESPACE
        ▀▄
          ▀▄
    """

    image: NDArray[Any]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        side = math.isqrt(self.image.size)
        grid = np.zeros((side + side % 2, side))
        grid[:side] = np.reshape(self.image, (side, side))
        if console.color_system is not None:
            yield from half_blocks(shades(grid))
            return
        for upper, lower in zip(grid[::2] > 0.5, grid[1::2] > 0.5, strict=True):
            yield Text("".join(" ▀▄█"[n] for n in upper + 2 * lower))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(*[math.isqrt(self.image.size)] * 2)


def half_blocks(rgb: NDArray[Any]) -> Iterator[Text]:
    """Draws pixels in colour: each character holds two, one above the other.

    Args:
        rgb: shape `(rows, columns, 3)`, red, green and blue from 0 to 1; NaN where nothing is.

    Yields:
        A line for every two rows.

    Example:
        >>> import numpy
        >>> from jaxnet.show import terminal
        >>> [line.plain for line in terminal.half_blocks(numpy.ones((3, 4, 3)))]
        ['▀▀▀▀', '▀▀▀▀']
    """
    rows = np.pad(rgb, ((0, len(rgb) % 2), (0, 0), (0, 0)), constant_values=np.nan)
    names = [
        ["default" if r < 0 else f"rgb({r},{g},{b})" for r, g, b in row]
        for row in np.nan_to_num(255 * rows, nan=-1).round().astype(int).tolist()
    ]
    for upper, lower in zip(names[::2], names[1::2], strict=True):
        yield Text.assemble(*map(_half_block, upper, lower))


def _half_block(upper: str, lower: str) -> tuple[str, str]:
    if upper == lower == "default":
        return " ", ""
    return ("▄", f"{lower} on {upper}") if upper == "default" else ("▀", f"{upper} on {lower}")


def bar(value: float, *, width: int = 8) -> str:
    """A bar as long as a number from 0 to 1, to an eighth of a character; beyond, as at the end.

    Example:
        >>> from jaxnet.show import terminal
        >>> terminal.bar(0.3, width=4)
        '█▎  '
    """
    within = min(max(float(np.nan_to_num(value)), 0), 1)
    full, eighths = divmod(round(within * width * 8), 8)
    return ("█" * full + _EIGHTHS[eighths] * (eighths > 0)).ljust(width)


def curve(values: NDArray[Any], *, width: int = 40, height: int = 6) -> str:
    """A curve in blocks, from the least of its values at the bottom to the greatest at the top.

    Args:
        values: shape `(n,)`; those that are not finite leave a gap.
        width: characters a line, at most; of more values each column shows the last of a few.
        height: lines.

    Returns:
        `height` lines.

    Example:
        >>> import numpy
        >>> from jaxnet.show import terminal
        >>> print(terminal.curve(numpy.array([4.0, 2.0, 1.0, 0.5, 0.0]), height=2))
        █▁
        ██▅▃▁
    """
    ends = np.arange(1, min(width, len(values)) + 1) * len(values) // min(width, len(values)) - 1
    columns = np.asarray(values, float)[ends]
    finite = np.isfinite(columns)
    low, high = columns[finite].min(initial=np.inf), columns[finite].max(initial=-np.inf)
    span = high - low if high > low else 1.0
    # From one eighth of a character for the least to all of them for the greatest.
    tall = [
        1 + round((v - low) / span * (8 * height - 1)) if ok else 0
        for v, ok in zip(columns, finite, strict=True)
    ]
    lines = [
        "".join(" ▁▂▃▄▅▆▇█"[min(max(t - 8 * row, 0), 8)] for t in tall).rstrip()
        for row in reversed(range(height))
    ]
    return "\n".join(lines)


def printable(text: str) -> str:
    """A text without the characters that would move the cursor, clear the screen or break the line.

    Example:
        >>> from jaxnet.show import terminal
        >>> terminal.printable("two\\nlines")
        'two\ufffdlines'
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def cards(
    source: Source,
    answers: Answers,
    labels: NDArray[Any] | None = None,
) -> Columns:
    """Shows each image with its activations as bars, and the digit that was read.

    Args:
        source: the images and their names.
        answers: what was read in them.
        labels: what they show, if it is known; a wrong answer is then marked.

    Returns:
        Cards of 39 by 15 characters, in as many columns as fit.

    Example:
        >>> import numpy, jaxnet
        >>> from jaxnet.show import terminal
        >>> source = jaxnet.data.Source(numpy.zeros((2, 784)), ["one.png", "two.png"])
        >>> answers = jaxnet.classify(jaxnet.pretrained(), source.images)
        >>> len(terminal.cards(source, answers).renderables)
        2
    """
    known = [None] * len(source.names) if labels is None else labels
    return Columns(
        [
            _card(name, Picture(unit(image)), digit, activations, label)
            for name, image, digit, activations, label in zip(
                source.names, source.images, *answers, known, strict=True
            )
        ],
        padding=(1, 2),
    )


def summary(tally: Tally, rate: float, *, labelled: bool) -> Table:
    """Sums up many answers: how many, how many right, how fast, on what.

    Args:
        tally: of what was read.
        rate: images a second; 0 where none were left to read.
        labelled: whether it is known what the images show.

    Returns:
        A table of names and values.

    Example:
        >>> import rich, jaxnet
        >>> from jaxnet.show import terminal
        >>> tally = jaxnet.jobs.Tally(rows=100, unread=0, right=97)
        >>> rich.print(terminal.summary(tally, 200.0, labelled=True))  # doctest: +ELLIPSIS
        images        100...
        read rightly  97.00 % (97)...
        speed         200 images a second...
        device        ...
    """
    table = Table.grid(padding=(0, 2))
    table.add_row("images", f"{tally.rows:,}")
    read = tally.rows - tally.unread
    if tally.unread:
        table.add_row("skipped", f"[bold red]{tally.unread:,}[/]")
    if labelled and read:
        share = 100 * tally.right / read
        table.add_row("read rightly", f"[bold]{share:.2f} %[/] ({tally.right:,})")
    if rate:
        table.add_row("speed", f"{rate:,.0f} images a second")
    table.add_row("device", jax.devices()[0].device_kind)
    return table


def learning(history: History, epochs: int, seconds: float) -> Table:
    """A run so far: which epoch, how well it reads, and the curves of cost and of accuracy.

    Args:
        history: arrays of shape `(epochs so far, members)`, one epoch at least.
        epochs: that the run will take.
        seconds: that it took so far.

    Returns:
        A table of two columns, a curve in each; of several members, the mean.

    Example:
        >>> import numpy, jaxnet
        >>> from jaxnet.show import terminal
        >>> cost = numpy.array([[0.5], [0.25]])
        >>> history = jaxnet.training.History(cost, 1 - cost, None)
        >>> terminal.learning(history, epochs=4, seconds=6).row_count
        4
    """
    done = len(history.cost)
    left = seconds / done * (epochs - done)
    cost, read, what = _means(history)
    table = Table.grid(padding=(0, 4, 0, 0))
    table.add_row(
        f"epoch [bold]{done}[/] of {epochs}", f"{seconds:.0f} s, {left:.0f} s left" if left else ""
    )
    table.add_row(
        f"cost [bold]{cost[-1]:.4f}[/]", f"reads [bold]{100 * read[-1]:.2f} %[/] of {what}"
    )
    table.add_row(Text(curve(np.log(np.maximum(cost, 1e-9))), "red"), Text(curve(read), "green"))
    table.add_row(*(f"[dim]from {a.min():.4f} to {a.max():.4f}" for a in (cost, read)))
    return table


def epoch_line(history: History, epochs: int) -> str:
    """What `learning` shows, in a line: for a log.

    Example:
        >>> import numpy, jaxnet
        >>> from jaxnet.show import terminal
        >>> one = numpy.array([[0.5]])
        >>> terminal.epoch_line(jaxnet.training.History(one, 1.8 * one, None), 15)
        'epoch 1 of 15: cost 0.5000, reads 90.00 % of images learnt from'
    """
    cost, read, what = _means(history)
    so_far = f"epoch {len(cost)} of {epochs}: cost {cost[-1]:.4f}"
    return f"{so_far}, reads {100 * read[-1]:.2f} % of {what}"


def _means(history: History) -> tuple[NDArray[Any], NDArray[Any], str]:
    """Cost and share read rightly, each epoch's mean over the members that learn, and of what."""
    share, what = history.accuracy, "images learnt from"
    if history.held_out is not None:
        share, what = history.held_out.accuracy, "images held out"
    alive = np.isfinite(history.cost)
    n = np.maximum(alive.sum(1), 1)
    cost, read = (np.where(alive, a, 0).sum(1) / n for a in (history.cost, share))
    return cost, read, what


def _card(
    name: str, image: Picture, digit: int, activations: NDArray[Any], label: int | None
) -> Table:
    style = "bold green" if label in (None, digit) else "bold red"
    bars = [
        Text(f"{n} {bar(a)}", style if n == digit else "blue") for n, a in enumerate(activations)
    ]
    mark = "" if label is None else "  ✓" if label == digit else f"  ✗ {label}"
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=28)
    table.add_column(width=10)
    table.add_row(Text(printable(name)[-28:], "dim"), Text(f"→ {digit}{mark}", style))
    table.add_row(image, Group("", "", *bars))
    return table
