"""`jaxnet bench`: measures this machine."""

import json
from typing import Annotated, Any

import typer

from jaxnet.cli._options import Weights, network_of

EXAMPLES = ("jaxnet bench --quick", "jaxnet bench --json > rates.json")


def command(
    weights: Weights = None,
    images: Annotated[
        int, typer.Option(metavar="N", help="How many images of random bytes to classify.")
    ] = 200_000,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer batch sizes, and less time for each number.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object per line.")] = False,
) -> None:
    """Measure throughput, and compare it with the hardware's."""
    from rich.live import Live

    from jaxnet import bench
    from jaxnet._util.arguments import ArgumentError
    from jaxnet.cli import _terminal

    if images < 1:
        raise ArgumentError("images", f"expected one or more; got {images}.")
    params, spec = network_of(weights)
    options: dict[str, Any] = {"batch_sizes": (100,), "seconds": 0.05} if quick else {}
    rates = bench.measure(params, **spec.squashes, n_images=images, **options)
    if as_json:
        for rate in rates:
            print(json.dumps(rate._asdict()), flush=True)
        return
    table = _terminal.Table(
        "precision", ">images per call", ">images per second", "share of the limit"
    )
    err = _terminal.console(stderr=True)
    with Live(
        "measuring …", console=err, transient=True, auto_refresh=False, redirect_stdout=False
    ) as live:
        for rate in rates:
            share = f"{_terminal.bar(rate.share)} {100 * rate.share:.1f} % of {rate.limit}"
            # Rounded to three digits; no measurement here is more precise.
            speed = f"{float(f'{rate.images_per_second:.3g}'):,.0f}"
            table.add_row(rate.precision, f"{rate.batch_size:,}", speed, share)
            if err.is_terminal:
                live.update(table, refresh=True)
    _terminal.console().print(table)
