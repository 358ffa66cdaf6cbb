"""`jaxnet train`: trains a network, with checkpoints."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jaxnet.cli._options import (
    NETWORKS,
    SQUASHES,
    Quiet,
    Recursive,
    Transposed,
    network_of,
    save_figure,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jaxnet.runs import Options

_FEW = 5_000  # images
EXAMPLES = (
    "jaxnet train",
    "jaxnet train drawn --epochs 3 --ensemble 4 --augment both --output mine.safetensors",
    "jaxnet train train.csv",
    "jaxnet train images.npy labels.npy --sizes 784-32-10 --squash relu --resume",
)


def command(
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DATA",
            help="What to train on: mnist (the default), drawn (synthetic digits), a path that "
            "holds images and labels (CSV, .npz, Parquet, a folder for each digit), or two, images "
            "and labels.",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="The network's .safetensors file; the record and the curves are saved beside it.",
        ),
    ] = Path("network.safetensors"),
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing network.")
    ] = False,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Train this network further, a file of any format that `jaxnet convert` reads, or "
            f"one of {NETWORKS}.",
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="SIZES", help="Neurons of each layer, pixels first; by default 784-16-16-10."
        ),
    ] = None,
    squash: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"The hidden layers' activation function: one of {SQUASHES}; by default sigmoid.",
        ),
    ] = None,
    cost: Annotated[
        str, typer.Option(metavar="NAME", help="The cost: cross-entropy or quadratic.")
    ] = "cross-entropy",
    optimizer: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The optimizer: one of adam, adamw, lion, momentum, muon, nadam, rmsprop, sgd.",
        ),
    ] = "adam",
    schedule: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="How the learning rate changes during training: constant, cosine or linear.",
        ),
    ] = "cosine",
    rate: Annotated[
        float, typer.Option(metavar="NUMBER", help="The learning rate at the start.")
    ] = 0.01,
    epochs: Annotated[int, typer.Option(metavar="N", help="Passes over the images.")] = 15,
    batch_size: Annotated[int, typer.Option(metavar="N", help="Images per step.")] = 100,
    augment: Annotated[
        str,
        typer.Option(metavar="NAME", help="Data augmentation: none, affine, elastic or both."),
    ] = "none",
    seed: Annotated[
        int, typer.Option(metavar="N", help="The seed of all random numbers of this run.")
    ] = 0,
    ensemble: Annotated[
        int,
        typer.Option(metavar="N", help="Networks to train side by side; the best is saved."),
    ] = 1,
    validation: Annotated[
        float,
        typer.Option(metavar="SHARE", help="The share of the images used only for validation."),
    ] = 0.1,
    recursive: Recursive = False,
    transposed: Transposed = False,
    quiet: Quiet = False,
) -> None:
    """Train a network and show its learning curve.

    An interrupted run continues with --resume, and ends with the same weights to the last bit.
    """
    from contextlib import ExitStack

    from rich.live import Live
    from rich.text import Text

    from jaxnet import runs
    from jaxnet._util import interrupts
    from jaxnet._util.arguments import ArgumentError
    from jaxnet._util.files import FileError, alone
    from jaxnet._util.pixels import side_of
    from jaxnet.cli import _terminal
    from jaxnet.runs._options import check_values
    from jaxnet.runs._record import check_output, is_finished, save_run
    from jaxnet.runs._run import OtherOptions
    from jaxnet.runs._run import identity as identity_of

    params = None
    if start is not None:
        for name, given in (("sizes", sizes), ("squash", squash)):
            if given is not None:
                raise ArgumentError(name, "is that of the network that --from names.")
        params, spec = network_of(start)
        sizes, squash = "-".join(map(str, spec.sizes)), spec.squash
    sizes = "784-16-16-10" if sizes is None else sizes
    if not re.fullmatch(r"\d+(-\d+)+", sizes):
        raise ArgumentError("sizes", f"expected numbers as in 784-16-16-10; got {sizes}.")
    options = runs.Options(
        sizes=tuple(map(int, sizes.split("-"))),
        squash="sigmoid" if squash is None else squash,
        cost=cost,
        optimizer=optimizer,
        schedule=schedule,
        rate=rate,
        epochs=epochs,
        batch_size=batch_size,
        augment=augment,
        seed=seed,
        ensemble=ensemble,
        validation=validation,
    )
    check_values(options)
    wanted = data or ["mnist"]
    files = [path for path in wanted if path not in ("mnist", "drawn")]
    for name, given in (("recursive", recursive), ("transposed", transposed)):
        if given and not files:
            raise ArgumentError(name, "is for images in files.")
    check_output(output, files, replace=resume or overwrite)
    checkpoint = output.with_suffix(".checkpoint")
    images, labels, named = runs.load_data(
        wanted,
        recursive=recursive,
        transposed=transposed,
        side=side_of(options.sizes[0], "--sizes"),
    )
    said = _terminal.printable(named).replace("recursive=True", "--recursive")
    identity = identity_of(options, images, labels, params)
    if resume and not checkpoint.exists():
        if is_finished(output, identity):
            if not quiet:
                print(_terminal.printable(f"{output}: this run is finished."))
            return
        if output.exists() and not overwrite:
            raise FileError(
                f"{output}: exists already, and is no run with these options. To train it "
                f"further, pass --from {output} and another --output; to replace it, --overwrite."
            )
        check_output(output, files, replace=overwrite)
    err, draw_curves = _terminal.console(stderr=True), None
    try:
        from jaxnet.plot import learning_curves as draw_curves
    except ModuleNotFoundError:
        if not quiet:
            print(
                "The curves will not be drawn: pip install 'jaxnet-digits[plot]'", file=sys.stderr
            )

    def say_how_to_go_on() -> None:
        if checkpoint.exists():
            interrupts.say("Interrupted; run the same command with --resume to continue.")

    progress = None
    with ExitStack() as stack:
        stack.enter_context(alone(checkpoint))
        try:
            with Live(
                console=err, transient=True, auto_refresh=False, redirect_stdout=False
            ) as live:
                training = runs.train(
                    *(options, images, labels, checkpoint), resume=resume, params=params
                )
                if not quiet:
                    err.print(Text(f"training on {said}"), soft_wrap=True)
                if err.is_terminal and not quiet:
                    live.update(Text("compiling …"), refresh=True)
                elif not quiet:
                    print("compiling …", file=sys.stderr)
                with interrupts.undone(say_how_to_go_on):
                    for progress in training:
                        if err.is_terminal and not quiet:
                            live.update(_terminal.Learning(progress, epochs), refresh=True)
                        elif not quiet:
                            print(_terminal.epoch_line(progress.history, epochs), file=sys.stderr)
        except OtherOptions as error:
            told = " ".join(f"--{k.replace('_', '-')} {v}" for k, v in error.options.items())
            raise FileError(
                f"{checkpoint}: an unfinished run with {told}; pass the same options, or delete it."
            ) from error
        assert progress is not None
        if not (resume or overwrite):  # another program may have written there meanwhile
            check_output(output, files, replace=False)
        picture = output.with_suffix(".png")
        if draw_curves:
            save_figure(draw_curves(progress.history), picture, overwrite=True)
        else:
            picture.unlink(missing_ok=True)  # of an earlier run
        save_run(progress, options, output, trained_on=said, identity=identity)
        checkpoint.unlink(missing_ok=True)
    if quiet:
        return
    _terminal.console().print(_terminal.Learning(progress, epochs))
    if advice := _advice(options, images, labels):
        _terminal.console().print(Text(advice), soft_wrap=True)
    for path in (output, *map(output.with_suffix, (".json", ".png", ".members"))):
        if path.exists():
            print(_terminal.printable(str(path)))


def _advice(options: "Options", images: "NDArray[Any]", labels: "NDArray[Any]") -> str:
    """What helps where images are few, and how well the trained network does on them."""
    from jaxnet._pretrained import pretrained
    from jaxnet.inference import classify
    from jaxnet.network import SIZES
    from jaxnet.runs._run import split

    if len(images) >= _FEW:
        return ""
    more = f"more epochs (--epochs {10 * options.epochs})"
    augment = "" if options.augment != "none" else " or slightly changed images (--augment both)"
    advice = f"These are few images; {more}{augment} may help."
    _, (unseen, digits) = split(options, images, labels)
    same_task = (options.sizes[0], options.sizes[-1]) == (SIZES[0], SIZES[-1])
    if not (same_task and len(digits) and labels.max() < SIZES[-1]):
        return advice
    right = (classify(pretrained(), unseen).digits == digits).mean()
    return (
        f"{advice} The network that comes with jaxnet classifies {100 * right:.2f} % of the same "
        f"{len(digits)} validation images correctly."
    )
