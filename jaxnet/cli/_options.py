"""Options that several commands share."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from jaxnet.formats import Spec
    from jaxnet.formats._pixels import Pixels
    from jaxnet.network import Params

NETWORKS = "free, edges, components"  # `jaxnet._pretrained.NAMES`, known without JAX
SQUASHES = "sigmoid, relu, tanh, leaky_relu, elu, gelu, silu, softplus, softmax, identity"
FIGURES = (".png", ".svg", ".pdf")

Weights = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The network: a file that jaxnet convert reads, such as .safetensors or .onnx, or "
        f"one that comes with jaxnet: {NETWORKS}; by default, free.",
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="The digits that the images show: a file of labels, in which a column may name the "
        "pictures, or the path of the images where it holds their labels, too.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the output file if it exists.")
]
Recursive = Annotated[bool, typer.Option("--recursive", help="Go into the subfolders of folders.")]
Transposed = Annotated[
    bool,
    typer.Option("--transposed", help="Swap rows and columns, as EMNIST's files need."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
Colors = Annotated[
    str | None,
    typer.Option(
        metavar="PAIR",
        help="The colors of positive and negative numbers: video (green and red, the default) or "
        "safe (blue and orange).",
    ),
]


def check_output_only(output: object, **given: object) -> None:
    """Raises for an option that has no effect without --output."""
    from jaxnet._util.arguments import ArgumentError

    for name, value in given.items():
        if value and not output:
            raise ArgumentError(name, "is for --output only.")


def save_figure(figure: Any, path: Path, *, overwrite: bool) -> None:
    """Draws a figure to a file; the ending gives the format."""
    from jaxnet._util.files import check_new, replacing

    check_new(path, overwrite=overwrite)
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix[1:].lower(), dpi=150)


def file_of(weights: Path | None) -> Path:
    """The network's file; a file in the current folder hides a name, and may lack its ending."""
    from jaxnet._pretrained import NAMES, path_of

    if weights is None:
        return path_of("free")
    if weights.exists() or not weights.name:
        return weights
    if str(weights) in NAMES:
        return path_of(str(weights))
    with_ending = weights.with_name(f"{weights.name}.safetensors")
    return with_ending if with_ending.exists() else weights


def network_of(weights: Path | None) -> "tuple[Params, Spec]":
    """Loads the network, from a file of any format that `jaxnet convert` reads."""
    from jaxnet._util.files import FileError
    from jaxnet.formats._files import UnknownSquash, load

    path = file_of(weights)
    try:
        params, spec = load(path)
    except UnknownSquash as error:
        raise FileError(
            f"{path}: its arrays do not name the squashing functions; add them first: "
            "jaxnet convert FILE network.safetensors --squash NAME --last-squash NAME."
        ) from error
    say_assumed(path, spec)
    return params, spec


def pixel_options(pixels: "Pixels") -> str:
    """The options of `jaxnet convert` for networks trained on these pixels; empty for 0 to 1."""
    words = pixels.in_words().split()
    return " ".join(f"--{word}" if n % 2 == 0 else word for n, word in enumerate(words))


def say_assumed(path: Path | None, spec: "Spec") -> None:
    """Says that a file written from scratch does not name its squashing functions."""
    from jaxnet.cli._terminal import printable

    if path and path.suffix != ".safetensors" and spec.notes.get("squashes") == "assumed":
        said = f"{path}: assumed to be of sigmoids, since the file does not say."
        print(printable(said), file=sys.stderr)
