"""The command that reads digits."""

import os
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

from jaxnet._util.files import FileError, check_free
from jaxnet.batch import ENDINGS, Table, _jobs, check_ending, json_lines, write_shards
from jaxnet.cli import _terminal
from jaxnet.cli._synthetic import ten_drawn_digits
from jaxnet.data import Inputs, Rows, Source, expand, open_inputs, read_labels
from jaxnet.formats import load
from jaxnet.inference import PRECISIONS, Answers

FEW = 20  # as many images are shown one by one, and bad ones named; more are summed up
SECONDS = 10  # between the lines that say how far it is, where there is no terminal


def command(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="IDX, .npy and Parquet files, pictures, folders of pictures, patterns such as "
            "'scans/**/*.png', or - for standard input; without any, ten digits that the program "
            "draws itself.",
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="The network to read with.", show_default="the trained one")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="What the images show: an IDX or .npy file.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help=f"Write a row for each image: into this {', '.join(ENDINGS)} file, or, if the "
            "name has no ending or ends in /, into a folder of shards.",
        ),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help=f"Of shards: one of {', '.join(ENDINGS)}.")
    ] = ".parquet",
    shard_size: Annotated[int, typer.Option(help="Rows in each shard.")] = 1_000_000,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the shards where the same command stopped.")
    ] = False,
    on_error: Annotated[
        str, typer.Option(help="Of an image that cannot be read: stop, or skip and mark its row.")
    ] = "stop",
    precision: Annotated[
        str, typer.Option(help=f"Of the first product: one of {', '.join(PRECISIONS)}.")
    ] = "float32",
    brightest: Annotated[
        bool, typer.Option("--brightest", help="Write the brightest output alone, not all ten.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a line of JSON an image.")] = False,
) -> None:
    """Reads handwritten digits and says what they show."""
    ending = form if form.startswith(".") else f".{form}"
    target, shards = None, False
    if output is not None:
        target = Path(output)
        shards = not target.suffix or output.endswith(("/", os.sep))
        _check_output(target, ending, inputs or [], [labels, weights], shards=shards)
    folder = target if shards else None
    if resume and not shards:
        raise FileError("--resume goes on in a folder of shards; name one, without an ending.")
    if on_error not in ("stop", "skip"):
        raise ValueError(f"--on-error: expected stop or skip; got {on_error}.")
    if shard_size < 1:
        raise ValueError(f"--shard-size: expected one row or more; got {shard_size}.")
    if labels and not inputs:
        raise FileError(f"{labels}: labels of which images? Name them before --labels.")
    params, spec = load(weights)
    found, known = (open_inputs(inputs, without=folder), None) if inputs else _drawn()
    if precision == "int8" and found.floats:
        raise FileError(f"{found.floats}: images in floats; --precision int8 wants them in bytes.")
    if labels:
        known = read_labels(labels)
        if len(known) != found.n:
            raise FileError(f"{labels}: {len(known):,} labels for {found.n:,} images.")
    job = _jobs.Job(params, spec, found, known, precision, brightest, skip=on_error == "skip")
    few = found.n <= FEW
    show = few and not json and not target
    if show:
        job = job._replace(brightest=False)

    _jobs.warm(job)  # compiles, outside the clock
    began, tally, err = time.perf_counter(), _jobs.Tally(), Console(stderr=True)
    before = 0  # rows that were there
    if folder:
        steps = write_shards(job, folder, ending=ending, size=shard_size, resume=resume)
    else:
        steps = _jobs.write_file(job, target) if target else _jobs.read(job)
    with closing(steps), _progress(err, found.n, hidden=few or json) as advance:
        for tally, table in steps:
            advance(tally.rows)
            if table is None:
                before = tally.rows
                continue
            for error in (table.errors or {}).values():
                err.print(Text(_terminal.printable(f"skipped: {error}")), soft_wrap=True)
            for line in json_lines(table) if json else ():
                typer.echo(line, nl=False)
            if show:
                _show(found, table)
    if not json and not show:
        seconds = time.perf_counter() - began
        rate = (tally.rows - before) / seconds
        Console().print(_terminal.summary(tally, rate, labeled=known is not None))


def _check_output(
    target: Path, ending: str, inputs: list[str], others: list[Path | None], *, shards: bool
) -> None:
    """Raises, before any work, where nothing can be written, or what is read would be replaced."""
    if not target.name:
        raise FileError(f"--output: expected a file, or a folder to make; got '{target}'.")
    check_ending(target.with_suffix(ending) if shards else target)
    if shards and not target.exists():
        check_free(target)
    elif shards and not target.is_dir():
        raise FileError(f"{target}: this is a file; name a folder, or a file with an ending.")
    elif not shards:
        read = [Path(file) for path in inputs for file in expand(path)]
        check_free(target, [*read, *(other for other in others if other)])


def _show(found: Inputs, table: Table) -> None:
    """Cards of the images that could be read."""
    good = [n for n in range(found.n) if n not in (table.errors or ())]
    source = Source(found.read(0, found.n).images[good], [table.names[n] for n in good])
    answers = Answers(*(part[good] for part in table.answers))
    labels = None if table.labels is None else table.labels[good]
    Console().print(_terminal.cards(source, answers, labels))


def _drawn() -> tuple[Inputs, NDArray[Any]]:
    source, digits = ten_drawn_digits()

    def read(start: int, stop: int, _: Event | None = None) -> Rows:
        return Rows(source.images[start:stop], source.names[start:stop], {})

    return Inputs(len(digits), read, [{"drawn": len(digits), "at": time.time_ns()}]), digits


@contextmanager
def _progress(console: Console, n: int, *, hidden: bool) -> Generator[Callable[[int], None]]:
    """A bar with rate and time left; where there is no terminal, a line now and then."""
    began, said = time.perf_counter(), time.perf_counter()
    before: int | None = None  # rows that were there when this began

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
