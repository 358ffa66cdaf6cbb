"""`jaxnet convert`: a network from one file format to another."""

import os
from pathlib import Path
from typing import Annotated

import typer

from jaxnet._util.files import check_free
from jaxnet.cli._terminal import printable
from jaxnet.formats import convert
from jaxnet.network import SQUASHES


def command(
    network: Annotated[Path, typer.Argument(metavar="INPUT", help="The network to read.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The file to write.")],
    squash: Annotated[
        str | None,
        typer.Option(help=f"Where the input does not say: one of {', '.join(SQUASHES)}."),
    ] = None,
    last_squash: Annotated[
        str | None, typer.Option(help="The same of the last layer; identity, if there is none.")
    ] = None,
    pytorch: Annotated[
        bool, typer.Option("--pytorch", help="Name a .safetensors' arrays as PyTorch does.")
    ] = False,
) -> None:
    """Convert a network between .safetensors (jaxnet's or PyTorch's), .onnx, .pt and .keras."""
    convert.check_ending(output, pytorch=pytorch)
    check_free(output, [network])
    os.environ.setdefault("KERAS_BACKEND", "jax")  # its default needs TensorFlow
    params, about = convert.read(network, squash=squash, last_squash=last_squash)
    convert.write(output, params, about, pytorch=pytorch)
    typer.echo(printable(str(output)))
