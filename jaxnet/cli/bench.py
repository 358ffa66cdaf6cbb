"""`jaxnet bench`: measures this machine."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from jaxnet import bench
from jaxnet._util.files import FileError, check_free, replacing
from jaxnet.cli._networks import Weights, file_of
from jaxnet.cli._report import tables
from jaxnet.cli._terminal import printable
from jaxnet.formats import load

ENDINGS = (".png", ".svg", ".pdf")


def command(
    weights: Weights = None,
    images: Annotated[int, typer.Option(help="Images, of random bytes, to read.")] = 200_000,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer batch sizes, and less time for each number.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Draw the roofline into this .png, .svg or .pdf.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure throughput, and how close it is to the hardware limit."""
    if images < 1:
        raise ValueError(f"--images: expected one or more; got {images}.")
    draw = None
    if output:
        if output.suffix not in ENDINGS:
            raise FileError(
                f"{output}: the roofline is drawn into {', '.join(ENDINGS)}; name it so."
            )
        check_free(output, [weights])
        from jaxnet.plot import roofline as draw  # says what it lacks before the work
    params, spec = load(file_of(weights))
    sizes, seconds = ((100,), 0.05) if quick else (bench.BATCH_SIZES, 0.3)
    err, report = Console(stderr=True), bench.Report(bench.work_per_image(params))
    with Live("measuring …", console=err, transient=True, auto_refresh=False) as live:
        for report in bench.measure(
            params, **spec.squashes, n_images=images, batch_sizes=sizes, seconds=seconds
        ):
            if err.is_terminal:
                live.update(tables(report), refresh=True)
    if output and draw:
        with replacing(output) as file:
            draw(report).savefig(file, format=output.suffix[1:], dpi=150)
    if as_json:
        typer.echo(json.dumps(_plain(report)))
    else:
        Console().print(tables(report))
    if output:
        typer.echo(printable(str(output)), err=as_json)


def _plain(report: bench.Report) -> dict[str, Any]:
    lists = {"limits": report.limits, "rates": report.rates, "stages": report.stages}
    return {
        "image": report.work._asdict(),
        **{name: [part._asdict() for part in parts] for name, parts in lists.items()},
    }
