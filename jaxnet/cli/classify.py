"""`jaxnet classify`: classifies images in files, or ten synthetic digits."""

import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from typing import Annotated, Any

import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from jaxnet import batch
from jaxnet._util.arguments import ArgumentError
from jaxnet.cli import _terminal
from jaxnet.cli._networks import Weights, file_of
from jaxnet.cli._synthetic import ten_drawn_digits
from jaxnet.data import Inputs, Rows, Source, open_inputs
from jaxnet.formats import load
from jaxnet.inference import PRECISIONS, Answers

FEW = 20  # up to this many images are shown individually; more are summarized
SECONDS = 10  # between progress lines, without a terminal


def command(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="IDX, .npy and Parquet files, pictures, folders of pictures, patterns such as "
            "'scans/**/*.png', or - for standard input; by default, ten synthetic digits.",
        ),
    ] = None,
    weights: Weights = None,
    labels: Annotated[Path | None, typer.Option(help="Their labels: an IDX or .npy file.")] = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help=f"Write one row per image: to a {', '.join(batch.ENDINGS)} file or, if the name "
            "has no ending or ends in /, to a folder of shards.",
        ),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help=f"Format of shards: one of {', '.join(batch.ENDINGS)}.")
    ] = ".parquet",
    shard_size: Annotated[int, typer.Option(help="Rows per shard.")] = 1_000_000,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted job.")] = False,
    on_error: Annotated[
        str, typer.Option(help="If an image cannot be read: stop, or skip it and mark its row.")
    ] = "stop",
    precision: Annotated[
        str, typer.Option(help=f"Precision of the first layer: one of {', '.join(PRECISIONS)}.")
    ] = "float32",
    brightest: Annotated[
        bool, typer.Option("--brightest", help="Write only the largest activation.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per image.")] = False,
) -> None:
    """Classify handwritten digits."""
    ending = form if form.startswith(".") else f".{form}"
    if output is not None:
        batch.check_output(output, inputs or [], [labels, weights], format=ending, resume=resume)
    elif resume:
        raise ArgumentError("resume", "only a folder of shards can be resumed; pass --output.")
    if labels and not inputs:
        raise ArgumentError("labels", "needs input images.")
    folder = output if output is not None and batch.is_folder(output) else None
    found, known = (open_inputs(inputs, without=folder), labels) if inputs else _synthetic()
    few = found.n <= FEW
    show = few and not json and output is None
    job = batch.open_job(
        *load(file_of(weights)),
        found,
        known,
        precision=precision,
        brightest=brightest and not show,
        on_error=on_error,
    )
    running = batch.steps(job, output, format=ending, shard_size=shard_size, resume=resume)

    batch.warm(job)
    began, tally, err = time.perf_counter(), batch.Tally(), Console(stderr=True)
    before = 0  # rows that an earlier run had written
    with closing(running), _progress(err, found.n, hidden=few or json) as advance:
        for tally, table in running:
            advance(tally.rows)
            if table is None:
                before = tally.rows
                continue
            for error in (table.errors or {}).values():
                err.print(Text(_terminal.printable(f"skipped: {error}")), soft_wrap=True)
            for line in batch.json_lines(table) if json else ():
                typer.echo(line, nl=False)
            if show:
                _show(found, table)
    if not json and not show:
        rate = (tally.rows - before) / (time.perf_counter() - began)
        Console().print(_terminal.summary(tally, rate, labeled=known is not None))


def _show(found: Inputs, table: batch.Table) -> None:
    """Prints a card for each image that could be read."""
    good = [n for n in range(found.n) if n not in (table.errors or ())]
    source = Source(found.read(0, found.n).images[good], [table.names[n] for n in good])
    answers = Answers(*(part[good] for part in table.answers))
    labels = None if table.labels is None else table.labels[good]
    Console().print(_terminal.cards(source, answers, labels))


def _synthetic() -> tuple[Inputs, NDArray[Any]]:
    source, digits = ten_drawn_digits()

    def read(start: int, stop: int, _: Event | None = None) -> Rows:
        return Rows(source.images[start:stop], source.names[start:stop], {})

    return Inputs(len(digits), read, [{"drawn": len(digits), "at": time.time_ns()}]), digits


@contextmanager
def _progress(console: Console, n: int, *, hidden: bool) -> Generator[Callable[[int], None]]:
    """A progress bar with rate and time left; without a terminal, an occasional line."""
    began, said = time.perf_counter(), time.perf_counter()
    before: int | None = None  # rows at the start

    def pace(rows: int) -> str:
        nonlocal before
        before = rows if before is None else before
        rate = (rows - before) / (time.perf_counter() - began)
        left = f", {(n - rows) / rate:,.0f} s left" if rate else ""
        return f"{rows:,} of {n:,} images, {rate:,.0f} a second{left}"

    if console.is_terminal and not hidden:
        columns = (BarColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("", total=n)
            yield lambda rows: progress.update(task, completed=rows, description=pace(rows))
        return

    def line(rows: int) -> None:
        nonlocal said
        text = pace(rows)
        if not hidden and time.perf_counter() - said > SECONDS:
            said = time.perf_counter()
            console.print(text, highlight=False, soft_wrap=True)

    yield line
