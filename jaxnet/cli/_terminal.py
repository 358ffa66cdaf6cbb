"""Images, answers and progress in the terminal."""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import jax
import numpy as np
from numpy.typing import NDArray
from rich import table as tables
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.text import Text

from jaxnet._util.files import FileError
from jaxnet._util.optional import package
from jaxnet._util.palette import shades
from jaxnet.batch import Tally
from jaxnet.batch._tables import Table as Answered
from jaxnet.data import Inputs, Source
from jaxnet.data._rows import Places, to_float32
from jaxnet.data.pictures._files import read_picture
from jaxnet.inference import Answers

if TYPE_CHECKING:  # it brings optax along, which takes a while
    from jaxnet.runs import Progress
    from jaxnet.training import History

_BOX = (0.95, 0.55, 0.1)  # the color of boxes around digits
_WIDEST, _TALLEST = 100, 80  # pixels of a picture with boxes; half as many lines
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def console(*, stderr: bool = False) -> Console:
    """Standard output, or standard error, in which numbers have no colors of their own."""
    return Console(stderr=stderr, highlight=False)


def has_colors(console: Console) -> bool:
    """Whether half blocks can be shown: they need colors and Unicode."""
    plain = console.no_color or console.color_system is None
    return not plain and console.encoding.startswith("utf")


class Picture(NamedTuple):
    """An image in half blocks: each character holds two pixels, one above the other.

    Where there are no colors, a pixel is on where it is brighter than one half.

    Attributes:
        image: a square, shape `(784,)`, from 0 (black) to 1 (white).
    """

    image: NDArray[Any]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        side = math.isqrt(self.image.size)
        grid = np.zeros((side + side % 2, side))
        grid[:side] = np.reshape(self.image, (side, side))
        if has_colors(console):
            yield from half_blocks(shades(grid))
            return
        for upper, lower in zip(grid[::2] > 0.5, grid[1::2] > 0.5, strict=True):
            yield Text("".join(" ▀▄█"[n] for n in upper + 2 * lower))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(*[math.isqrt(self.image.size)] * 2)


def half_blocks(rgb: NDArray[Any]) -> Iterator[Text]:
    """Draws pixels in color: each character holds two, one above the other."""
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
    """A horizontal bar for a number clipped to [0, 1], in eighths of a character."""
    within = min(max(float(np.nan_to_num(value)), 0), 1)
    full, eighths = divmod(round(within * width * 8), 8)
    return ("█" * full + _EIGHTHS[eighths] * (eighths > 0)).ljust(width)


def curve(values: NDArray[Any], *, width: int = 40, height: int = 6) -> str:
    """A curve in block characters, scaled from its smallest to its largest value."""
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


class Table:
    """A table, or where it is wider than the terminal, a paragraph for each row.

    Args:
        names: of the columns; > marks numbers.
    """

    def __init__(self, *names: str) -> None:
        self.names = [name.removeprefix(">") for name in names]
        self.table = tables.Table(
            box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim"
        )
        self.rows: list[Sequence[str]] = []
        for name in names:
            justify = "right" if name[0] == ">" else "left"
            self.table.add_column(name.removeprefix(">"), justify=justify, no_wrap=True)

    def add_row(self, *cells: str) -> None:
        """Adds a row of texts."""
        self.rows.append(cells)
        self.table.add_row(*map(Text, cells))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.table.__rich_measure__(console, options.update(width=10_000)).maximum <= (
            options.max_width
        ):
            yield self.table
            return
        for row in self.rows:
            for name, cell in zip(self.names, row, strict=True):
                if cell:
                    yield Text(f"{name}: {cell}")
            yield Text()


def printable(text: str) -> str:
    """The text without control characters, which could move the cursor or clear the screen."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def cards(
    source: Source,
    answers: Answers,
    labels: NDArray[Any] | None = None,
    unsure: NDArray[np.bool_] | None = None,
) -> Columns:
    """Shows each image with its activations as bars, and the predicted digit."""
    n = len(source.names)
    known = [None] * n if labels is None else labels
    doubts = [False] * n if unsure is None else unsure
    return Columns(
        [
            _card(name, Picture(to_float32(image)), digit, activations, label, doubt)
            for name, image, digit, activations, label, doubt in zip(
                source.names, source.images, *answers, known, doubts, strict=True
            )
        ],
        padding=(1, 2),
    )


def pages_and_cards(found: Inputs, table: Answered) -> Group:
    """Pictures with the boxes of their digits, and a card for each image that has but one."""
    images = found.read(0, found.n).images
    of = np.arange(len(images)) if table.places is None else table.places.of
    several = np.bincount(of, minlength=found.n)[of] > 1
    parts: list[Any] = [
        Group(*_page(table, np.flatnonzero(of == picture)))
        for picture in np.unique(of[several]).tolist()
    ]
    good = [n for n in range(len(images)) if not several[n] and n not in (table.errors or ())]
    if good:
        source = Source(images[good], [table.names[n] for n in good])
        answers = Answers(*(part[good] for part in table.answers))
        labels = None if table.labels is None else table.labels[good]
        parts.append(cards(source, answers, labels, table.unsure[good]))
    return Group(*parts)


def _page(table: Answered, rows: NDArray[np.int_]) -> Iterator[Any]:
    """A picture with the boxes of its digits, its lines, and what its marks mean."""
    name = table.names[int(rows[0])]
    yield Text(printable(name), "dim")
    with suppress(OSError, FileError):  # it was there a moment ago
        picture, scale = read_picture(name)
        yield Boxes(picture, cast(Places, table.places).boxes[rows] / scale)
    for line in _written(table, rows):
        yield Text(line, "bold")
    if any(cast(Places, table.places).touching[rows]):
        yield Text("?: digits that touch, or another mark", "dim")


class Boxes(NamedTuple):
    """A picture in half blocks, with boxes drawn into it; nothing where there are no colors.

    Attributes:
        picture: in gray, shape `(height, width)`, uint8.
        boxes: left, top, right and bottom edges in the picture's pixels, shape `(n, 4)`.
    """

    picture: NDArray[np.uint8]
    boxes: NDArray[Any]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not has_colors(console):
            return
        height, width = self.picture.shape
        factor = min(options.max_width / width, _WIDEST / width, _TALLEST / height)
        size = max(round(width * factor), 1), max(round(height * factor), 1)
        picture = package("PIL.Image", extra="images").fromarray(self.picture)
        small = np.asarray(picture.resize(size, reducing_gap=2.0))
        rgb = np.repeat(small[..., None] / 255, 3, 2)
        for box in (self.boxes * factor).round().astype(int).clip(0):
            left, top, right, bottom = box.tolist()
            right, bottom = min(right, rgb.shape[1] - 1), min(bottom, rgb.shape[0] - 1)
            rgb[[top, bottom], left : right + 1] = rgb[top : bottom + 1, [left, right]] = _BOX
        yield from half_blocks(rgb)


def answer_lines(table: Answered) -> Iterator[str]:
    """Lines of text, one for each picture or line of writing: its name, its digits, its label."""
    # A question mark follows a digit that is more likely wrong than right.
    if table.labels is None and table.places is not None:
        for picture in range(table.n_inputs):
            rows = np.flatnonzero(table.places.of == picture)
            if rows[0] not in (table.errors or ()):
                for line in _written(table, rows):
                    yield f"{printable(table.names[int(rows[0])])}  {line}"
        return
    labels = table.answers.digits if table.labels is None else table.labels
    for n, (name, digit) in enumerate(zip(table.names, table.answers.digits, strict=True)):
        if n in (table.errors or ()):
            continue
        doubt = "?" if table.unsure[n] else ""
        mark = "" if labels[n] == digit else f"  ✗ {labels[n]}"
        yield f"{printable(name)}  {digit}{doubt}{mark}"


def _written(table: Answered, rows: NDArray[np.int_]) -> Iterator[str]:
    """The lines of writing in a picture; ? alone stands for digits that touch, or another mark."""
    places = cast(Places, table.places)
    for line in np.unique(places.lines[rows]):
        yield " ".join(
            "?"
            if places.touching[n]
            else f"{table.answers.digits[n]}{'?' if table.unsure[n] else ''}"
            for n in rows[places.lines[rows] == line]
        )


def summary(
    tally: Tally, rate: float, *, labeled: bool, digits: int = 0, unsure: int = 0
) -> tables.Table:
    """Summarizes many answers: number, accuracy, throughput, device."""
    table = tables.Table.grid(padding=(0, 2))
    table.add_row("images", f"{tally.rows:,}")
    if digits > tally.rows:
        table.add_row("digits", f"{digits:,}")
    if unsure:
        table.add_row("unsure", f"[bold yellow]{unsure:,}[/]")
    read = tally.rows - tally.unread
    if tally.unread:
        table.add_row("skipped", f"[bold red]{tally.unread:,}[/]")
    if labeled and read:
        share = 100 * tally.right / read
        table.add_row("correct", f"[bold]{share:.2f} %[/] ({tally.right:,})")
    if rate:
        table.add_row("speed", f"{rate:,.0f} images per second")
    table.add_row("device", jax.devices()[0].device_kind)
    return table


class Learning(NamedTuple):
    """A run's progress: the epoch, the accuracy, and the curves of both scores.

    Attributes:
        progress: of the run.
        epochs: how many there will be.
    """

    progress: "Progress"
    epochs: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        history, seconds = self.progress.history, self.progress.seconds
        done = len(history.cost)
        left = seconds / done * (self.epochs - done)
        cost, right, what = _means(history)
        width = min(40, options.max_width)
        yield Text(f"epoch {done} of {self.epochs}, {seconds:.0f} s, {left:.0f} s left")
        yield Columns(
            [
                Group(
                    Text.assemble("cost ", (f"{cost[-1]:.4f}", "bold")),
                    Text(curve(np.log(np.maximum(cost, 1e-9)), width=width), "red"),
                    Text(f"from {cost.min():.4f} to {cost.max():.4f}", "dim"),
                ),
                Group(
                    Text.assemble((f"{100 * right[-1]:.2f} %", "bold"), f" of {what} correct"),
                    Text(curve(right, width=width), "green"),
                    Text(f"from {right.min():.4f} to {right.max():.4f}", "dim"),
                ),
            ],
            padding=(0, 4),
        )


def epoch_line(history: "History", epochs: int) -> str:
    """The progress as one line, for a log."""
    cost, right, what = _means(history)
    so_far = f"epoch {len(cost)} of {epochs}: cost {cost[-1]:.4f}"
    return f"{so_far}, {100 * right[-1]:.2f} % of {what} correct"


def _means(history: "History") -> tuple[NDArray[Any], NDArray[Any], str]:
    """Mean cost and accuracy by epoch, of members that have not diverged, and of which images."""
    share, what = history.accuracy, "training images"
    if history.validation is not None:
        share, what = history.validation.accuracy, "validation images"
    alive = np.isfinite(history.cost)
    n = np.maximum(alive.sum(1), 1)
    cost, right = (np.where(alive, a, 0).sum(1) / n for a in (history.cost, share))
    return cost, right, what


def _card(
    name: str,
    image: Picture,
    digit: int,
    activations: NDArray[Any],
    label: int | None,
    unsure: bool,
) -> tables.Table:
    style = "bold green" if label in (None, digit) else "bold red"
    style = "bold yellow" if unsure and label is None else style
    bars = [
        Text(f"{n} {bar(a)}", style if n == digit else "blue") for n, a in enumerate(activations)
    ]
    mark = "" if label is None else "  ✓" if label == digit else f"  ✗ {label}"
    table = tables.Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=28)
    table.add_column(width=10)
    answer = Text(f"→ {digit}{'?' if unsure else ''}{mark}", style)
    table.add_row(Text(printable(name)[-28:], "dim"), answer)
    table.add_row(image, Group("", "", *bars))
    return table
