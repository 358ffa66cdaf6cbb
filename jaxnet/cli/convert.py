"""`jaxnet convert`: a network from one file format to another."""

import os
from pathlib import Path
from typing import Annotated

import typer

from jaxnet.cli._options import SQUASHES, Overwrite, Quiet

EXAMPLES = (
    "jaxnet convert digits.onnx digits.safetensors",
    "jaxnet convert model.pt digits.safetensors --squash relu --last-squash identity",
    "jaxnet convert model.h5 digits.onnx",
)


def command(
    network: Annotated[Path, typer.Argument(metavar="INPUT", help="The network to read.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="The file to write.")],
    overwrite: Overwrite = False,
    squash: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The hidden layers' activation function, where INPUT does not say: one of "
            f"{SQUASHES}.",
        ),
    ] = None,
    last_squash: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The last layer's, likewise; identity, if there is none."
        ),
    ] = None,
    pytorch: Annotated[
        bool,
        typer.Option("--pytorch", help="Name the arrays of a .safetensors file as PyTorch does."),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Convert a network from one file format to another.

    The formats are .safetensors (jaxnet's, PyTorch's or Flax's), .onnx, .pt, .pth, .bin and .keras;
    .ckpt (PyTorch Lightning's) and .h5 (Keras's) are only read.
    """
    from jaxnet._util.arguments import check_choice
    from jaxnet._util.files import FileError, check_free, check_new
    from jaxnet.cli._terminal import printable
    from jaxnet.formats._files import check_ending, load, save
    from jaxnet.formats.torch import save_state_dict

    for name, given in (("squash", squash), ("last_squash", last_squash)):
        if given is not None:
            check_choice(SQUASHES.split(", "), given, name)
    check_ending(network)
    check_ending(output, written=True)
    if pytorch and output.suffix.lower() != ".safetensors":
        raise FileError(f"{output}: PyTorch's names are for .safetensors.")
    check_free(output, [network], overwrite=overwrite)
    os.environ.setdefault("KERAS_BACKEND", "jax")  # its default needs TensorFlow
    params, about = load(network, squash=squash, last_squash=last_squash)
    check_new(output, overwrite=overwrite)
    write = save_state_dict if pytorch else save
    write(output, params, **about.squashes, notes=about.notes)
    if not quiet:
        print(printable(str(output)))
