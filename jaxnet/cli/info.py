"""`jaxnet info`: describes a network's file."""

from pathlib import Path
from typing import Annotated

import typer

from jaxnet.cli._options import NETWORKS, file_of, network_of

EXAMPLES = ("jaxnet info", "jaxnet info components", "jaxnet info network.safetensors")


def command(
    weights: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="A file that jaxnet convert reads, such as .safetensors or .onnx, or "
            f"{NETWORKS}; by default, free.",
        ),
    ] = None,
) -> None:
    """Describe a network and how it was trained."""
    from jaxnet.cli._terminal import printable
    from jaxnet.network import count

    params, about = network_of(weights)
    rows = {
        "file": str(file_of(weights)),
        "neurons": " → ".join(map(str, about.sizes)),
        "weights and biases": f"{count(params):,}",
        "type": str(params[0].weights.dtype),
        "squash": f"{about.squash}, last layer {about.last_squash}",
        **about.notes,
    }
    width = min(max(map(len, rows)), 20)
    for name, text in rows.items():
        print(f"{printable(name):{width}}  {printable(text)}")
