"""`jaxnet convert`: a network from one file format to another."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from jaxnet.cli._options import SQUASHES, Labels, Overwrite, Quiet, pixel_options, say_assumed

EXAMPLES = (
    "jaxnet convert digits.onnx digits.safetensors",
    "jaxnet convert model.pt digits.safetensors --squash relu --last-squash identity",
    "jaxnet convert model.h5 digits.onnx",
    "jaxnet convert model.pt digits.safetensors --squash relu --last-squash identity --pixels 255",
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
    pixels: Annotated[
        float | None,
        typer.Option(
            metavar="WHITE",
            help="What INPUT was trained to take for a white pixel, such as 255; by default 1, or "
            "what the file says.",
        ),
    ] = None,
    mean: Annotated[
        float, typer.Option(metavar="MEAN", help="What was subtracted from its pixels, as 0.1307.")
    ] = 0.0,
    std: Annotated[
        float, typer.Option(metavar="STD", help="What they were then divided by, as 0.3081.")
    ] = 1.0,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="IMAGES", help="Labeled digits on which to compare the usual scales of pixels."
        ),
    ] = None,
    labels: Labels = None,
    pytorch: Annotated[
        bool,
        typer.Option("--pytorch", help="Name the arrays of a .safetensors file as PyTorch does."),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Convert a network from one file format to another.

    The formats are .safetensors (jaxnet's, PyTorch's or Flax's), .onnx, .pt, .pth, .bin and .keras;
    .ckpt (PyTorch Lightning's), .h5 (Keras's) and .npz, .json and .pkl with weights and biases of
    any names are only read. In .onnx and Keras's files, all that is affine between two activation
    functions becomes one layer.
    """
    from jaxnet._util.arguments import ArgumentError, check_choice
    from jaxnet._util.files import FileError, check_free, check_new
    from jaxnet.cli._terminal import printable
    from jaxnet.formats._files import check_ending, load, save
    from jaxnet.formats.torch import save_state_dict

    for name, given in (("squash", squash), ("last_squash", last_squash)):
        if given is not None:
            check_choice(SQUASHES.split(", "), given, name)
    if (check is None) != (labels is None):
        raise ArgumentError("labels", "--check and --labels go together.")
    check_ending(output, written=True)
    if pytorch and output.suffix.lower() != ".safetensors":
        raise FileError(f"{output}: PyTorch's names are for .safetensors.")
    check_free(output, [network], overwrite=overwrite)
    os.environ.setdefault("KERAS_BACKEND", "jax")  # its default needs TensorFlow
    params, about = load(
        network, squash=squash, last_squash=last_squash, pixels=pixels, mean=mean, std=std
    )
    say_assumed(network, about)
    if check and labels:
        is_folded = pixels is None and "trained with" in about.notes
        white = None if is_folded else 1.0
        as_it_is = load(network, squash=squash, last_squash=last_squash, pixels=white)
        print(_compared(*as_it_is, check, labels), file=sys.stderr)
    check_new(output, overwrite=overwrite)
    write = save_state_dict if pytorch else save
    write(output, params, **about.squashes, notes=about.notes)
    if not quiet:
        print(printable(str(output)))


def _compared(params: Any, spec: Any, images: Path, labels: Path) -> str:
    """How the network reads images if it was trained on the usual scales of pixels."""
    from jaxnet._util.pixels import side_of
    from jaxnet.data._load import read_labeled
    from jaxnet.formats._pixels import accuracies

    seen, known, _ = read_labeled(images, labels, side=side_of(spec.sizes[0], images))
    shares = accuracies(params, spec, seen, known)
    best = max(shares, key=lambda pixels: shares[pixels])
    lines = [
        f"{share:7.2%} with {pixel_options(pixels) or 'pixels from 0 to 1'}"
        for pixels, share in shares.items()
    ]
    return "\n".join([*lines, f"Best: {pixel_options(best) or 'pixels from 0 to 1'}."])
