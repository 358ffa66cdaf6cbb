"""What `jaxnet draw` draws: each picture by its name, in a terminal or into a file."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from rich.console import RenderableType

from jaxnet import inference
from jaxnet.data.sources import unit
from jaxnet.files import FileError, replacing
from jaxnet.formats.safetensors import Info
from jaxnet.network import Params
from jaxnet.show import blocks

# The options that each picture takes, beside --weights, --output and --colours.
TAKES = {
    "image": ("input", "index"),
    "activations": ("input", "index"),
    "weights": ("layer", "neuron"),
    "network": ("input", "index"),
    "contributions": ("input", "index", "layer", "neuron"),
    "exciting": ("layer", "neuron"),
    "saliency": ("input", "index", "neuron"),
    "confusion": ("input", "labels"),
    "misread": ("input", "labels"),
    "flow": ("input", "index"),
}
_ONLY_FILES = ("network", "confusion", "misread", "flow")


def check(what: str, given: Collection[str], output: Path | None) -> None:
    """Raises where there is no such picture, where it has no use for an option, or misses one.

    Args:
        what: the picture, a name in `TAKES`.
        given: names of the options that were given: `input`, `labels`, `index` and so on.
        output: where to draw it; None for the terminal.

    Raises:
        FileError: the output's ending is not one of those it can be drawn into.
        ValueError: all else.

    Example:
        >>> import pathlib
        >>> from jaxnet.show import draw
        >>> draw.check("weights", ["layer"], pathlib.Path("weights.svg"))
    """
    if what not in TAKES:
        raise ValueError(f"Expected to draw one of {', '.join(TAKES)}; got {what} instead.")
    if useless := [option for option in given if option not in TAKES[what]]:
        name = "INPUT" if useless[0] == "input" else f"--{useless[0]}"
        raise ValueError(f"{what} has no use for {name}; leave it out.")
    if "labels" in TAKES[what] and not {"input", "labels"} <= {*given}:
        raise ValueError(f"{what} needs images and what they show: name INPUT and --labels.")
    endings = (".gif",) if what == "flow" else (".png", ".svg", ".pdf")
    if not output and what in _ONLY_FILES:
        raise ValueError(
            f"{what} is drawn into a file, not in a terminal: --output {what}{endings[0]}"
        )
    if output and output.suffix not in endings:
        raise FileError(
            f"{output}: {what} is drawn into {' or '.join(endings)}, not {output.suffix or 'this'}."
        )


def in_terminal(
    what: str,
    params: Params,
    info: Info,
    images: NDArray[Any] | None,
    *,
    index: int,
    layer: int | None,
    neuron: int | None,
    colours: str,
) -> RenderableType:
    """What is shown of a network, or of one image in it, in a terminal.

    Args:
        what: a name in `TAKES` that `check` lets pass without an output.
        params, info: from `jaxnet.load`.
        images: shape `(n, 784)`; uint8 from 0 to 255, or floats from 0 to 1. None will do where
            `TAKES` names no input.
        index: which of the images.
        layer: the first, if not given; for `exciting` the last.
        neuron: its place in the layer, from 0. If not given: all of them, and for
            `contributions` the first, for `saliency` the output that is brightest.
        colours: "video" or "safe".

    Returns:
        What rich can print.

    Raises:
        TypeError, ValueError: no such layer, neuron or colours, or not the network's image.

    Example:
        >>> import rich
        >>> from jaxnet.formats.safetensors import load
        >>> from jaxnet.pretrained import PATH
        >>> from jaxnet.show import draw
        >>> options = {"index": 0, "layer": 3, "neuron": 7, "colours": "video"}
        >>> rich.print(draw.in_terminal("weights", *load(PATH), None, **options))
        7   bias −7.14
        ---   +
              +
            ++-
          -   +
        green positive, red negative, brightest at 18
    """
    x: Any = None if images is None else unit(images[index])
    first, deepest = (1, len(params)) if layer is None else (layer, layer)
    squashes, squash = info.squashes, info.squashes["squash"]
    match what:
        case "image":
            return blocks.greys(x, colours=colours)
        case "activations":
            return blocks.activations(params, x, **squashes, colours=colours)
        case "weights":
            return blocks.weights(params, first, neuron, colours=colours)
        case "contributions":
            return blocks.contributions(params, x, first, neuron or 0, **squashes, colours=colours)
        case "exciting":
            return blocks.exciting(params, deepest, neuron, squash=squash)
        case "saliency":
            return blocks.saliency(params, x, neuron, squash=squash, colours=colours)
        case _:
            raise ValueError(f"Expected what a terminal can show; got {what} instead.")


def into_file(
    path: Path,
    what: str,
    params: Params,
    info: Info,
    images: NDArray[Any] | None,
    labels: NDArray[Any] | None,
    *,
    index: int,
    layer: int | None,
    neuron: int | None,
    colours: str,
) -> None:
    """Draws a picture into a file, which appears whole or not at all.

    Args:
        path: as `check` lets it pass.
        what: a name in `TAKES`.
        params, info, images, index, layer, neuron, colours: as for `in_terminal`.
        labels: what the images show; needed for `confusion` and `misread`.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        TypeError, ValueError: as for `in_terminal`.
        OSError: the file cannot be written.

    Example:
        >>> import pathlib, tempfile
        >>> from jaxnet.formats.safetensors import load
        >>> from jaxnet.pretrained import PATH
        >>> from jaxnet.show import draw
        >>> path = pathlib.Path(tempfile.mkdtemp(), "weights.svg")
        >>> options = {"index": 0, "layer": 3, "neuron": 7, "colours": "video"}
        >>> draw.into_file(path, "weights", *load(PATH), None, None, **options)
        >>> path.read_bytes()[:5]
        b'<?xml'
    """
    from jaxnet.show import animations, attributions, diagram, grids, neurons, results

    x: Any = None if images is None else unit(images[index])
    first, deepest = (1, len(params)) if layer is None else (layer, layer)
    squashes, squash = info.squashes, info.squashes["squash"]
    match what:
        case "image":
            figure = neurons.image(x, colours=colours)
        case "activations":
            figure = neurons.activations(params, x, **squashes, colours=colours)
        case "weights":
            figure = grids.weights(params, first, neuron, colours=colours)
        case "network":
            figure = diagram.network(params, x, **squashes, colours=colours)
        case "contributions":
            figure = attributions.contributions(
                params, x, first, neuron or 0, **squashes, colours=colours
            )
        case "exciting":
            figure = attributions.exciting(params, deepest, neuron, squash=squash, colours=colours)
        case "saliency":
            figure = attributions.saliency(params, x, neuron, squash=squash, colours=colours)
        case "flow":
            return animations.flow(path, params, x, **squashes, colours=colours)
        case "confusion" | "misread":
            assert images is not None
            assert labels is not None
            answers = inference.classify(params, images, **squashes)
            if what == "confusion":
                figure = results.confusion(answers, labels)
            else:
                figure = results.misread(images, answers, labels)
        case _:
            raise ValueError(f"Expected to draw one of {', '.join(TAKES)}; got {what} instead.")
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=150)
