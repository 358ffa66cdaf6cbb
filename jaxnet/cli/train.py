"""`jaxnet train`: trains a network, with checkpoints."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from jaxnet import runs
from jaxnet._util.arguments import ArgumentError
from jaxnet._util.files import FileError, replacing
from jaxnet.cli import _terminal
from jaxnet.network import SQUASHES

DEFAULTS = runs.Options()


def command(
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATA]...",
            help="mnist, drawn (synthetic digits), or two files, images and labels.",
            show_default="mnist",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(help="The network's file; the record and the curves are saved beside it."),
    ] = Path("network.safetensors"),
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing network.")
    ] = False,
    sizes: Annotated[str, typer.Option(help="Layer sizes, input first.")] = "-".join(
        map(str, DEFAULTS.sizes)
    ),
    squash: Annotated[
        str, typer.Option(help=f"Activation function: one of {', '.join(SQUASHES)}.")
    ] = DEFAULTS.squash,
    cost: Annotated[
        str, typer.Option(help=f"Cost: one of {', '.join(runs.COSTS)}.")
    ] = DEFAULTS.cost,
    optimizer: Annotated[
        str, typer.Option(help=f"One of {', '.join(runs.OPTIMIZERS)}.")
    ] = DEFAULTS.optimizer,
    schedule: Annotated[
        str, typer.Option(help=f"Learning-rate schedule: one of {', '.join(runs.SCHEDULES)}.")
    ] = DEFAULTS.schedule,
    rate: Annotated[float, typer.Option(help="Initial learning rate.")] = DEFAULTS.rate,
    epochs: Annotated[int, typer.Option(help="Passes over the images.")] = DEFAULTS.epochs,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = DEFAULTS.batch_size,
    augment: Annotated[
        str, typer.Option(help=f"Data augmentation: one of {', '.join(runs.AUGMENTS)}.")
    ] = DEFAULTS.augment,
    penalty: Annotated[
        str,
        typer.Option(
            help="Penalty that makes the first layer easier to read: "
            f"one of {', '.join(runs.PENALTIES)}."
        ),
    ] = DEFAULTS.penalty,
    strength: Annotated[
        float, typer.Option(help="What the penalty is multiplied by.")
    ] = DEFAULTS.strength,
    seed: Annotated[int, typer.Option(help="Determines all random numbers.")] = DEFAULTS.seed,
    ensemble: Annotated[
        int, typer.Option(help="Networks to train side by side; the best is saved.")
    ] = DEFAULTS.ensemble,
    held_out: Annotated[
        float, typer.Option(help="Fraction of the images used only for validation.")
    ] = DEFAULTS.held_out,
) -> None:
    """Train a network and show its learning curve; can be interrupted and resumed."""
    if not re.fullmatch(r"\d+(-\d+)+", sizes):
        raise ArgumentError("sizes", f"expected numbers as in 784-16-16-10; got {sizes}.")
    options = runs.Options(
        sizes=tuple(map(int, sizes.split("-"))),
        squash=squash,
        cost=cost,
        optimizer=optimizer,
        schedule=schedule,
        rate=rate,
        epochs=epochs,
        batch_size=batch_size,
        augment=augment,
        penalty=penalty,
        strength=strength,
        seed=seed,
        ensemble=ensemble,
        held_out=held_out,
    )
    wanted = data or ["mnist"]
    files = wanted if len(wanted) == 2 else []
    runs.check_output(output, files, replace=resume or overwrite)
    checkpoint = output.with_suffix(".checkpoint")
    images, labels, named = runs.load_data(wanted)
    identity = runs.identity(options, images, labels)
    if resume and not checkpoint.exists():
        if runs.is_finished(output, identity):
            typer.echo(f"{output}: this run is finished.")
            return
        runs.check_output(output, files, replace=overwrite)
    err, draw_curves = Console(stderr=True), None
    try:
        from jaxnet.plot import learning_curves as draw_curves
    except ModuleNotFoundError:
        typer.echo("The curves will not be drawn: pip install 'jaxnet-digits[plot]'", err=True)

    progress = None
    try:
        with Live(console=err, transient=True, auto_refresh=False) as live:
            for progress in runs.train(options, images, labels, checkpoint, resume=resume):
                if err.is_terminal:
                    shown = _terminal.learning(progress.history, epochs, progress.seconds)
                    live.update(shown, refresh=True)
                else:
                    typer.echo(_terminal.epoch_line(progress.history, epochs), err=True)
    except runs.OtherOptions as error:
        told = " ".join(f"--{k.replace('_', '-')} {v}" for k, v in error.options.items())
        raise FileError(
            f"{checkpoint}: an unfinished run with {told}; pass the same options, or delete it."
        ) from error
    except (SystemExit, KeyboardInterrupt):
        if checkpoint.exists():
            err.print("Interrupted; run the same command with --resume to continue.")
        raise
    assert progress is not None
    picture = output.with_suffix(".png")
    if draw_curves:
        with replacing(picture) as file:
            draw_curves(progress.history).savefig(file, format="png", dpi=150)
    else:
        picture.unlink(missing_ok=True)  # of an earlier run
    named = _terminal.printable(named)
    runs.save_run(progress, options, output, trained_on=named, identity=identity)
    checkpoint.unlink(missing_ok=True)
    console = Console()
    console.print(_terminal.learning(progress.history, epochs, progress.seconds))
    for path in (output, *map(output.with_suffix, (".json", ".png", ".members"))):
        if path.exists():
            console.print(Text(_terminal.printable(str(path))))
