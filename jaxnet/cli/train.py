"""The command that trains a network."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from jaxnet import runs
from jaxnet._util.files import replacing
from jaxnet.cli import _terminal
from jaxnet.network import SQUASHES
from jaxnet.runs import _record

DEFAULTS = runs.Options()


def command(
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
    _record.check_output(output, files, replace=resume or overwrite)
    checkpoint = output.with_suffix(".checkpoint")
    images, labels, named = runs.read(wanted)
    identity = runs.identity(options, images, labels)
    if resume and not checkpoint.exists():
        if _record.is_finished(output, identity):
            typer.echo(f"{output}: this run is finished.")
            return
        _record.check_output(output, files, replace=overwrite)
    err, draw_curves = Console(stderr=True), None
    try:
        from jaxnet.plot import learning_curves as draw_curves
    except ModuleNotFoundError:
        typer.echo("The curves will not be drawn: pip install 'jaxnet-digits[plot]'", err=True)

    progress = None
    try:
        with Live(console=err, transient=True, auto_refresh=False) as live:
            for progress in runs.begin(options, images, labels, checkpoint, resume=resume):
                if err.is_terminal:
                    shown = _terminal.learning(progress.history, epochs, progress.seconds)
                    live.update(shown, refresh=True)
                else:
                    typer.echo(_terminal.epoch_line(progress.history, epochs), err=True)
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
    named = _terminal.printable(named)
    _record.write(progress, options, output, trained_on=named, identity=identity)
    checkpoint.unlink(missing_ok=True)
    console = Console()
    console.print(_terminal.learning(progress.history, epochs, progress.seconds))
    for path in (output, *map(output.with_suffix, (".json", ".png", ".members"))):
        if path.exists():
            console.print(Text(_terminal.printable(str(path))))
