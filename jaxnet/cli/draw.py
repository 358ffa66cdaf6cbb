"""`jaxnet draw`: plots of a network, in the terminal or to a file."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jaxnet._util.files import check_free
from jaxnet._util.palette import PAIRS, hues
from jaxnet.cli._draw import TAKES, check, in_terminal, into_file
from jaxnet.cli._synthetic import ten_drawn_digits
from jaxnet.data import read_images, read_labels
from jaxnet.formats import load


def command(
    what: Annotated[str, typer.Argument(metavar="WHAT", help=f"One of {', '.join(TAKES)}.")],
    images: Annotated[
        Path | None,
        typer.Argument(
            metavar="[INPUT]",
            help="Images, as `classify` takes them; without it, ten digits that the program draws.",
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="The network to look into.", show_default="the trained one")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="What the images show: an IDX or .npy file.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Draw into this .png, .svg or .pdf, flow into .gif; else here."),
    ] = None,
    index: Annotated[int | None, typer.Option(help="Which of the images, from 0.")] = None,
    layer: Annotated[int | None, typer.Option(help="1 is the first after the image.")] = None,
    neuron: Annotated[
        int | None, typer.Option(help="Its place in the layer, from 0; for saliency, the digit.")
    ] = None,
    colors: Annotated[str, typer.Option(help=f"One of {', '.join(PAIRS)}.")] = "video",
) -> None:
    """Draws what the network sees: its neurons, its weights, and why it reads what it reads."""
    options = {"input": images, "labels": labels, "index": index, "layer": layer, "neuron": neuron}
    check(what, [name for name, value in options.items() if value is not None], output)
    if output:
        check_free(output, [path for path in (images, labels, weights) if path])
    hues(colors)
    params, about = load(weights)
    seen, at = None, index or 0
    if "input" in TAKES[what]:
        seen = (read_images(images) if images else ten_drawn_digits()[0]).images
        if not 0 <= at < len(seen):
            raise ValueError(f"--index: expected one of {len(seen):,} images, from 0; got {at}.")
    known = read_labels(labels) if labels else None
    if output:
        into_file(
            output, what, params, about, seen, known,
            index=at, layer=layer, neuron=neuron, colors=colors,
        )  # fmt: skip
    else:
        shown = in_terminal(
            what, params, about, seen, index=at, layer=layer, neuron=neuron, colors=colors
        )
        Console().print(shown)
