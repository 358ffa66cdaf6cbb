"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

NETWORKS = "free, edges, components"  # `jaxnet._pretrained.NAMES`, known without JAX
SQUASHES = "sigmoid, relu, tanh, leaky_relu, elu, gelu, silu, softplus, softmax, identity"
FIGURES = (".png", ".svg", ".pdf")

Weights = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help=f"The network: a .safetensors file, or one that comes with jaxnet: {NETWORKS}; by "
        "default, free.",
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The digits that the images show: an IDX or .npy file."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the output file if it exists.")
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


def file_of(weights: Path | None) -> Path:
    """The network's file; a file in the current folder hides a name."""
    from jaxnet._pretrained import NAMES, path_of

    if weights is None:
        return path_of("free")
    return path_of(str(weights)) if str(weights) in NAMES and not weights.exists() else weights
