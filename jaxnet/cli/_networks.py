"""The option for a network: a file, or the name of one that comes with jaxnet."""

from pathlib import Path
from typing import Annotated

import typer

from jaxnet._pretrained import NAMES, path_of

Weights = Annotated[
    Path | None,
    typer.Option(help=f"The network: a file, or {', '.join(NAMES)}.", show_default="free"),
]


def file_of(weights: Path | None) -> Path:
    """The network's file; a file in the current folder hides a name."""
    if weights is None:
        return path_of("free")
    return path_of(str(weights)) if str(weights) in NAMES and not weights.exists() else weights
