"""The command line: parses, calls the library, prints."""

import time
from functools import partial
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from jaxnet import inference
from jaxnet.data.sources import Source, join, read_images, read_labels
from jaxnet.data.strokes import draw
from jaxnet.files import FileError
from jaxnet.formats.answers import check_output, json_lines, write_answers
from jaxnet.formats.safetensors import load
from jaxnet.network import count
from jaxnet.pretrained import PATH
from jaxnet.show import terminal

FEW = 20  # as many images are shown one by one; more are summed up

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """The network of 3Blue1Brown's "But what is a neural network?", reading digits."""
    if version:
        typer.echo(f"jaxnet {version_of('jaxnet')}")


@app.command()
def classify(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="IDX files, .npy files, pictures or folders of pictures; without any, ten "
            "digits that the program draws itself.",
        ),
    ] = None,
    weights: Annotated[
        Path, typer.Option(help="The network to read with.", show_default="the trained one")
    ] = PATH,
    labels: Annotated[
        Path | None, typer.Option(help="What the images show: an IDX or .npy file.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write a line for each image into this .csv or .jsonl.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a line of JSON an image.")] = False,
) -> None:
    """Reads handwritten digits and says what they show."""
    if output:
        check_output(output)
        if output.exists() and any(p.exists() and output.samefile(p) for p in inputs or ()):
            raise FileError(f"{output}: this is one of the inputs; write to another file.")
    if labels and not inputs:
        raise FileError(f"{labels}: labels of which images? Name them before --labels.")
    params, info = load(weights)
    source, known = (join(map(read_images, inputs)), None) if inputs else _ten_drawn_digits()
    if labels:
        known = read_labels(labels)
        if len(known) != len(source.names):
            raise FileError(f"{labels}: {len(known):,} labels for {len(source.names):,} images.")
    few = len(source.names) <= FEW

    read = partial(inference.stream, params, **info.squashes)
    pieces = inference.pieces(source.images)
    for _ in read([pieces[0], pieces[-1]]):
        pass  # compiles for both sizes that there are, outside the clock
    began = time.perf_counter()
    err = Console(stderr=True)
    hidden = few or not err.is_terminal
    reading = track(
        read(pieces), "reading", len(pieces), console=err, transient=True, disable=hidden
    )
    answers = inference.concatenate(reading)
    seconds = time.perf_counter() - began

    if output:
        write_answers(output, answers, source.names, known)
    if json:
        for line in json_lines(answers, source.names, known):
            typer.echo(line, nl=False)
    elif few:
        Console().print(terminal.cards(source, answers, known))
    else:
        Console().print(terminal.summary(answers, known, seconds))


@app.command()
def info(
    weights: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="A network.", show_default="the trained one")
    ] = PATH,
) -> None:
    """Describes a network's file."""
    params, about = load(weights)
    table = Table.grid(padding=(0, 2))
    table.add_row("file", Text(terminal.printable(str(weights))))
    table.add_row("neurons", " → ".join(map(str, about.sizes)))
    table.add_row("weights and biases", f"{count(params):,}")
    table.add_row("type", str(params[0].weights.dtype))
    table.add_row("squash", f"{about.squash}, at the end {about.last_squash}")
    for name, text in about.notes.items():
        table.add_row(*(Text(terminal.printable(part)) for part in (name, text)))
    Console().print(table)


def _ten_drawn_digits() -> tuple[Source, NDArray[Any]]:
    digits = np.arange(10)
    keys = jax.random.split(jax.random.key(time.time_ns() % 2**32), 10)
    images = jax.jit(jax.vmap(draw))(keys, digits)
    return Source(np.asarray(images), [f"drawn: {digit}" for digit in digits]), digits
