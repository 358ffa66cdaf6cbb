"""`jaxnet draw`: plots of a network, in the terminal or to a file."""

import sys
from collections.abc import Callable, Collection, Mapping
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from jaxnet.cli._options import (
    FIGURES,
    Colors,
    Labels,
    Overwrite,
    Quiet,
    Weights,
    check_output_only,
    network_of,
    save_figure,
)

EXAMPLES = (
    "jaxnet draw weights",
    "jaxnet draw saliency photo.png --output saliency.png",
    "jaxnet draw misclassified digits.npy --labels labels.npy --output misclassified.png",
)


class Plot(NamedTuple):
    """A plot that has the same name in `jaxnet.plot`.

    Attributes:
        takes: the options that it takes besides --weights, --output, --overwrite and --quiet.
        in_terminal: whether the terminal shows it too, by a function of the same name in `_blocks`.
        endings: of the files that it is drawn to.
    """

    takes: tuple[str, ...]
    in_terminal: bool = True
    endings: tuple[str, ...] = FIGURES


# To add a plot, write it in `jaxnet/plot`, export it there, and give it a line here.
PLOTS: Mapping[str, Plot] = {
    "image": Plot(("input", "index")),
    "activations": Plot(("input", "index", "colors")),
    "weights": Plot(("layer", "neuron", "colors")),
    "network": Plot(("input", "index", "colors"), in_terminal=False),
    "contributions": Plot(("input", "index", "layer", "neuron", "colors")),
    "exciting": Plot(("layer", "neuron", "natural")),
    "saliency": Plot(("input", "index", "neuron", "colors")),
    "confusion": Plot(("input", "labels"), in_terminal=False),
    "misclassified": Plot(("input", "labels"), in_terminal=False),
    "boxes": Plot(("input",), in_terminal=False),
    "flow": Plot(("input", "index", "colors"), in_terminal=False, endings=(".gif",)),
}


def command(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help=f"The plot: one of {', '.join(PLOTS)}.")
    ],
    images: Annotated[
        Path | None,
        typer.Argument(
            metavar="INPUT", help="Images, as for `classify`; by default, ten synthetic digits."
        ),
    ] = None,
    weights: Weights = None,
    labels: Labels = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The .png, .svg or .pdf file to draw to, for flow a .gif; by default, the "
            "terminal.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    index: Annotated[
        int | None, typer.Option(metavar="N", help="Which of the images to draw, from 0.")
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option(metavar="N", help="Which layer to draw; 1 is the first hidden layer."),
    ] = None,
    neuron: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Which neuron of the layer, from 0; for saliency, the digit."
        ),
    ] = None,
    natural: Annotated[
        bool,
        typer.Option(
            "--natural", help="Search only among drawn digits and strokes for the exciting image."
        ),
    ] = False,
    colors: Colors = None,
    quiet: Quiet = False,
) -> None:
    """Draw a network: what it sees, and why it answers so."""
    from jaxnet import inference
    from jaxnet._util.arguments import ArgumentError, check_choice
    from jaxnet._util.files import check_free
    from jaxnet._util.palette import PAIRS
    from jaxnet._util.pixels import side_of
    from jaxnet.cli import _blocks, _synthetic, _terminal
    from jaxnet.data import read_images
    from jaxnet.data._load import read_labeled
    from jaxnet.data._rows import to_float32
    from jaxnet.data.pictures._files import read_picture

    options = {"input": images, "labels": labels, "index": index, "layer": layer, "neuron": neuron}
    options |= {"natural": natural or None, "colors": colors}
    _check(what, [name for name, value in options.items() if value is not None], output)
    check_output_only(output, overwrite=overwrite, quiet=quiet)
    if output:
        check_free(output, [images, labels, weights], overwrite=overwrite)
    if colors:
        check_choice(PAIRS, colors, "colors")
    params, spec = network_of(weights)
    plot, at = PLOTS[what], index or 0
    given: dict[str, Any] = {"params": params, **spec.squashes, "colors": colors}
    given |= {"layer": layer, "neuron": neuron, "natural": natural, "path": output}
    if what == "boxes":
        if images is None:
            raise ValueError("boxes needs a picture: INPUT.")
        given["picture"] = read_picture(images)[0]
    elif "input" in plot.takes:
        side = side_of(spec.sizes[0], weights)
        if images and labels:
            seen, given["labels"], notes = read_labeled(images, labels, side=side)
            for note in () if quiet else notes:
                print(_terminal.printable(note), file=sys.stderr)
        elif images:
            seen = read_images(images, side=side).images
        else:
            seen = _synthetic.ten_drawn_digits(side)[0].images
        if not 0 <= at < len(seen):
            raise ArgumentError("index", f"expected 0 to {len(seen) - 1:,}; got {at}.")
        given |= {"images": seen, "x": to_float32(seen[at])}
        if labels:
            given["answers"] = inference.classify(params, seen, **spec.squashes)
    if not output:
        _terminal.console().print(_call(getattr(_blocks, what), given))
        return
    from jaxnet import plot as plots  # imports matplotlib, which takes a while

    figure = _call(getattr(plots, what), given)
    if figure is not None:  # an animation has been written already
        save_figure(figure, output, overwrite=overwrite)
    if not quiet:
        print(_terminal.printable(str(output)))


def _check(what: str, given: Collection[str], output: Path | None) -> None:
    """Raises for an unknown plot, an option that it does not take, or one that is missing."""
    from jaxnet._util.arguments import ArgumentError
    from jaxnet._util.files import FileError

    if what not in PLOTS:
        raise ValueError(f"Expected to draw one of {', '.join(PLOTS)}; got {what} instead.")
    takes, in_terminal, endings = PLOTS[what]
    for option in given:
        if option not in takes and option == "input":
            raise ValueError(f"{what} does not take INPUT.")
        if option not in takes:
            raise ArgumentError(option, f"{what} does not take this option.")
    if "labels" in takes and not {"input", "labels"} <= {*given}:
        raise ValueError(f"{what} needs images and their labels: INPUT and --labels.")
    if not output and not in_terminal:
        raise ValueError(
            f"{what} is drawn to a file, not in a terminal: --output {what}{endings[0]}"
        )
    if output and output.suffix.lower() not in endings:
        raise FileError(
            f"{output}: {what} is drawn to {' or '.join(endings)}, not {output.suffix or 'this'}."
        )


def _call(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """Calls a function with the given arguments that it takes."""
    names = signature(function).parameters
    return function(**{k: v for k, v in given.items() if k in names and v is not None})
