"""`jaxnet bench`: measures this machine."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from jaxnet.cli._options import (
    FIGURES,
    Overwrite,
    Weights,
    check_output_only,
    network_of,
    save_figure,
)

EXAMPLES = ("jaxnet bench --quick", "jaxnet bench --output roofline.png")


def command(
    weights: Weights = None,
    images: Annotated[
        int, typer.Option(metavar="N", help="How many images of random bytes to classify.")
    ] = 200_000,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer batch sizes, and less time for each number.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the roofline into this .png, .svg or .pdf file."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure throughput, and compare it with the hardware's."""
    from rich.live import Live

    from jaxnet import bench
    from jaxnet._util.arguments import ArgumentError
    from jaxnet._util.files import FileError, check_free
    from jaxnet.bench._measure import BATCH_SIZES, work_per_image
    from jaxnet.cli import _terminal
    from jaxnet.cli._report import plain, tables

    if images < 1:
        raise ArgumentError("images", f"expected one or more; got {images}.")
    check_output_only(output, overwrite=overwrite)
    draw = None
    if output:
        if output.suffix.lower() not in FIGURES:
            raise FileError(f"{output}: the output must end in {', '.join(FIGURES)}.")
        check_free(output, [weights], overwrite=overwrite)
        from jaxnet.plot._roofline import roofline as draw
    params, spec = network_of(weights)
    sizes, seconds = ((100,), 0.05) if quick else (BATCH_SIZES, 0.3)
    err, report = _terminal.console(stderr=True), bench.Report(work_per_image(params))
    with Live(
        "measuring …", console=err, transient=True, auto_refresh=False, redirect_stdout=False
    ) as live:
        for report in bench.measure(
            params, **spec.squashes, n_images=images, batch_sizes=sizes, seconds=seconds
        ):
            if err.is_terminal:
                live.update(tables(report), refresh=True)
    if output and draw:
        save_figure(draw(report), output)
    if as_json:
        print(json.dumps(plain(report)))
    else:
        _terminal.console().print(tables(report))
    if output:
        print(_terminal.printable(str(output)), file=sys.stderr if as_json else sys.stdout)
