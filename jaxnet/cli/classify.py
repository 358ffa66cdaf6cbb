"""`jaxnet classify`: classifies images in files, or ten synthetic digits."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from jaxnet.cli._options import (
    Labels,
    Overwrite,
    Quiet,
    Recursive,
    Transposed,
    Weights,
    network_of,
    pixel_options,
)

EXAMPLES = (
    "jaxnet classify photo.png",
    "jaxnet classify form.jpg --output answers.csv",
    "jaxnet classify scans/ 'more/**/*.jpg' --on-error skip",
    "jaxnet classify digits.npy --labels labels.npy --output answers.csv",
    "cat digits.npy | jaxnet classify - --output - --format jsonl",
)
FEW = 20  # up to this many images are shown individually; more are summarized


def command(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="CSV, IDX, .npy, .npz and Parquet files, pictures, folders of pictures, patterns "
            "such as 'scans/**/*.png', or - for standard input; by default, ten synthetic digits.",
        ),
    ] = None,
    weights: Weights = None,
    labels: Labels = None,
    one: Annotated[
        bool,
        typer.Option(
            "--one", help="Insist on one digit in each picture; with --labels, this is the default."
        ),
    ] = False,
    recursive: Recursive = False,
    transposed: Transposed = False,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Write one row per image: to a .csv, .jsonl, .parquet or .npy file; to a folder "
            "of shards, if the name has no ending or ends in /; or to standard output, if it is -.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="ENDING",
            help="The format of shards, by default parquet, or of standard output, by default csv: "
            "csv, jsonl, parquet or npy.",
        ),
    ] = None,
    shard_size: Annotated[
        int | None, typer.Option(metavar="ROWS", help="Rows per shard; by default, a million.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted job in a folder of shards.")
    ] = False,
    on_error: Annotated[
        str,
        typer.Option(
            metavar="ACTION",
            help="At an image that cannot be read: stop, or skip it and mark its row.",
        ),
    ] = "stop",
    precision: Annotated[
        str,
        typer.Option(
            metavar="TYPE", help="Precision of the first layer: float32, bfloat16 or int8."
        ),
    ] = "float32",
    brightest: Annotated[
        bool, typer.Option("--brightest", help="Write only the largest activation of each image.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per image.")] = False,
    quiet: Quiet = False,
) -> None:
    """Classify handwritten digits."""
    import time
    from contextlib import ExitStack, closing

    from rich.text import Text

    from jaxnet._util import interrupts
    from jaxnet._util.arguments import ArgumentError
    from jaxnet._util.pixels import side_of
    from jaxnet.batch._files import check_output, is_folder, open_job, steps
    from jaxnet.batch._hints import better_pixels, compare_transposed
    from jaxnet.batch._jobs import Tally, warm
    from jaxnet.batch._tables import check_ending, json_lines
    from jaxnet.cli import _synthetic, _terminal
    from jaxnet.cli._progress import progress
    from jaxnet.data import open_inputs

    # Reject options that do not fit together.
    piped = output == "-"
    folder = output if output is not None and not piped and is_folder(output) else None
    for name, given, fits, use in (
        ("format", form, folder or piped, "a folder of shards and standard output"),
        ("shard_size", shard_size is not None, folder, "a folder of shards"),
        ("resume", resume, folder, "a folder of shards"),
        ("overwrite", overwrite, output and not folder and not piped, "an output file"),
        ("brightest", brightest, output or json, "--output and --json"),
        ("quiet", quiet, output, "--output"),
        ("json", json, not piped, "a job that does not write to standard output"),
    ):
        if given and not fits:
            raise ArgumentError(name, f"is for {use} only.")
    for name, given in (
        *(("labels", labels), ("one", one)),
        *(("recursive", recursive), ("transposed", transposed)),
    ):
        if given and not inputs:
            raise ArgumentError(name, "needs input images.")
    ending = f".{(form or ('csv' if piped else 'parquet')).lower().removeprefix('.')}"
    if piped:
        check_ending(f"standard output{ending}")
    elif output is not None:
        check_output(
            output,
            inputs or [],
            [labels, weights],
            format=ending,
            resume=resume,
            overwrite=overwrite,
            recursive=recursive,
        )
    # Open the job.
    params, spec = network_of(weights)
    side = side_of(spec.sizes[0], weights)
    known: Any = labels
    if inputs:
        found = open_inputs(
            inputs,
            several=not one and labels is None,
            without=folder,
            recursive=recursive,
            transposed=transposed,
            side=side,
            skip=on_error == "skip",
        )
    else:
        found, known = _synthetic.inputs(side)
    job = open_job(
        *(params, spec, found, known),
        precision=precision,
        brightest=brightest,
        on_error=on_error,
        recursive=recursive,
    )
    target = sys.stdout.buffer if piped else output
    running = steps(
        job,
        target,
        format=ending,
        shard_size=1_000_000 if shard_size is None else shard_size,
        resume=resume,
    )
    warm(job)

    # Run it, and print what it yields.
    err, out = _terminal.console(stderr=True), _terminal.console(stderr=piped)
    for note in () if quiet else job.inputs.notes:
        said = note.replace("recursive=True", "--recursive")
        err.print(Text(_terminal.printable(said)), soft_wrap=True)
    if not found.n and not quiet:
        err.print(Text(f"{_terminal.printable(', '.join(inputs or []))}: no images"))
    printed = output is None and not json
    show = printed and found.n <= min(FEW, found.at_once)
    lines = printed and not show and found.pictures
    hidden = found.n <= FEW or json or quiet
    began, tally, before = time.perf_counter(), Tally(), 0
    n_digits = n_unsure = 0
    with ExitStack() as stack:
        stack.enter_context(closing(running))
        advance = stack.enter_context(progress(err, found.n, hidden=hidden))
        if folder:
            stack.enter_context(interrupts.undone(lambda: _say_how_to_go_on(folder)))
        for tally, table in running:
            if table is None:  # what an earlier run had written
                before = tally.rows
            advance(tally.rows, before)
            if table is None:
                continue
            n_digits += len(table.names)
            n_unsure += int(table.unsure.sum())
            for error in (table.errors or {}).values():
                err.print(Text(_terminal.printable(f"skipped: {error}")), soft_wrap=True)
            for line in json_lines(table) if json else ():
                sys.stdout.write(line)
            if show:
                out.print(_terminal.pages_and_cards(found, table))
            for line in _terminal.answer_lines(table) if lines else ():
                print(line)
    if quiet or json or show or not found.n:
        return
    rate = (tally.rows - before) / (time.perf_counter() - began)
    labeled = known is not None
    out.print(_terminal.summary(tally, rate, labeled=labeled, digits=n_digits, unsure=n_unsure))
    if known is not None and not found.pictures and tally.right < 0.7 * tally.rows:
        as_is, turned = compare_transposed(job)
        if turned > as_is + 0.2:
            way = "Without" if transposed else "Are these images stored as EMNIST's are? With"
            out.print(Text(f"{way} --transposed, about {turned:.0%} would be right."))
    if known is not None and weights and not found.pictures and (better := better_pixels(job)):
        pixels, share = better
        out.print(
            Text(
                "This network may expect pixels on another scale. Converted with jaxnet convert "
                f"{pixel_options(pixels)}, about {share:.1%} would be right."
            )
        )
    if output is not None and not piped:
        print(_terminal.printable(output))


def _say_how_to_go_on(folder: str) -> None:
    from jaxnet._util import interrupts

    if Path(folder).exists():
        interrupts.say("Interrupted; run the same command with --resume to continue.")
