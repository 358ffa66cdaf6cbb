"""What `jaxnet draw` draws: each picture by its name, in a terminal or into a file."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from rich.console import RenderableType

from jaxnet import inference
from jaxnet._util.files import FileError, replacing
from jaxnet.cli import _blocks
from jaxnet.data._load import unit
from jaxnet.formats import Spec
from jaxnet.network import Params

# The options that each picture takes, beside --weights, --output and --colors.
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
    """Raises where there is no such picture, where it has no use for an option, or misses one."""
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
    spec: Spec,
    images: NDArray[Any] | None,
    *,
    index: int,
    layer: int | None,
    neuron: int | None,
    colors: str,
) -> RenderableType:
    """What is shown of a network, or of one image in it, in a terminal."""
    x: Any = None if images is None else unit(images[index])
    first, deepest = (1, len(params)) if layer is None else (layer, layer)
    squashes, squash = spec.squashes, spec.squashes["squash"]
    match what:
        case "image":
            return _blocks.grays(x, colors=colors)
        case "activations":
            return _blocks.activations(params, x, **squashes, colors=colors)
        case "weights":
            return _blocks.weights(params, first, neuron, colors=colors)
        case "contributions":
            return _blocks.contributions(params, x, first, neuron or 0, **squashes, colors=colors)
        case "exciting":
            return _blocks.exciting(params, deepest, neuron, squash=squash)
        case "saliency":
            return _blocks.saliency(params, x, neuron, squash=squash, colors=colors)
        case _:
            raise ValueError(f"Expected what a terminal can show; got {what} instead.")


def into_file(
    path: Path,
    what: str,
    params: Params,
    spec: Spec,
    images: NDArray[Any] | None,
    labels: NDArray[Any] | None,
    *,
    index: int,
    layer: int | None,
    neuron: int | None,
    colors: str,
) -> None:
    """Draws a picture into a file, which appears whole or not at all."""
    from jaxnet.plot import (
        _animations as animations,
    )
    from jaxnet.plot import (
        _attributions as attributions,
    )
    from jaxnet.plot import (
        _diagram as diagram,
    )
    from jaxnet.plot import (
        _grids as grids,
    )
    from jaxnet.plot import (
        _neurons as neurons,
    )
    from jaxnet.plot import (
        _results as results,
    )

    x: Any = None if images is None else unit(images[index])
    first, deepest = (1, len(params)) if layer is None else (layer, layer)
    squashes, squash = spec.squashes, spec.squashes["squash"]
    match what:
        case "image":
            figure = neurons.image(x, colors=colors)
        case "activations":
            figure = neurons.activations(params, x, **squashes, colors=colors)
        case "weights":
            figure = grids.weights(params, first, neuron, colors=colors)
        case "network":
            figure = diagram.network(params, x, **squashes, colors=colors)
        case "contributions":
            figure = attributions.contributions(
                params, x, first, neuron or 0, **squashes, colors=colors
            )
        case "exciting":
            figure = attributions.exciting(params, deepest, neuron, squash=squash, colors=colors)
        case "saliency":
            figure = attributions.saliency(params, x, neuron, squash=squash, colors=colors)
        case "flow":
            return animations.flow(path, params, x, **squashes, colors=colors)
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
