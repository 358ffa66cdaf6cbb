"""The commands that show what a network sees: pictures, and the page."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jaxnet.cli.drawn import ten_drawn_digits
from jaxnet.data.sources import read_images, read_labels
from jaxnet.files import FileError, check_free, replacing
from jaxnet.formats.safetensors import load
from jaxnet.pretrained import PATH
from jaxnet.show import page, terminal
from jaxnet.show.draw import TAKES, in_terminal, into_file
from jaxnet.show.draw import check as check_picture
from jaxnet.show.values import PAIRS, hues


def draw_picture(
    what: Annotated[str, typer.Argument(metavar="WHAT", help=f"One of {', '.join(TAKES)}.")],
    images: Annotated[
        Path | None,
        typer.Argument(
            metavar="[INPUT]",
            help="Images, as `classify` takes them; without it, ten digits that the program draws.",
        ),
    ] = None,
    weights: Annotated[
        Path, typer.Option(help="The network to look into.", show_default="the trained one")
    ] = PATH,
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
    colours: Annotated[str, typer.Option(help=f"One of {', '.join(PAIRS)}.")] = "video",
) -> None:
    """Draws what the network sees: its neurons, its weights, and why it reads what it reads."""
    options = {"input": images, "labels": labels, "index": index, "layer": layer, "neuron": neuron}
    check_picture(what, [name for name, value in options.items() if value is not None], output)
    if output:
        check_free(output, [path for path in (images, labels, weights) if path])
    hues(colours)
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
            index=at, layer=layer, neuron=neuron, colours=colours,
        )  # fmt: skip
    else:
        shown = in_terminal(
            what, params, about, seen, index=at, layer=layer, neuron=neuron, colours=colours
        )
        Console().print(shown)


def write_page(
    weights: Annotated[
        Path, typer.Option(help="The network to begin with.", show_default="the trained one")
    ] = PATH,
    output: Annotated[Path, typer.Option(help="The file to write.")] = Path("jaxnet.html"),
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Writes a page to draw digits on, look into every neuron, and turn every dial."""
    if output.suffix not in (".html", ".htm"):
        raise FileError(f"{output}: pages are written to .html; name it so.")
    check_free(output, [weights])
    params, about = load(weights)
    try:
        made = page(params, squash=about.squash, last_squash=about.last_squash)
    except ValueError as error:
        raise FileError(f"{weights}: {error}") from error
    with replacing(output) as file:
        file.write(made.html.encode())
    typer.echo(terminal.printable(str(output)))
    if show and not webbrowser.open(output.absolute().as_uri()):
        raise FileError(f"{output}: no browser was found to open it; open it yourself.")
