"""`jaxnet export`: the network as a program that runs without jaxnet."""

from pathlib import Path
from typing import Annotated

import typer

from jaxnet.cli._options import Overwrite, Quiet, Weights, network_of

EXAMPLES = (
    "jaxnet export digits.onnx",
    "jaxnet export digits.onnx --opset 13 --weights model.h5",
    "jaxnet export digits.stablehlo --uint8 --weights network.safetensors",
)


def command(
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="The file to write: .onnx or .stablehlo.")
    ],
    weights: Weights = None,
    overwrite: Overwrite = False,
    uint8: Annotated[
        bool, typer.Option("--uint8", help="Take images as bytes, not as floats from 0 to 1.")
    ] = False,
    batch: Annotated[
        int | None,
        typer.Option(
            metavar="IMAGES", help="A fixed number of images per call; by default, any number."
        ),
    ] = None,
    opset: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="The version of ONNX's operators, from 7 up, for older or newer runtimes; by "
            "default, 20.",
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Export the network as an ONNX or StableHLO program.

    It runs without jaxnet: in ONNX Runtime or in JAX.
    """
    import jax
    import numpy as np

    from jaxnet._util.arguments import ArgumentError
    from jaxnet._util.files import FileError, check_free, check_new, replacing
    from jaxnet.cli._terminal import printable
    from jaxnet.formats import onnx, stablehlo

    ending = output.suffix.lower()
    if ending not in (".onnx", ".stablehlo"):
        raise FileError(f"{output}: the output must end in .onnx or .stablehlo.")
    check_free(output, [weights], overwrite=overwrite)
    if opset is not None and ending != ".onnx":
        raise ArgumentError("opset", "is for .onnx only.")
    params, about = network_of(weights)
    dtype = np.uint8 if uint8 else np.float32
    squashes = {"squash": about.squash, "last_squash": about.last_squash}
    if ending == ".onnx":
        content = onnx.export(
            params,
            **squashes,
            notes=about.notes,
            image_dtype=dtype,
            batch=batch,
            opset=onnx.OPSET if opset is None else opset,
        )
    else:
        jax.config.update("jax_traceback_in_locations_limit", 0)  # no folder's name in the file
        content = stablehlo.export(params, **squashes, image_dtype=dtype, batch=batch)
    check_new(output, overwrite=overwrite)
    with replacing(output) as file:
        file.write(content)
    if not quiet:
        print(printable(str(output)))
