"""`jaxnet info`: describes a network's file."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxnet.cli._terminal import printable
from jaxnet.formats import load
from jaxnet.formats.safetensors import TRAINED
from jaxnet.network import count


def command(
    weights: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="A network.", show_default="the trained one")
    ] = TRAINED,
) -> None:
    """Describe a network and how it was trained."""
    params, about = load(weights)
    table = Table.grid(padding=(0, 2))
    table.add_row("file", Text(printable(str(weights))))
    table.add_row("neurons", " → ".join(map(str, about.sizes)))
    table.add_row("weights and biases", f"{count(params):,}")
    table.add_row("type", str(params[0].weights.dtype))
    table.add_row("squash", f"{about.squash}, at the end {about.last_squash}")
    for name, text in about.notes.items():
        table.add_row(*(Text(printable(part)) for part in (name, text)))
    Console().print(table)
