"""The commands on files of networks: what they hold, and their way to other programs."""

import os
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxnet.files import FileError, check_free, replacing
from jaxnet.formats import convert, onnx, stablehlo
from jaxnet.formats.safetensors import SQUASHES, load
from jaxnet.network import count
from jaxnet.pretrained import PATH
from jaxnet.show import terminal


def info(
    weights: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="A network.", show_default="the trained one")
    ] = PATH,
) -> None:
    """Describes a network's file."""
    params, about = load(weights)
    table = Table.grid(padding=(0, 2))
    table.add_row("file", Text(terminal.printable(str(weights))))
    table.add_row("neurons", " → ".join(map(str, about.sizes)))
    table.add_row("weights and biases", f"{count(params):,}")
    table.add_row("type", str(params[0].weights.dtype))
    table.add_row("squash", f"{about.squash}, at the end {about.last_squash}")
    for name, text in about.notes.items():
        table.add_row(*(Text(terminal.printable(part)) for part in (name, text)))
    Console().print(table)


def export_program(
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="The file to write: .onnx or .stablehlo.")
    ],
    weights: Annotated[
        Path, typer.Option(help="The network to export.", show_default="the trained one")
    ] = PATH,
    uint8: Annotated[
        bool, typer.Option("--uint8", help="Take images as bytes, not as floats from 0 to 1.")
    ] = False,
    batch: Annotated[
        int | None, typer.Option(help="Images at a time.", show_default="any number")
    ] = None,
) -> None:
    """Writes the network as a program that runs without jaxnet: for ONNX Runtime, or for JAX."""
    if output.suffix not in (".onnx", ".stablehlo"):
        raise FileError(f"{output}: networks are exported to .onnx or .stablehlo; name it so.")
    check_free(output, [weights])
    params, about = load(weights)
    dtype = np.uint8 if uint8 else np.float32
    squashes = {"squash": about.squash, "last_squash": about.last_squash}
    if output.suffix == ".onnx":
        content = onnx.export(params, **squashes, notes=about.notes, image_dtype=dtype, batch=batch)
    else:
        jax.config.update("jax_traceback_in_locations_limit", 0)  # no folder's name in the file
        content = stablehlo.export(params, **squashes, image_dtype=dtype, batch=batch)
    with replacing(output) as file:
        file.write(content)
    typer.echo(terminal.printable(str(output)))


def convert_weights(
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
    """Converts a network: .safetensors, jaxnet's or PyTorch's, .onnx, .pt and .keras."""
    convert.check_ending(output, pytorch=pytorch)
    check_free(output, [network])
    os.environ.setdefault("KERAS_BACKEND", "jax")  # its own default needs TensorFlow
    params, about = convert.read(network, squash=squash, last_squash=last_squash)
    convert.write(output, params, about, pytorch=pytorch)
    typer.echo(terminal.printable(str(output)))
