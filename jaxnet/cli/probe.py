"""`jaxnet probe`: does a network see edges, then components, then digits?"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from jaxnet.cli._options import (
    FIGURES,
    Colors,
    Labels,
    Overwrite,
    Weights,
    check_output_only,
    network_of,
    save_figure,
)

EXAMPLES = (
    "jaxnet probe",
    "jaxnet probe --weights components --output probe.png",
    "jaxnet probe digits.npy --labels labels.npy --compare",
)


def command(
    images: Annotated[
        Path | None,
        typer.Argument(
            metavar="INPUT", help="Digits, as for `classify`; by default, synthetic ones."
        ),
    ] = None,
    labels: Labels = None,
    weights: Weights = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Compare five networks, from a random one to one made of components."
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw each neuron into this .png, .svg or .pdf file."),
    ] = None,
    overwrite: Overwrite = False,
    colors: Colors = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what each neuron looks for: edges, parts, digits?"""
    from jaxnet._util.arguments import ArgumentError, check_choice
    from jaxnet._util.files import FileError, check_free
    from jaxnet._util.palette import PAIRS
    from jaxnet._util.pixels import side_of
    from jaxnet.cli import _probe, _terminal

    if (images is None) != (labels is None):
        raise ArgumentError("labels", "INPUT and --labels go together.")
    if compare and (weights or output):
        raise ArgumentError("compare", "takes neither --weights nor --output.")
    check_output_only(output, colors=colors, overwrite=overwrite)
    colors = colors or "video"
    check_choice(PAIRS, colors, "colors")
    draw = None
    if output:
        if output.suffix.lower() not in FIGURES:
            raise FileError(f"{output}: the output must end in {', '.join(FIGURES)}.")
        check_free(output, [images, labels, weights], overwrite=overwrite)
        from jaxnet.plot import probe as draw  # says what it lacks before the work
    params, spec = network_of(weights)
    side = side_of(spec.sizes[0], weights)
    digits = _probe.digits(images, labels, side)
    if compare:
        reports = {n: _probe.probe(params, digits) for n, params in _probe.networks().items()}
        if as_json:
            print(json.dumps({name: _probe.overview(r) for name, r in reports.items()}))
        else:
            _terminal.console().print(_probe.comparison(reports))
        return
    squash = spec.squashes["squash"]
    report = _probe.probe(params, digits, squash=squash)
    if output and draw:
        figure = draw(report, params, squash=squash, colors=colors)
        save_figure(figure, output, overwrite=overwrite)
    if as_json:
        print(json.dumps(_probe.plain(report)))
    else:
        _terminal.console().print(_probe.neurons(report))
        print(f"{report.summary()} {100 * report.accuracy:.2f} % classified correctly.")
    if output:
        print(_terminal.printable(str(output)), file=sys.stderr if as_json else sys.stdout)
