"""`jaxnet draw`: plots of a network, in the terminal or to a file."""

from collections.abc import Callable, Collection, Mapping
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console, RenderableType

from jaxnet import inference
from jaxnet._util.arguments import ArgumentError, check_choice
from jaxnet._util.files import FileError, check_free, replacing
from jaxnet._util.palette import PAIRS
from jaxnet.cli import _blocks
from jaxnet.cli._networks import Weights, file_of
from jaxnet.cli._synthetic import ten_drawn_digits
from jaxnet.data import read_images, read_labels, to_float32
from jaxnet.formats import load


class Plot(NamedTuple):
    """A plot that has the same name in `jaxnet.plot`.

    Attributes:
        takes: the options that it takes besides --weights, --output and --colors.
        in_terminal: draws it in a terminal; None if it needs a file.
        endings: of the files that it is drawn to.
    """

    takes: tuple[str, ...]
    in_terminal: Callable[..., RenderableType] | None
    endings: tuple[str, ...] = (".png", ".svg", ".pdf")


# To add a plot, write it in `jaxnet/plot`, export it there, and give it a line here.
PLOTS: Mapping[str, Plot] = {
    "image": Plot(("input", "index"), _blocks.image),
    "activations": Plot(("input", "index"), _blocks.activations),
    "weights": Plot(("layer", "neuron"), _blocks.weights),
    "network": Plot(("input", "index"), None),
    "contributions": Plot(("input", "index", "layer", "neuron"), _blocks.contributions),
    "exciting": Plot(("layer", "neuron", "natural"), _blocks.exciting),
    "saliency": Plot(("input", "index", "neuron"), _blocks.saliency),
    "confusion": Plot(("input", "labels"), None),
    "misread": Plot(("input", "labels"), None),
    "flow": Plot(("input", "index"), None, (".gif",)),
}


def command(
    what: Annotated[str, typer.Argument(metavar="WHAT", help=f"One of {', '.join(PLOTS)}.")],
    images: Annotated[
        Path | None,
        typer.Argument(
            metavar="[INPUT]", help="Images, as for `classify`; by default, ten synthetic digits."
        ),
    ] = None,
    weights: Weights = None,
    labels: Annotated[Path | None, typer.Option(help="Their labels: an IDX or .npy file.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="A .png, .svg or .pdf file, for flow .gif; by default, the terminal."),
    ] = None,
    index: Annotated[int | None, typer.Option(help="Which image, from 0.")] = None,
    layer: Annotated[int | None, typer.Option(help="Which layer; 1 is the first hidden.")] = None,
    neuron: Annotated[
        int | None, typer.Option(help="Which neuron of the layer, from 0; for saliency, the digit.")
    ] = None,
    natural: Annotated[
        bool,
        typer.Option("--natural", help="Search the exciting image among drawn digits and strokes."),
    ] = False,
    colors: Annotated[str, typer.Option(help=f"One of {', '.join(PAIRS)}.")] = "video",
) -> None:
    """Draw a network: its weights, its neurons, and why it answers as it does."""
    options = {"input": images, "labels": labels, "index": index, "layer": layer, "neuron": neuron}
    options["natural"] = natural or None
    _check(what, [name for name, value in options.items() if value is not None], output)
    if output:
        check_free(output, [images, labels, weights])
    check_choice(PAIRS, colors, "colors")
    params, spec = load(file_of(weights))
    plot, at = PLOTS[what], index or 0
    given: dict[str, Any] = {"params": params, **spec.squashes, "colors": colors}
    given |= {"layer": layer, "neuron": neuron, "natural": natural, "path": output}
    if "input" in plot.takes:
        seen = (read_images(images) if images else ten_drawn_digits()[0]).images
        if not 0 <= at < len(seen):
            raise ArgumentError("index", f"expected 0 to {len(seen) - 1:,}; got {at}.")
        given |= {"images": seen, "x": to_float32(seen[at])}
    if labels:
        given["labels"] = read_labels(labels)
        given["answers"] = inference.classify(params, given["images"], **spec.squashes)
    if not output:
        assert plot.in_terminal
        Console().print(_call(plot.in_terminal, given))
        return
    from jaxnet import plot as plots  # imports matplotlib, which takes a while

    figure = _call(getattr(plots, what), given)
    if figure is not None:  # an animation has been written already
        with replacing(output) as file:
            figure.savefig(file, format=output.suffix[1:], dpi=150)


def _check(what: str, given: Collection[str], output: Path | None) -> None:
    """Raises for an unknown plot, an option that it does not take, or one that is missing."""
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
    if not output and in_terminal is None:
        raise ValueError(
            f"{what} is drawn to a file, not in a terminal: --output {what}{endings[0]}"
        )
    if output and output.suffix not in endings:
        raise FileError(
            f"{output}: {what} is drawn to {' or '.join(endings)}, not {output.suffix or 'this'}."
        )


def _call(function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """Calls a function with the given arguments that it takes."""
    names = signature(function).parameters
    return function(**{k: v for k, v in given.items() if k in names and v is not None})
