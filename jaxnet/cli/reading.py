"""The command that reads digits."""

import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from jaxnet import inference
from jaxnet.cli.drawn import ten_drawn_digits
from jaxnet.data.sources import join, read_images, read_labels
from jaxnet.files import FileError, check_free
from jaxnet.formats.answers import check_output, json_lines, write_answers
from jaxnet.formats.safetensors import load
from jaxnet.pretrained import PATH
from jaxnet.show import terminal

FEW = 20  # as many images are shown one by one; more are summed up


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
        check_free(output, inputs or ())
    if labels and not inputs:
        raise FileError(f"{labels}: labels of which images? Name them before --labels.")
    params, info = load(weights)
    source, known = (join(map(read_images, inputs)), None) if inputs else ten_drawn_digits()
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
