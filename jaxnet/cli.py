"""The command line: parses, calls the library, prints."""

import os
import re
import time
import webbrowser
from functools import partial
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.live import Live
from rich.progress import track
from rich.table import Table
from rich.text import Text

from jaxnet import inference, records, runs
from jaxnet.data.sources import Source, join, read_images, read_labels, unit
from jaxnet.data.strokes import draw
from jaxnet.files import FileError, check_free, replacing
from jaxnet.formats import convert, onnx, stablehlo
from jaxnet.formats.answers import check_output, json_lines, write_answers
from jaxnet.formats.safetensors import SQUASHES, load
from jaxnet.network import count
from jaxnet.pretrained import PATH
from jaxnet.show import page, terminal
from jaxnet.show.draw import TAKES, in_terminal, into_file
from jaxnet.show.draw import check as check_picture
from jaxnet.show.values import PAIRS, hues

FEW = 20  # as many images are shown one by one; more are summed up

DEFAULTS = runs.Options()

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
        check_free(output, inputs or ())
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
def train(
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATA]...",
            help="mnist, or drawn (by the program itself), or two files, images and labels.",
            show_default="mnist",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option(help="The file for the network; record and curves come beside it.")
    ] = Path("network.safetensors"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a network that is there already.")
    ] = False,
    sizes: Annotated[str, typer.Option(help="Neurons in each layer.")] = "-".join(
        map(str, DEFAULTS.sizes)
    ),
    squash: Annotated[str, typer.Option(help=f"One of {', '.join(SQUASHES)}.")] = DEFAULTS.squash,
    cost: Annotated[str, typer.Option(help=f"One of {', '.join(runs.COSTS)}.")] = DEFAULTS.cost,
    optimizer: Annotated[
        str, typer.Option(help=f"One of {', '.join(runs.OPTIMIZERS)}.")
    ] = DEFAULTS.optimizer,
    schedule: Annotated[
        str, typer.Option(help=f"Of the rate: one of {', '.join(runs.SCHEDULES)}.")
    ] = DEFAULTS.schedule,
    rate: Annotated[float, typer.Option(help="The learning rate to begin with.")] = DEFAULTS.rate,
    epochs: Annotated[int, typer.Option(help="Times to go through the images.")] = DEFAULTS.epochs,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = DEFAULTS.batch_size,
    augment: Annotated[
        str, typer.Option(help=f"Warps of the images: one of {', '.join(runs.AUGMENTS)}.")
    ] = DEFAULTS.augment,
    seed: Annotated[int, typer.Option(help="Decides all that is random.")] = DEFAULTS.seed,
    ensemble: Annotated[
        int, typer.Option(help="Networks to train side by side, of which the best is chosen.")
    ] = DEFAULTS.ensemble,
    held_out: Annotated[
        float, typer.Option(help="Share of the images to score and choose by, not to learn from.")
    ] = DEFAULTS.held_out,
) -> None:
    """Trains a network, shows the curve, and can be interrupted and resumed."""
    if not re.fullmatch(r"\d+(-\d+)+", sizes):
        raise ValueError(f"--sizes: expected numbers as in 784-16-16-10; got {sizes}.")
    options = runs.Options(
        tuple(map(int, sizes.split("-"))), squash, cost, optimizer, schedule, rate, epochs,
        batch_size, augment, seed, ensemble, held_out,
    )  # fmt: skip
    wanted = data or ["mnist"]
    files = wanted if len(wanted) == 2 else []
    records.check_output(output, files, replace=resume or overwrite)
    checkpoint = output.with_suffix(".checkpoint")
    images, labels, named = runs.read(wanted)
    identity = runs.identity(options, images, labels)
    if resume and not checkpoint.exists():
        if records.is_finished(output, identity):
            typer.echo(f"{output}: this run is finished.")
            return
        records.check_output(output, files, replace=overwrite)
    err, draw_curves = Console(stderr=True), None
    try:
        from jaxnet.show.results import learning_curves as draw_curves
    except ModuleNotFoundError:
        typer.echo("The curves will not be drawn: pip install 'jaxnet[plot]'", err=True)

    progress = None
    try:
        with Live(console=err, transient=True, auto_refresh=False) as live:
            for progress in runs.begin(options, images, labels, checkpoint, resume=resume):
                if err.is_terminal:
                    shown = terminal.learning(progress.history, epochs, progress.seconds)
                    live.update(shown, refresh=True)
                else:
                    typer.echo(terminal.epoch_line(progress.history, epochs), err=True)
    except (SystemExit, KeyboardInterrupt):
        if checkpoint.exists():
            err.print("Interrupted; the same command with --resume goes on after the last epoch.")
        raise
    assert progress is not None
    picture = output.with_suffix(".png")
    if draw_curves:
        with replacing(picture) as file:
            draw_curves(progress.history).savefig(file, format="png", dpi=150)
    else:
        picture.unlink(missing_ok=True)  # of an earlier run
    named = terminal.printable(named)
    records.write(progress, options, output, trained_on=named, identity=identity)
    checkpoint.unlink(missing_ok=True)
    console = Console()
    console.print(terminal.learning(progress.history, epochs, progress.seconds))
    for path in (output, *map(output.with_suffix, (".json", ".png", ".members"))):
        if path.exists():
            console.print(Text(terminal.printable(str(path))))


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


@app.command("draw")
def draw_picture(
    what: Annotated[str, typer.Argument(metavar="WHAT", help=f"One of {', '.join(TAKES)}.")],
    images: Annotated[
        Path | None,
        typer.Argument(
            metavar="[INPUT]",
            help="Images, as `classify` takes them; without it, ten digits that the program draws.",
        ),
    ] = None,
    weights: Annotated[
        Path, typer.Option(help="The network to look into.", show_default="the trained one")
    ] = PATH,
    labels: Annotated[
        Path | None, typer.Option(help="What the images show: an IDX or .npy file.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Draw into this .png, .svg or .pdf, flow into .gif; else here."),
    ] = None,
    index: Annotated[int | None, typer.Option(help="Which of the images, from 0.")] = None,
    layer: Annotated[int | None, typer.Option(help="1 is the first after the image.")] = None,
    neuron: Annotated[
        int | None, typer.Option(help="Its place in the layer, from 0; for saliency, the digit.")
    ] = None,
    colours: Annotated[str, typer.Option(help=f"One of {', '.join(PAIRS)}.")] = "video",
) -> None:
    """Draws what the network sees: its neurons, its weights, and why it reads what it reads."""
    options = {"input": images, "labels": labels, "index": index, "layer": layer, "neuron": neuron}
    check_picture(what, [name for name, value in options.items() if value is not None], output)
    if output:
        check_free(output, [path for path in (images, labels, weights) if path])
    hues(colours)
    params, about = load(weights)
    source = read_images(images) if images else _ten_drawn_digits()[0]
    known = read_labels(labels) if labels else None
    n, at = len(source.images), index or 0
    if not 0 <= at < n:
        raise ValueError(f"--index: expected one of {n:,} images, from 0; got {at}.")
    if output:
        into_file(
            output, what, params, about, source.images, known,
            index=at, layer=layer, neuron=neuron, colours=colours,
        )  # fmt: skip
    else:
        x = unit(source.images[at])
        shown = in_terminal(what, params, about, x, layer=layer, neuron=neuron, colours=colours)
        Console().print(shown)


@app.command("page")
def write_page(
    weights: Annotated[
        Path, typer.Option(help="The network to begin with.", show_default="the trained one")
    ] = PATH,
    output: Annotated[Path, typer.Option(help="The file to write.")] = Path("jaxnet.html"),
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Writes a page to draw digits on, look into every neuron, and turn every dial."""
    if output.suffix not in (".html", ".htm"):
        raise FileError(f"{output}: pages are written to .html; name it so.")
    check_free(output, [weights])
    params, about = load(weights)
    try:
        made = page(params, squash=about.squash, last_squash=about.last_squash)
    except ValueError as error:
        raise FileError(f"{weights}: {error}") from error
    with replacing(output) as file:
        file.write(made.html.encode())
    typer.echo(terminal.printable(str(output)))
    if show and not webbrowser.open(output.absolute().as_uri()):
        raise FileError(f"{output}: no browser was found to open it; open it yourself.")


@app.command("export")
def export_program(
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="The file to write: .onnx or .stablehlo.")
    ],
    weights: Annotated[
        Path, typer.Option(help="The network to export.", show_default="the trained one")
    ] = PATH,
    uint8: Annotated[
        bool, typer.Option("--uint8", help="Take images as bytes, not as floats from 0 to 1.")
    ] = False,
    batch: Annotated[
        int | None, typer.Option(help="Images at a time.", show_default="any number")
    ] = None,
) -> None:
    """Writes the network as a program that runs without jaxnet: for ONNX Runtime, or for JAX."""
    if output.suffix not in (".onnx", ".stablehlo"):
        raise FileError(f"{output}: networks are exported to .onnx or .stablehlo; name it so.")
    check_free(output, [weights])
    params, about = load(weights)
    dtype = np.uint8 if uint8 else np.float32
    squashes = {"squash": about.squash, "last_squash": about.last_squash}
    if output.suffix == ".onnx":
        content = onnx.export(params, **squashes, notes=about.notes, image_dtype=dtype, batch=batch)
    else:
        jax.config.update("jax_traceback_in_locations_limit", 0)  # no folder's name in the file
        content = stablehlo.export(params, **squashes, image_dtype=dtype, batch=batch)
    with replacing(output) as file:
        file.write(content)
    typer.echo(terminal.printable(str(output)))


@app.command("convert")
def convert_weights(
    network: Annotated[Path, typer.Argument(metavar="INPUT", help="The network to read.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The file to write.")],
    squash: Annotated[
        str | None,
        typer.Option(help=f"Where the input does not say: one of {', '.join(SQUASHES)}."),
    ] = None,
    last_squash: Annotated[
        str | None, typer.Option(help="The same of the last layer; identity, if there is none.")
    ] = None,
    pytorch: Annotated[
        bool, typer.Option("--pytorch", help="Name a .safetensors' arrays as PyTorch does.")
    ] = False,
) -> None:
    """Converts a network: .safetensors, jaxnet's or PyTorch's, .onnx, .pt and .keras."""
    convert.check_ending(output, pytorch=pytorch)
    check_free(output, [network])
    os.environ.setdefault("KERAS_BACKEND", "jax")  # its own default needs TensorFlow
    params, about = convert.read(network, squash=squash, last_squash=last_squash)
    convert.write(output, params, about, pytorch=pytorch)
    typer.echo(terminal.printable(str(output)))


def _ten_drawn_digits() -> tuple[Source, NDArray[Any]]:
    digits = np.arange(10)
    keys = jax.random.split(jax.random.key(time.time_ns() % 2**32), 10)
    images = jax.jit(jax.vmap(draw))(keys, digits)
    return Source(np.asarray(images), [f"drawn: {digit}" for digit in digits]), digits
